"""Reconstructions of noisy images, compared with the clean ones."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from aelab.data.tensors import Tensors, mapped, pixels
from aelab.evaluation import reconstruction
from aelab.models.common import Autoencoder


def measure(model: Autoencoder, clean: Tensors, noisy: dict[str, Tensor]) -> tuple[dict[str, float], dict[str, Tensor]]:
    """PSNR (dB) and SSIM of reconstructed noisy images, uint8 [N, C, H, W] by noise; PSNR of fore- and background
    too. And the PSNR of each image, float64 [N]."""
    result, psnrs = {}, {}
    for label, images in noisy.items():
        rebuilt = _rebuilt(model, images, clean.y)
        psnrs[f"psnr/{label}"] = reconstruction.psnr(clean.x, rebuilt)
        result[f"psnr/{label}"] = psnrs[f"psnr/{label}"].mean().item()
        result[f"ssim/{label}"] = reconstruction.ssim(clean.x, rebuilt).mean().item()
        by_ink = reconstruction.by_ink(clean.x, rebuilt)
        result |= {f"{metric}/{label}": value for metric, value in by_ink.items()}
    return result, psnrs


def psnrs(model: nn.Module, clean: Tensors, noisy: dict[str, Tensor]) -> dict[str, float]:
    """PSNR (dB) of the reconstructions of clean images and of each noise."""
    model = cast(Autoencoder, model)
    rebuilt = {"clean": mapped(model.reconstruct, *clean)}
    rebuilt |= {label: _rebuilt(model, images, clean.y) for label, images in noisy.items()}
    return {label: reconstruction.psnr(clean.x, x_hat).mean().item() for label, x_hat in rebuilt.items()}


def _rebuilt(model: Autoencoder, images: Tensor, labels: Tensor) -> Tensor:
    return mapped(lambda x, y: model.reconstruct(pixels(x), y), images, labels)
