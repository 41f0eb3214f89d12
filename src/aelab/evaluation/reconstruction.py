"""Reconstruction error.

x and x_hat are float32 [N, C, H, W] in data units; every metric is a mean over images.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from aelab.data import layout

CHUNK = 2000
CAP = 100.0  # dB of a perfect image, whose PSNR is infinite
INK = 0.5  # clean pixels above it are foreground


def measure(x: Tensor, x_hat: Tensor, bounded: bool) -> dict[str, float]:
    """mse (per pixel), sse (per image), bce (nats per image), psnr (dB), ssim.

    bounded: whether x_hat lies in [0, 1]; else bce is NaN, and the others use it as it is. Raises ValueError if the
    shapes differ.
    """
    if x.shape != x_hat.shape:
        raise ValueError(f"images {tuple(x.shape)} and reconstructions {tuple(x_hat.shape)} differ in shape")
    squared = squared_errors(x, x_hat)
    return {
        "mse": (squared.mean() / x[0].numel()).item(),
        "sse": squared.mean().item(),
        "bce": cross_entropy(x, x_hat).mean().item() if bounded else math.nan,
        "psnr": psnr(x, x_hat).mean().item(),
        "ssim": ssim(x, x_hat).mean().item(),
    }


def by_ink(x: Tensor, x_hat: Tensor) -> dict[str, float]:
    """psnr_foreground, psnr_background (dB): PSNR over the pixels above 0.5 in the clean image x, and over the others.

    Means over the images that have such pixels; NaN without any.
    """
    squared = (x - x_hat).flatten(1).double().square()
    stroke = (x > INK).flatten(1).double()
    result = {}
    for name, chosen in (("psnr_foreground", stroke), ("psnr_background", 1 - stroke)):
        count = chosen.sum(1)
        mse = (squared * chosen).sum(1)[count > 0] / count[count > 0]
        result[name] = (-10 * mse.log10()).clamp(max=CAP).mean().item()
    return result


def keras_accuracy(x: Tensor, x_hat: Tensor) -> float:
    """What Keras prints as "accuracy" beside a cross-entropy on pixels: mean(round(x_hat) == x). It misleads.

    A grey pixel is never correct, however close, and the many black pixels are correct in a black image too.
    """
    return (x_hat.round() == x).double().mean().item()


def squared_errors(x: Tensor, x_hat: Tensor) -> Tensor:
    """Sum over pixels of (x - x_hat)^2 per image, float64 [N]."""
    return layout.squared_errors(x, x_hat, None)


def cross_entropy(x: Tensor, x_hat: Tensor) -> Tensor:
    """-sum over pixels of x ln x_hat + (1 - x) ln(1 - x_hat), nats per image, float64 [N]; x_hat clipped inside (0,
    1)."""
    p, q = x.flatten(1).double(), x_hat.flatten(1).double().clamp(1e-7, 1 - 1e-7)
    return -(p * q.log() + (1 - p) * (1 - q).log()).sum(1)


def psnr(x: Tensor, x_hat: Tensor) -> Tensor:
    """Peak signal-to-noise ratio 10 log10(1 / mse) per image, in dB, at most CAP, float64 [N]."""
    mse = squared_errors(x, x_hat) / x[0].numel()
    return (-10 * mse.log10()).clamp(max=CAP)


def ssim(x: Tensor, x_hat: Tensor) -> Tensor:
    """Structural similarity (Wang et al. 2004) per image, float64 [N].

    As scikit-image computes it with gaussian_weights, sigma 1.5, use_sample_covariance=False, data_range 1: an 11 x 11
    window, borders left out. Raises ValueError for an image smaller than the window.
    """
    if min(x.shape[-2:]) < 11:
        raise ValueError(f"images of {x.shape[-2]} x {x.shape[-1]} pixels are smaller than SSIM's window of 11 x 11")
    return torch.cat([_ssim(a, b) for a, b in zip(x.split(CHUNK), x_hat.split(CHUNK), strict=True)])


def _ssim(x: Tensor, y: Tensor) -> Tensor:
    x, y = x.double(), y.double()
    means = _window(torch.stack([x, y, x * x, y * y, x * y]))
    mean_x, mean_y, xx, yy, xy = means.unbind()
    var_x, var_y, cov = xx - mean_x**2, yy - mean_y**2, xy - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    s = (2 * mean_x * mean_y + c1) * (2 * cov + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return s.mean((1, 2, 3))


def _window(x: Tensor) -> Tensor:
    """The gaussian mean around every pixel with a complete window: [..., H, W] -> [..., H - 10, W - 10].

    Two products with banded matrices, many times as fast as a convolution in float64.
    """
    offsets = torch.arange(-5, 6, dtype=x.dtype, device=x.device)
    weights = torch.exp(-0.5 * (offsets / 1.5) ** 2)
    weights = weights / weights.sum()

    def band(size: int) -> Tensor:  # [size - 10, size], the window one step further in every row
        rows = torch.zeros(size - 10, size, dtype=x.dtype, device=x.device)
        for i in range(size - 10):
            rows[i, i : i + 11] = weights
        return rows

    return band(x.shape[-2]) @ x @ band(x.shape[-1]).T
