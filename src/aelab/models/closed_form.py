"""Closed-form baselines: the training mean, principal component analysis, linear discriminant analysis.

PCA keeps the K directions of largest variance (Pearson 1901); no linear autoencoder with a code of size K has a smaller
squared error (Baldi & Hornik 1989). Full MNIST, K = 30: 13.87 squared error per test image (Hinton & Salakhutdinov
2006).

LDA keeps the directions with the largest variance between the class means relative to the variance within classes
(Fisher 1936; Rao 1948): at most classes - 1. It uses the labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from aelab.models.common import Autoencoder, Batch, Losses, Output, Phase, Spec, require
from aelab.models.common.principal import ROWS, principal_components


@dataclass(frozen=True)
class Config:
    """components: K, the number of directions; 0 is the mean image alone (its code is one constant zero).

    directions: of the largest variance (pca), or of the largest variance between classes over that within (lda).
    """

    components: int
    directions: Literal["pca", "lda"] = "pca"

    def __post_init__(self) -> None:
        least = 1 if self.directions == "lda" else 0
        require(self.components >= least, "components", self.components, f"{least} or more")


class PCA(Autoencoder):
    """x_hat = mean + (x - mean) V V^T with V [pixels, K]; codes (x - mean) V."""

    learned_buffers = ("mean", "directions", "deviations")
    mean: Tensor
    directions: Tensor
    deviations: Tensor

    def __init__(self, config: Config, spec: Spec) -> None:
        super().__init__(spec, nn.Sequential(), nn.Identity(), Output("linear", "mse", "sum"))
        self.components = config.components
        self.register_buffer("mean", torch.zeros(spec.pixels))
        self.register_buffer("directions", torch.zeros(spec.pixels, max(1, config.components)))
        self.register_buffer("deviations", torch.zeros(max(1, config.components)))

    def fit_statistics(self, clean: Tensor, label: Tensor) -> None:
        x = clean.flatten(1)
        self.mean.copy_(x.mean(0, dtype=torch.float64))
        if not self.components:
            return
        _, variances, directions = principal_components(x)
        require(self.components <= len(variances), "components", self.components, f"at most {len(variances)}")
        self.directions.copy_(directions[:, : self.components])
        self.deviations.copy_(variances[: self.components].sqrt())

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
        """Images decoded from the gaussian that was fitted to the codes."""
        z = torch.randn(n, len(self.deviations), generator=generator, device=self.mean.device)
        return self.decode(z * self.deviations)


class LDA(PCA):
    """Codes (x - mean) W; x_hat = mean + z D, with the D [K, pixels] of the smallest squared error on the training set.

    The covariance within classes is singular, because border pixels never vary: a share of its mean variance is added
    to the diagonal (Friedman 1989).
    """

    SHRINKAGE = 0.01
    LEAST = 1e-12  # variance within classes; below it, there is none but rounding errors
    uses_labels = True
    learned_buffers = (*PCA.learned_buffers, "back")
    back: Tensor

    def __init__(self, config: Config, spec: Spec) -> None:
        super().__init__(config, spec)
        most = f"at most {spec.classes - 1}, the classes less one"
        require(config.components < spec.classes, "components", config.components, most)
        self.register_buffer("back", torch.zeros(config.components, spec.pixels))

    def fit_statistics(self, clean: Tensor, label: Tensor) -> None:
        """Solve S_between w = lambda S_within w in float64, through the Cholesky factor of S_within."""
        x, classes = clean.flatten(1), label.unique()
        most = f"at most {len(classes) - 1}, the classes of the training images less one"
        require(self.components < len(classes), "components", self.components, most)
        mean = x.mean(0, dtype=torch.float64)
        sums = torch.zeros(len(classes), len(mean), dtype=mean.dtype, device=mean.device)
        total = torch.zeros(len(mean), len(mean), dtype=mean.dtype, device=mean.device)
        for rows, labels in zip(x.split(ROWS), label.split(ROWS), strict=True):
            sums += torch.stack([rows[labels == k].double().sum(0) for k in classes])
            centred = rows.double() - mean
            total += centred.T @ centred
        total /= len(x)
        counts = torch.stack([(label == k).sum() for k in classes]).double()
        means = sums / counts[:, None]
        between = (means - mean).T @ (counts[:, None] / len(x) * (means - mean))
        within = total - between
        variance = within.diagonal().mean()
        if variance < self.LEAST:
            raise ValueError("directions: lda needs classes whose images are not all alike")
        within += self.SHRINKAGE * variance * torch.eye(len(mean), dtype=mean.dtype, device=mean.device)
        factor = torch.linalg.cholesky(within)
        half = torch.linalg.solve_triangular(factor, between, upper=False)
        symmetric = torch.linalg.solve_triangular(factor, half.T, upper=False)
        vectors = torch.linalg.eigh((symmetric + symmetric.T) / 2)[1].flip(1)[:, : self.components]
        result = torch.linalg.solve_triangular(factor.T, vectors, upper=True)
        result *= result.gather(0, result.abs().argmax(0, keepdim=True)).sign()
        spread = result.T @ total @ result
        self.mean.copy_(mean)
        self.directions.copy_(result)
        self.deviations.copy_(spread.diagonal().sqrt())
        self.back.copy_(torch.linalg.solve(spread, result.T @ total))

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return (self.mean + z @ self.back).unflatten(1, self.spec.shape)


def build(config: Config, spec: Spec, generator: Generator) -> PCA:
    return LDA(config, spec) if config.directions == "lda" else PCA(config, spec)
