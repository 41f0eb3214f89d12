"""Sparse autoencoders: a dense autoencoder whose units are mostly at rest.

l1: weight * sum over units of |h| on the first layer's activations, mean over images. kl: weight * mean over units of
KL(rho || rho_hat), where rho_hat is a unit's mean activation over the batch (Ng, "Sparse autoencoder", CS294A 2011):

    KL(rho || rho_hat) = rho log(rho / rho_hat) + (1 - rho) log((1 - rho) / (1 - rho_hat)).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from aelab.models.base import Autoencoder, DenseConfig, Spec, dense_parts, initialise, require


@dataclass(frozen=True)
class Config(DenseConfig):
    """penalty: which; weight: its factor in the loss (beta); rho: the mean activation that kl asks for."""

    penalty: Literal["l1", "kl"] = "kl"
    weight: float = 0.0
    rho: float = 0.05

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.weight >= 0, "weight", self.weight, "0 or more")
        require(0 < self.rho < 1, "rho", self.rho, "between 0 and 1")
        first = self.code if len(self.widths) == 1 else self.activation
        require(
            self.penalty == "l1" or first == "sigmoid",
            "penalty",
            f"kl on {first} units",
            "kl on sigmoid units, l1",
        )


class SparseAutoencoder(Autoencoder):
    """Overrides the penalty alone; it acts on the first layer's activations."""

    def __init__(self, config: Config, spec: Spec) -> None:
        super().__init__(spec, *dense_parts(config, spec))
        self.config = config

    def penalty(self, hidden: list[Tensor]) -> dict[str, Tensor]:
        first = hidden[0]  # [B, units]
        if self.config.penalty == "l1":
            return {"sparsity": self.config.weight * first.abs().sum(1).mean()}
        return {"sparsity": self.config.weight * bernoulli_kl(self.config.rho, first.mean(0)).mean()}


def bernoulli_kl(rho: float, rho_hat: Tensor) -> Tensor:
    """KL(rho || rho_hat) of two coins in nats, elementwise; 0 where they agree."""
    rho_hat = rho_hat.clamp(1e-6, 1 - 1e-6)  # a unit at rest on a whole batch has log 0
    p = torch.as_tensor(rho, dtype=rho_hat.dtype, device=rho_hat.device)
    return p * (p / rho_hat).log() + (1 - p) * ((1 - p) / (1 - rho_hat)).log()


def build(config: Config, spec: Spec, generator: Generator) -> SparseAutoencoder:
    model = SparseAutoencoder(config, spec)
    initialise(model, generator)
    return model
