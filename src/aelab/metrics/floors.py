"""What every model is held against: classical filters, the noisy input, and codes that nobody had to learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from aelab.data.tensors import Data, pixels
from aelab.metrics import filters, reconstruction, representation
from aelab.metrics.evaluation import shown, spread


@dataclass(frozen=True)
class Floors:
    """code: numbers per code of the PCA and random floors; neighbours: k of kNN; digits: kept for pictures."""

    code: int
    neighbours: int
    digits: int

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{key}: {value} is out of range; allowed: 1 or more")


def denoising(
    data: Data, noisy_validation: dict[str, Tensor], digits: int
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Per noise: PSNR and SSIM of the noisy input and of each filter at the parameter that was best on validation.

    Also the pictures: clean, noisy and filtered test digits, uint8 [digits, H, W].
    """
    rows = spread(data.test.y, digits)
    found: dict[str, Any] = {}
    pictures = {"clean": shown(data.test.x[rows]), "labels": data.test.y[rows].cpu().numpy()}
    for label, stored in data.noisy.items():
        noisy, held_out = pixels(stored), pixels(noisy_validation[label])
        found[label] = {"noisy": quality(data.test.x, noisy)}
        pictures[f"noisy/{label}"] = shown(noisy[rows])
        for name, apply in filters.FILTERS.items():
            parameter = filters.choose(name, held_out, data.validation.x)
            filtered = apply(noisy, parameter)
            found[label][name] = {**quality(data.test.x, filtered), "parameter": parameter}
            pictures[f"{name}/{label}"] = shown(filtered[rows])
    return found, pictures


def pca_codes(train: Tensor, test: Tensor) -> np.ndarray:
    """The first two principal components [N, 2] of test images, fitted on `train`, both [N, pixels]."""
    mean, directions = principal_directions(train)
    return ((test - mean) @ directions[:, :2]).cpu().numpy()


def quality(x: Tensor, x_hat: Tensor) -> dict[str, float]:
    """PSNR (dB) and SSIM, means over images."""
    return {
        "psnr": reconstruction.psnr(x, x_hat).mean().item(),
        "ssim": reconstruction.ssim(x, x_hat).mean().item(),
    }


def probes(data: Data, code: int, neighbours: int, generator: Generator) -> dict[str, dict[str, float]]:
    """Linear probe and kNN on raw pixels, on PCA codes and on a random projection to as many numbers."""
    flat = [split.x.flatten(1) for split in (data.train, data.validation, data.test)]
    mean, directions = principal_directions(flat[0])
    random = torch.randn(flat[0].shape[1], code, generator=generator, device=flat[0].device)
    encoders = {
        "raw pixels": lambda x: x,
        f"PCA {code}": lambda x: (x - mean) @ directions[:, :code],
        f"random {code}": lambda x: x @ random,
    }
    labels = (data.train.y, data.validation.y, data.test.y)
    found = {}
    for name, encode in encoders.items():
        train, validation, test = zip(map(encode, flat), labels, strict=True)
        found[name] = representation.linear_probe(train, validation, test) | representation.knn(train, test, neighbours)
    return found


def pca_errors(train: Tensor, test: Tensor) -> list[float]:
    """Squared error per test image of PCA with K = 0, 1, ..., pixels components fitted on `train`, both [N, pixels]."""
    mean, directions = principal_directions(train)
    centred = test - mean
    codes = (centred @ directions).double()
    kept = codes.square().mean(0).cumsum(0)
    total = centred.double().square().sum(1).mean()
    return [total.item(), *(total - kept).clamp_min(0).tolist()]


def principal_directions(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean [pixels] and principal directions [pixels, pixels] of x [N, pixels], largest variance first."""
    mean = x.mean(0)
    covariance = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for rows in x.split(10_000):
        centred = (rows - mean).double()
        covariance += centred.T @ centred
    return mean, torch.linalg.eigh(covariance)[1].flip(1).to(x.dtype)
