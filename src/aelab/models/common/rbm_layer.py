"""The restricted Boltzmann machine."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.common.layers import Transposed
from aelab.models.common.output import cross_entropy
from aelab.models.common.protocol import Losses


class RBMLayer:
    """The restricted Boltzmann machine of a dense layer (weights W, bias c) and its transpose (bias b): p(v, h) ~ e^-E,

        E(v, h) = -b'v - c'h - h'Wv,    p(h = 1|v) = sigmoid(c + Wv),    p(v = 1|h) = sigmoid(b + W'h),

    for binary v [B, V] and h [B, H] (Hinton 2002). `gaussian` hidden units of variance 1 have h'h / 2 in place of the
    squash: E = -b'v - c'h - h'Wv + h'h / 2 and p(h|v) = N(c + Wv, 1) (Hinton & Salakhutdinov 2006). Grey v in [0, 1]
    are taken as chances.
    """

    def __init__(self, forth: nn.Linear, back: Transposed, gaussian: bool = False) -> None:
        self.forth, self.back, self.gaussian = forth, back, gaussian

    def parameters(self) -> list[nn.Parameter]:
        return [*self.forth.parameters(), *self.back.parameters()]

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = -ln of the sum over all h of e^-E(v, h), for v [B, V]: [B], in nats, with s = c + Wv

        -b'v - sum of ln(1 + e^s);   gaussian: -b'v - s's / 2 - H ln(2 pi) / 2.
        """
        s = self.forth(v)
        if self.gaussian:
            hidden = (0.5 * s.square()).sum(1) + 0.5 * s.shape[1] * math.log(2 * math.pi)
        else:
            hidden = F.softplus(s).sum(1)
        return -v @ self.back.bias - hidden

    def hidden(self, v: Tensor) -> Tensor:
        """The mean of h given v: [B, V] -> [B, H]."""
        s = self.forth(v)
        return s if self.gaussian else torch.sigmoid(s)

    def chances(self, v: Tensor, generator: Generator) -> Tensor:
        """p(v' = 1|h) [B, V] at one draw of h given v [B, V]."""
        h = self.hidden(v)
        if self.gaussian:
            h = h + torch.randn(h.shape, generator=generator, device=h.device, dtype=h.dtype)
        else:
            h = bernoulli(h, generator)
        return torch.sigmoid(self.back(h))

    def gibbs(self, v: Tensor, steps: int, generator: Generator) -> Tensor:
        """v after `steps` draws of h given v and v given h, [B, V] -> [B, V], without gradients."""
        with torch.no_grad():
            for _ in range(steps):
                v = bernoulli(self.chances(v, generator), generator)
        return v

    def contrast(self, v: Tensor, sample: Tensor, clean: Tensor) -> Losses:
        """Mean F(v) - mean F(sample), whose gradient is that of -ln p(v) where `sample` comes from the model.

        It is no objective (it falls where samples get worse), so the cross-entropy of v -> E[h|v] -> p(v|h) against
        `clean`, in nats per image, stands beside it as the term `reconstruction`.
        """
        data, own = self.free_energy(torch.cat([v, sample])).split([len(v), len(sample)])
        contrast = data.mean() - own.mean()
        with torch.no_grad():
            error = cross_entropy(self.back(self.hidden(v)), clean) / len(v)
        return Losses(contrast, {"contrast": contrast, "reconstruction": error})


def bernoulli(chances: Tensor, generator: Generator) -> Tensor:
    """Zeros and ones, each 1 with its chance."""
    draws = torch.rand(chances.shape, generator=generator, device=chances.device, dtype=chances.dtype)
    return (draws < chances).to(chances.dtype)
