"""k-sparse autoencoders (Makhzani & Frey 2013): the k largest values of a linear code stay, the others become zero.

z = W x + b, keep the k largest, x_hat = W^T z + b'; only those k get a gradient. Sparsity is exact and has one
parameter, unlike the penalties of `sparse`. As in the paper weights are tied and encoding may keep more: alpha * k.
Expect filters of strokes (their figure 2 at k = 25), and a larger error than the same net without the limit.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from aelab.models.common import Autoencoder, DenseConfig, Spec, dense_parts, initialise, require


@dataclass(frozen=True)
class Config(DenseConfig):
    """k: values kept during training; alpha: factor on k in evaluation."""

    k: int = 25
    alpha: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        units = self.widths[-1]
        require(0 < self.k <= units, "k", self.k, f"1 to {units}, the code's width")
        require(self.alpha >= 1, "alpha", self.alpha, "1 or more")


class Largest(nn.Module):
    """Keeps the k largest values of each row, [B, K] -> [B, K]."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.learning, self.otherwise = config.k, min(config.widths[-1], round(config.alpha * config.k))

    def forward(self, z: Tensor) -> Tensor:
        values, places = z.topk(self.learning if self.training else self.otherwise, dim=1, sorted=False)
        return torch.zeros_like(z).scatter(1, places, values)


def build(config: Config, spec: Spec, generator: Generator) -> Autoencoder:
    encoder, decoder, output = dense_parts(config, spec)
    encoder.append(Largest(config))
    model = Autoencoder(spec, encoder, decoder, output)
    initialise(model, generator)
    return model
