"""What is measured on images and on other kinds of data: the one place where they differ.

Everything else that evaluation does (codes, likelihoods, diagnostics) is the same for all kinds.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import numpy as np
from torch import Tensor

from aelab.data.images import shown
from aelab.data.layout import Layout
from aelab.data.tensors import Data
from aelab.evaluation import filters, reconstruction
from aelab.evaluation.cells import CellMeasures
from aelab.evaluation.filters import Filter
from aelab.evaluation.pca import PCA


class Measures(Protocol):
    """Measures of reconstructions x_hat of x, both [N, ...]."""

    def squared_errors(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """The squared error of each item, float64 [N]."""
        ...

    def psnr(self, x: Tensor, x_hat: Tensor) -> float:
        """-10 log10(mean squared error), in dB."""
        ...

    def of_items(self, x: Tensor, x_hat: Tensor) -> dict[str, Tensor]:
        """Values of single items [N] whose mean is a metric: psnr, where it is a mean over items."""
        ...

    def reconstruction(self, x: Tensor, x_hat: Tensor, bounded: bool) -> dict[str, float]:
        """Metrics by name, means over items; among them sse and psnr. bounded: whether x_hat lies in [0, 1]."""
        ...

    def denoised(self, x: Tensor, noisy: Tensor, x_hat: Tensor) -> dict[str, float]:
        """Metrics beside psnr of what was rebuilt from noisy data."""
        ...

    def completed(self, noise: str, noisy: Tensor, x_hat: Tensor) -> Tensor:
        """What is compared with clean data: x_hat, or where a noise (its label) only hides cells, x_hat in these."""
        ...

    def filters(self, data: Data, pca: PCA) -> Mapping[str, Filter]:
        """The baselines of denoising by name."""
        ...

    def arrays(self, name: str, x: Tensor, noisy: Tensor | None, x_hat: Tensor, rows: Tensor) -> dict[str, np.ndarray]:
        """What figures need of x_hat, rebuilt or filtered from `noisy` (None: from x): of all items and of some."""
        ...


class ImageMeasures:
    """The measures of images [N, C, H, W]."""

    def squared_errors(self, x: Tensor, x_hat: Tensor) -> Tensor:
        return reconstruction.squared_errors(x, x_hat)

    def psnr(self, x: Tensor, x_hat: Tensor) -> float:
        return reconstruction.psnr(x, x_hat).mean().item()

    def of_items(self, x: Tensor, x_hat: Tensor) -> dict[str, Tensor]:
        return {"psnr": reconstruction.psnr(x, x_hat)}

    def reconstruction(self, x: Tensor, x_hat: Tensor, bounded: bool) -> dict[str, float]:
        found = reconstruction.measure(x, x_hat, bounded) | reconstruction.by_ink(x, x_hat)
        return found | {"keras_accuracy": reconstruction.keras_accuracy(x, x_hat)}

    def denoised(self, x: Tensor, noisy: Tensor, x_hat: Tensor) -> dict[str, float]:
        return {"ssim": reconstruction.ssim(x, x_hat).mean().item(), **reconstruction.by_ink(x, x_hat)}

    def completed(self, noise: str, noisy: Tensor, x_hat: Tensor) -> Tensor:
        return x_hat

    def filters(self, data: Data, pca: PCA) -> Mapping[str, Filter]:
        return filters.FILTERS

    def arrays(self, name: str, x: Tensor, noisy: Tensor | None, x_hat: Tensor, rows: Tensor) -> dict[str, np.ndarray]:
        return {name: shown(x_hat[rows])}


def of(layout: Layout | None) -> Measures:
    """The measures of data whose columns have this layout; images have none."""
    return CellMeasures(layout) if layout else ImageMeasures()
