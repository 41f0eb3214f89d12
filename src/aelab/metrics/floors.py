"""What every model is held against: classical filters, the noisy input, and codes that nobody had to learn."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from aelab.data.tensors import Data, Tensors, pixels
from aelab.metrics import filters, judge, reconstruction
from aelab.metrics.evaluation import Bench, worth
from aelab.metrics.generation import random_codes
from aelab.metrics.images import shown, spread


def everything(bench: Bench, noisy_validation: dict[str, Tensor]) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """All floors as numbers, by measure (see floors.json), and as pictures."""
    data, sizes = bench.data, bench.sizes
    denoised, pictures = denoising(data, noisy_validation, sizes.digits)
    train, test = data.train.x.flatten(1), data.test.x.flatten(1)
    pictures |= {"pca_codes": pca_codes(train, test), "pca_labels": data.test.y.cpu().numpy()}
    pictures |= pca_pictures(data.train.x, data.test.x[spread(data.test.y, sizes.digits)])
    found = {
        "test_images": len(data.test.y),
        "sizes": dataclasses.asdict(sizes),
        "denoising": denoised,
        "probes": probes(bench, bench.draw("random codes")),
        "pca_sse": pca_errors(train, test),
        "pca_validation_sse": pca_errors(train, data.validation.x.flatten(1)),
        "pca_shift_sse": pca_errors(train, bench.strange.x.flatten(1)),
        "judge_accuracy": judge.accuracy(bench.judge, data),
        "generation": generation(bench, bench.draw("generated")),
        "keras_accuracy": black_accuracy(data.test),
    }
    return found, pictures


def flat(found: dict[str, Any]) -> dict[str, float]:
    """The numbers of `everything` that a model has too, as metric[/noise]/floor."""
    numbers = {
        f"{metric}/{noise}/{floor}": measured[metric]
        for noise, by_floor in found["denoising"].items()
        for floor, measured in by_floor.items()
        for metric in ("psnr", "ssim")
    }
    for group in ("probes", "generation"):
        numbers |= {f"{m}/{floor}": v for floor, measured in found[group].items() for m, v in measured.items()}
    return numbers


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


SIZES = (1, 2, 3, 4, 5, 8, 10, 12, 16, 20, 30, 32, 50, 64, 100, 128)  # numbers per code of PCA's pictures


def pca_pictures(train: Tensor, digits: Tensor) -> dict[str, np.ndarray]:
    """Images [n, C, H, W] rebuilt by PCA fitted on `train`, as uint8 [n, H, W] under "pca/<numbers per code>"."""
    mean, directions = principal_directions(train.flatten(1))
    codes = (digits.flatten(1) - mean) @ directions
    return {f"pca/{k}": shown((mean + codes[:, :k] @ directions[:, :k].T).view_as(digits)) for k in SIZES}


def quality(x: Tensor, x_hat: Tensor) -> dict[str, float]:
    """PSNR (dB) and SSIM, means over images."""
    return {
        "psnr": reconstruction.psnr(x, x_hat).mean().item(),
        "ssim": reconstruction.ssim(x, x_hat).mean().item(),
    }


def probes(bench: Bench, generator: Generator) -> dict[str, dict[str, float]]:
    """What raw pixels, PCA codes and a random projection to as many numbers are worth (see evaluation.worth)."""
    data, code = bench.data, bench.sizes.code
    flat = [split.x.flatten(1) for split in (data.train, data.validation, data.test)]
    mean, directions = principal_directions(flat[0])
    random = torch.randn(flat[0].shape[1], code, generator=generator, device=flat[0].device)
    encoders = {
        "raw pixels": lambda x: x,
        f"PCA {code}": lambda x: (x - mean) @ directions[:, :code],
        f"random {code}": lambda x: x @ random,
    }
    labels = (data.train.y, data.validation.y, data.test.y)
    return {name: worth(bench, list(zip(map(encode, flat), labels, strict=True))) for name, encode in encoders.items()}


def generation(bench: Bench, generator: Generator) -> dict[str, dict[str, float]]:
    """The judge on training images, which nothing generated can beat, and on a gaussian of as many PCA codes."""
    train, code = bench.data.train.x, bench.sizes.code
    mean, directions = principal_directions(train.flatten(1))
    codes = (train[: bench.sizes.codes].flatten(1) - mean) @ directions[:, :code]
    n = min(bench.sizes.generated, len(bench.data.test.x))
    made = (mean + random_codes(codes, n, generator) @ directions[:, :code].T).view(-1, *train.shape[1:])
    return {"training images": bench.judged(train[:n]), f"PCA {code} gaussian": bench.judged(made)}


def black_accuracy(test: Tensors) -> float:
    """What Keras would print as the "accuracy" of a black image for every test image."""
    return reconstruction.keras_accuracy(test.x, torch.zeros_like(test.x))


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
