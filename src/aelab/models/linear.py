"""The closed-form floors: the training mean, and principal component analysis.

PCA keeps the K directions of largest variance (Pearson 1901); no linear autoencoder of K numbers has a smaller squared
error (Baldi & Hornik 1989). Full MNIST, K = 30: 13.87 squared error per test image (Hinton & Salakhutdinov 2006).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from aelab.models.base import Autoencoder, Batch, Losses, Output, Phase, Spec, require


@dataclass(frozen=True)
class Config:
    """components: K, how many directions are kept; 0 is the mean alone (its code is one constant zero)."""

    components: int

    def __post_init__(self) -> None:
        require(self.components >= 0, "components", self.components, "0 or more")


class PCA(Autoencoder):
    """x_hat = mean + (x - mean) V V^T with V [pixels, K]; codes (x - mean) V."""

    mean: Tensor
    directions: Tensor
    deviations: Tensor

    def __init__(self, config: Config, spec: Spec) -> None:
        super().__init__(spec, nn.Sequential(), nn.Identity(), Output("linear", "mse", "sum"))
        self.components = config.components
        self.register_buffer("mean", torch.zeros(spec.pixels))
        self.register_buffer("directions", torch.zeros(spec.pixels, max(1, config.components)))
        self.register_buffer("deviations", torch.zeros(max(1, config.components)))

    def observe(self, clean: Tensor, label: Tensor) -> None:
        """Solve: eigenvectors of the covariance [pixels, pixels] in float64, signs fixed by the largest entry."""
        x = clean.flatten(1)
        self.mean.copy_(x.mean(0, dtype=torch.float64))
        if not self.components:
            return
        require(
            self.components <= len(self.mean),
            "components",
            self.components,
            f"at most {len(self.mean)} pixels",
        )
        covariance = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
        for rows in x.split(10_000):
            centred = rows.double() - self.mean.double()
            covariance += centred.T @ centred
        values, vectors = torch.linalg.eigh(covariance / max(1, len(x) - 1))
        kept = vectors.flip(1)[:, : self.components]
        signs = kept.gather(0, kept.abs().argmax(0, keepdim=True)).sign()
        self.directions.copy_(kept * signs)
        self.deviations.copy_(values.flip(0)[: self.components].clamp_min(0).sqrt())

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return (x.flatten(1) - self.mean) @ self.directions

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return (self.mean + z @ self.directions.T).unflatten(1, self.spec.shape)

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        error = self.output.error(self.reconstruct(batch.noisy), batch.clean)
        return Losses(error, {"reconstruction": error})

    def phases(self) -> list[Phase]:
        return []

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Images from the gaussian that was fitted to the codes."""
        z = torch.randn(n, len(self.deviations), generator=generator, device=self.mean.device)
        return self.decode(z * self.deviations)


def build(config: Config, spec: Spec, generator: Generator) -> PCA:
    return PCA(config, spec)
