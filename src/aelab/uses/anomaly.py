"""Anomaly scores of a trained model: the higher, the more anomalous the item.

| score | of x, with its reconstruction x_hat |
|---|---|
| error | the squared error between x and x_hat, over known cells |
| sap | sum over layers of the squared distance between the activations of x and of x_hat |
| nap | the same, after the differences of all layers were centred and whitened on training items |
| mahalanobis | the squared Mahalanobis distance of the code to the codes of training items |
| elbo | the negative evidence lower bound, in nats, mean over DRAWS draws |

sap and nap are RaPP's (Kim et al. 2020, "RaPP: novelty detection with reconstruction along projection pathway", ICLR,
section 3). Layers are the hidden ones of the encoder and the code, without the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from aelab.data.layout import squared_errors
from aelab.data.tensors import Tensors, mapped
from aelab.models.common import Autoencoder, Likelihood

SCORES = ("error", "sap", "nap", "mahalanobis", "elbo")
WIDE = 4096  # numbers of a code, or of all layers together, up to which their covariance is computed
ROWS = 10_000  # training items at most that scores are fitted to
DRAWS = 8  # of the code per item, for the bound
AT_ONCE = 100  # items whose layers are kept at once
RANK = 1e-6  # of the largest singular value: what is below counts as 0

Score = Callable[[Tensor, Tensor], Tensor]  # items [N, ...], their labels [N] -> float64 [N]


@dataclass(frozen=True)
class Whitening:
    """|(d - mean) V S^-1|^2 of vectors d, for the singular values S and right singular vectors V of the centred
    training vectors."""

    mean: Tensor  # float64 [D]
    directions: Tensor  # float64 [D, R]: V S^-1

    @classmethod
    def of(cls, vectors: Callable[[Tensor, Tensor], Tensor], train: Tensors) -> Whitening:
        """Fitted to vectors(x, y) [B, D] of training items; directions without spread are left out."""
        mean = torch.stack([d.double().sum(0) for d in pieces(vectors, *train)]).sum(0) / len(train.y)
        squares = torch.zeros(len(mean), len(mean), dtype=mean.dtype, device=mean.device)
        for d in pieces(vectors, *train):
            centred = d.double() - mean
            squares += centred.T @ centred
        values, directions = torch.linalg.eigh(squares)
        singular = values.clamp_min(0).sqrt()
        kept = singular > RANK * singular.max().clamp_min(1e-300)
        return cls(mean, directions[:, kept] / singular[kept])

    def __call__(self, d: Tensor) -> Tensor:
        """Vectors [B, D] -> [B]."""
        return ((d.double() - self.mean) @ self.directions).square().sum(1)


def pieces(function: Callable[[Tensor, Tensor], Tensor], x: Tensor, y: Tensor) -> Iterator[Tensor]:
    """The results of function(x, y) for a few items at a time, as all layers of many would need much memory."""
    for part in zip(x.split(AT_ONCE), y.split(AT_ONCE), strict=True):
        with torch.no_grad():
            yield function(*part)


def fit(model: Autoencoder, train: Tensors) -> dict[str, Score]:
    """The scores that a model has, fitted to training items: by name, in the order of SCORES.

    Models without layers (closed forms) have no sap and nap; nap and mahalanobis are left out for more than WIDE
    numbers.
    """
    layout = model.spec.layout
    train = Tensors(train.x[:ROWS], train.y[:ROWS])

    def error(x: Tensor, y: Tensor) -> Tensor:
        return mapped(lambda a, b: squared_errors(a, model.reconstruct(a, b), layout), x, y)

    def summed(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([d.double().square().sum(1) for d in pieces(differences, x, y)])

    def differences(x: Tensor, y: Tensor) -> Tensor:
        pairs = zip(model.hidden(x, y), model.hidden(model.reconstruct(x, y), y), strict=True)
        return torch.cat([a - b for a, b in pairs], 1)

    result: dict[str, Score] = {"error": error}
    with torch.no_grad():
        one = differences(train.x[:1], train.y[:1]).shape[1]
        code = model.encode(train.x[:1], train.y[:1]).shape[1]
    if len(model.encoder):
        result["sap"] = summed
        if one <= WIDE:
            activations = Whitening.of(differences, train)
            result["nap"] = lambda x, y: torch.cat([activations(d) for d in pieces(differences, x, y)])
    if code <= WIDE:
        codes = Whitening.of(model.encode, train)
        result["mahalanobis"] = lambda x, y: len(train.y) * mapped(lambda a, b: codes(model.encode(a, b)), x, y)
    if isinstance(model, Likelihood):
        result["elbo"] = lambda x, y: mapped(lambda a, _: negative_bound(model, a), x, y)
    return result


def negative_bound(model: Likelihood, x: Tensor) -> Tensor:
    """rate + distortion of items [B, ...] in nats, mean over DRAWS: float64 [B]. The draws are always the same."""
    generator = Generator(x.device).manual_seed(0)
    return torch.stack([sum(model.rate_distortion(x, generator)).double() for _ in range(DRAWS)]).mean(0)  # type: ignore[union-attr]


def threshold(normal: Tensor, false_alarms: float) -> float:
    """The score that at most this share of normal items exceeds: the k-th smallest of the N validation scores `normal`,
    k = ceil((N + 1)(1 - false_alarms)) (split conformal prediction, Vovk et al. 2005).

    Raises ValueError where N scores are too few for that.
    """
    if not 0 < false_alarms < 1:
        raise ValueError(f"false alarms: {false_alarms} is out of range; allowed: above 0, below 1")
    n = len(normal)
    place = math.ceil((n + 1) * (1 - false_alarms))
    if place > n:
        least = f"{1 / (n + 1):.2g} or more, as there are {n} normal validation items"
        raise ValueError(f"false alarms: {false_alarms} is out of range; allowed: {least}")
    return normal.double().kthvalue(place).values.item()
