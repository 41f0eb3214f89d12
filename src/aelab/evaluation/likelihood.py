"""Likelihoods of test images, in nats per image."""

from __future__ import annotations

import math
from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from aelab.models.common import Likelihood

AT_ONCE = 2000  # draws decoded at once


@runtime_checkable
class Weighted(Protocol):
    """A model whose log p(x) can be estimated by importance sampling."""

    def log_weights(self, x: Tensor, k: int, generator: Generator) -> Tensor:
        """log p(x|z) p(z) / q(z|x) at k draws of z per image, [k, B]."""
        ...


def bound(model: Likelihood, x: Tensor, generator: Generator) -> dict[str, float]:
    """Rate, distortion and their sum, the negative ELBO: one draw of z per image, for the targets of training."""
    with torch.no_grad():
        pairs = [model.rate_distortion(part, generator) for part in x.split(1000)]
    rate, distortion = (torch.cat(values).double().mean().item() for values in zip(*pairs, strict=True))
    return {"rate": rate, "distortion": distortion, "negative_elbo": rate + distortion}


def importance(model: Weighted, x: Tensor, k: int, generator: Generator) -> dict[str, float]:
    """nll: -log of the mean of k importance weights w (Burda 2015, eq. 8), for BINARY images x [N, C, H, W].

    Its mean is never below -log p(x), and decreases towards it with k. ess: the effective sample size (sum w)^2 / sum
    w^2, mean over images, 1 to k: near 1, a single draw dominates and the estimate is loose.
    """
    rows = max(1, AT_ONCE // k)
    # allocated at once: small tensors that outlive a step would fragment the memory that the next large ones need
    log_w = torch.empty(k, len(x), dtype=torch.float64, device=x.device)
    with torch.no_grad():
        for start in range(0, len(x), rows):
            log_w[:, start : start + rows] = model.log_weights(x[start : start + rows], k, generator)
    total = log_w.logsumexp(0)
    effective = (2 * total - (2 * log_w).logsumexp(0)).exp()
    return {"nll": (math.log(k) - total).mean().item(), "ess": effective.mean().item()}


def binarised(x: Tensor, generator: Generator) -> Tensor:
    """Images as zeros and ones, each pixel 1 with its grey value as probability: the images of `nll`."""
    return (torch.rand(x.shape, generator=generator, device=x.device) < x).to(x.dtype)
