"""Baseline models: classical filters, the noisy input, raw pixels, PCA and random projections."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from aelab.data.images import shown
from aelab.data.tensors import Tensors, pixels
from aelab.evaluation import feature_classifier, filters, reconstruction
from aelab.evaluation.evaluate import EvalContext, representation_metrics
from aelab.evaluation.generation import fitted_codes
from aelab.evaluation.images import spread
from aelab.evaluation.pca import PCA


def everything(context: EvalContext) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metrics of all baselines (see baselines.json), and the arrays for their figures."""
    data, sizes = context.data, context.sizes
    denoised, pictures = denoising(context)
    pca, test = PCA(data.train.x.flatten(1)), data.test.x.flatten(1)
    pictures |= {"pca_codes": pca.encode(test, 2).cpu().numpy(), "pca_labels": data.test.y.cpu().numpy()}
    pictures |= pca.pictures(data.test.x[spread(data.test.y, sizes.digits)])
    result = {
        "test_images": len(data.test.y),
        "sizes": dataclasses.asdict(sizes),
        "denoising": denoised,
        "probes": probes(context, pca, context.draw("random codes")),
        "pca_sse": pca.errors(test),
        "pca_validation_sse": pca.errors(data.validation.x.flatten(1)),
        "pca_ood_sse": pca.errors(context.ood.x.flatten(1)),
        "feature_classifier_accuracy": feature_classifier.accuracy(context.classifier, data)
        if context.classifier
        else None,
        "generation": generation(context, pca, context.draw("generated")),
        "keras_accuracy": black_accuracy(data.test),
    }
    return result, pictures


def flat(found: dict[str, Any]) -> dict[str, float]:
    """Those numbers of `everything` that are metrics of models too, as metric[/noise]/baseline."""
    numbers = {
        f"{metric}/{noise}/{baseline}": measured[metric]
        for noise, by_baseline in found["denoising"].items()
        for baseline, measured in by_baseline.items()
        for metric in ("psnr", "ssim")
    }
    for group in ("probes", "generation"):
        numbers |= {f"{m}/{baseline}": v for baseline, measured in found[group].items() for m, v in measured.items()}
    return numbers


def denoising(context: EvalContext) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """For each noise, PSNR and SSIM of the noisy input and of each filter with its best parameter on validation.

    Also the images: clean, noisy and filtered test digits, uint8 [digits, H, W].
    """
    data = context.data
    rows = spread(data.test.y, context.sizes.digits)
    result: dict[str, Any] = {}
    pictures = {"clean": shown(data.test.x[rows]), "labels": data.test.y[rows].cpu().numpy()}
    for label, stored in data.noisy.items():
        noisy, held_out = pixels(stored), pixels(context.noisy_validation[label])
        result[label] = {"noisy": quality(data.test.x, noisy)}
        pictures[f"noisy/{label}"] = shown(noisy[rows])
        for name, apply in filters.FILTERS.items():
            parameter = filters.choose(name, held_out, data.validation.x)
            filtered = apply(noisy, parameter)
            result[label][name] = {**quality(data.test.x, filtered), "parameter": parameter}
            pictures[f"{name}/{label}"] = shown(filtered[rows])
    return result, pictures


def quality(x: Tensor, x_hat: Tensor) -> dict[str, float]:
    """PSNR (dB) and SSIM, means over images."""
    return {
        "psnr": reconstruction.psnr(x, x_hat).mean().item(),
        "ssim": reconstruction.ssim(x, x_hat).mean().item(),
    }


def probes(context: EvalContext, pca: PCA, generator: Generator) -> dict[str, dict[str, float]]:
    """Representation metrics of raw pixels, PCA codes and a random projection (see evaluate.representation_metrics)."""
    data, code = context.data, context.sizes.latent_dim
    flat = [split.x.flatten(1) for split in (data.train, data.validation, data.test)]
    random = torch.randn(flat[0].shape[1], code, generator=generator, device=flat[0].device)
    encoders = {
        "raw pixels": lambda x: x,
        f"PCA {code}": lambda x: pca.encode(x, code),
        f"random {code}": lambda x: x @ random,
    }
    labels = (data.train.y, data.validation.y, data.test.y)
    return {
        name: representation_metrics(context, list(zip(map(encode, flat), labels, strict=True))).test
        for name, encode in encoders.items()
    }


def generation(context: EvalContext, pca: PCA, generator: Generator) -> dict[str, dict[str, float]]:
    """Generation metrics of training images, which nothing generated can beat, and of gaussian PCA codes."""
    if not context.classifier:
        return {}
    train, code = context.data.train.x, context.sizes.latent_dim
    codes = pca.encode(train[: context.sizes.max_train_codes].flatten(1), code)
    n = min(context.sizes.num_samples, len(context.data.test.x))
    made = pca.decode(fitted_codes(codes, n, generator)).view(-1, *train.shape[1:])
    return {
        "training images": context.generation_metrics(train[:n]),
        f"PCA {code} gaussian": context.generation_metrics(made),
    }


def black_accuracy(test: Tensors) -> float:
    """What Keras would print as "accuracy" for a model that always outputs a black image."""
    return reconstruction.keras_accuracy(test.x, torch.zeros_like(test.x))
