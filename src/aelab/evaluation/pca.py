"""Principal component analysis (Pearson 1901): the baseline of every autoencoder with the same latent dimension."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from aelab.data.images import shown
from aelab.models.common.principal import principal_components

SIZES = (1, 2, 3, 4, 5, 8, 10, 12, 16, 20, 30, 32, 50, 64, 100, 128)  # numbers of components in PCA's figures


class PCA:
    """Principal components of images x [N, pixels]: mean [pixels], directions [pixels, K] by decreasing
    variance, K as in principal_components."""

    def __init__(self, x: Tensor) -> None:
        mean, _, directions = principal_components(x)
        self.mean, self.directions = mean.to(x.dtype), directions.to(x.dtype)

    def encode(self, x: Tensor, k: int) -> Tensor:
        """The codes [N, k] of images [N, pixels]: their first k components."""
        return (x - self.mean) @ self.directions[:, :k]

    def decode(self, codes: Tensor) -> Tensor:
        """Images [N, pixels] from codes [N, k]."""
        return self.mean + codes @ self.directions[:, : codes.shape[1]].T

    def errors(self, x: Tensor) -> list[float]:
        """Squared error per image of x [N, pixels], for 0, 1, ... components."""
        centred = x - self.mean
        codes = (centred @ self.directions).double()
        kept = codes.square().mean(0).cumsum(0)
        total = centred.double().square().sum(1).mean()
        return [total.item(), *(total - kept).clamp_min(0).tolist()]

    def pictures(self, digits: Tensor) -> dict[str, np.ndarray]:
        """Reconstructions of images [n, C, H, W], as uint8 [n, H, W] under "pca/<components>"."""
        codes = self.encode(digits.flatten(1), max(SIZES))
        sizes = [k for k in SIZES if k <= codes.shape[1]]
        return {f"pca/{k}": shown(self.decode(codes[:, :k]).view_as(digits)) for k in sizes}
