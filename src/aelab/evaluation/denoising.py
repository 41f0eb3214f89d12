"""Reconstructions of noisy images, compared with the clean ones."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn

from aelab.data.tensors import Tensors, mapped, pixels
from aelab.evaluation.measures import Measures
from aelab.models.common import Autoencoder


def measure(
    model: Autoencoder, clean: Tensors, noisy: dict[str, Tensor], measures: Measures
) -> tuple[dict[str, float], dict[str, Tensor]]:
    """PSNR (dB) and the other metrics of reconstructed noisy images, which are given by noise as they are stored. And
    the PSNR of each image [N]."""
    result: dict[str, float] = {}
    items: dict[str, Tensor] = {}
    for label, stored in noisy.items():
        rebuilt = measures.completed(label, pixels(stored), _rebuilt(model, stored, clean.y))
        result[f"psnr/{label}"] = measures.psnr(clean.x, rebuilt)
        items |= {f"{metric}/{label}": values for metric, values in measures.of_items(clean.x, rebuilt).items()}
        more = measures.denoised(clean.x, pixels(stored), rebuilt)
        result |= {f"{metric}/{label}": value for metric, value in more.items()}
    return result, items


def psnrs(model: nn.Module, clean: Tensors, noisy: dict[str, Tensor], measures: Measures) -> dict[str, float]:
    """PSNR (dB) of the reconstructions of clean images and of each noise."""
    model = cast(Autoencoder, model)
    rebuilt = {"clean": mapped(model.reconstruct, *clean)}
    rebuilt |= {
        label: measures.completed(label, pixels(stored), _rebuilt(model, stored, clean.y))
        for label, stored in noisy.items()
    }
    return {label: measures.psnr(clean.x, x_hat) for label, x_hat in rebuilt.items()}


def _rebuilt(model: Autoencoder, images: Tensor, labels: Tensor) -> Tensor:
    return mapped(lambda x, y: model.reconstruct(pixels(x), y), images, labels)
