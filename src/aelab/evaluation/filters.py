"""Classical denoising filters: baselines of denoising autoencoders.

Images are float32 [N, C, H, W] in [0, 1]. Each filter has one parameter, chosen on validation by PSNR.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

TRIED = 200  # validation images that choose the parameter


@dataclass(frozen=True)
class Filter:
    """A baseline of denoising with one parameter: apply(noisy [N, ...], parameter) -> x_hat, and what to try."""

    grid: tuple[float, ...]
    apply: Callable[[Tensor, float], Tensor]


def median(noisy: Tensor, size: float) -> Tensor:
    """The median over a size x size window."""
    from scipy.ndimage import median_filter

    return _as(noisy, median_filter(_array(noisy), size=(1, 1, int(size), int(size))))


def gaussian(noisy: Tensor, sigma: float) -> Tensor:
    """A gaussian blur with standard deviation `sigma` pixels."""
    from scipy.ndimage import gaussian_filter

    return _as(noisy, gaussian_filter(_array(noisy), sigma=(0, 0, sigma, sigma)))


def non_local_means(noisy: Tensor, h: float) -> Tensor:
    """Means over similar 5 x 5 patches at most 5 pixels away (Buades, Coll & Morel 2005)."""
    from skimage.restoration import denoise_nl_means

    how = {"patch_size": 5, "patch_distance": 5, "h": h, "fast_mode": True}
    if noisy.shape[1] == 1:  # an axis of one channel would count as a colour, and change the result
        images = [denoise_nl_means(image[0], **how)[None] for image in _array(noisy)]
    else:
        images = [denoise_nl_means(image, channel_axis=0, **how) for image in _array(noisy)]
    return _as(noisy, np.stack(images))


FILTERS = {
    "median": Filter((3, 5), median),  # window, pixels
    "gaussian": Filter((0.5, 0.75, 1.0, 1.5, 2.0), gaussian),  # standard deviation, pixels
    "non_local_means": Filter((0.1, 0.15, 0.2, 0.25, 0.3, 0.4), non_local_means),  # h: how different patches may be
}


def choose(tried: Filter, noisy: Tensor, clean: Tensor, psnr: Callable[[Tensor, Tensor], float]) -> float:
    """The parameter of a filter with the highest PSNR over the first TRIED validation images."""
    noisy, clean = noisy[:TRIED], clean[:TRIED]
    if len(tried.grid) == 1:
        return tried.grid[0]
    return max(tried.grid, key=lambda value: psnr(clean, tried.apply(noisy, value)))


def _array(x: Tensor) -> np.ndarray:
    return x.cpu().numpy()


def _as(like: Tensor, found: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(found, dtype=np.float32)).to(like.device)
