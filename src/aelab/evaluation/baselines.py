"""Baseline models: classical filters, the noisy input, raw pixels, PCA and random projections."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Generator, Tensor

from aelab.data.columns import KINDS
from aelab.data.images import shown
from aelab.data.tensors import Tensors, mapped, pixels
from aelab.evaluation import (
    anomalies,
    compression,
    feature_classifier,
    filters,
    forecasts,
    reconstruction,
    supervised,
    svm,
    uses,
)
from aelab.evaluation.context import EvalContext, Metrics
from aelab.evaluation.evaluate import leading, representation_metrics
from aelab.evaluation.generation import fitted_codes
from aelab.evaluation.images import spread
from aelab.evaluation.measures import Measures
from aelab.evaluation.pca import PCA

BOOSTED = 2_000_000  # features x classes x labels at most for boosting on raw values
QUALITY = ("psnr", "ssim", "restored_mse", "restored_error")  # of filters and models on noisy data


def everything(context: EvalContext) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metrics of all baselines (see baselines.json), and the arrays for their figures."""
    data, sizes = context.data, context.sizes
    pca, test = PCA(data.train.x.flatten(1)), data.test.x.flatten(1)
    denoised, pictures = denoising(context, pca)
    pictures |= {"pca_codes": pca.encode(test, 2).cpu().numpy(), "pca_labels": data.test.y.cpu().numpy()}
    image = data.test.x.dim() == 4
    if image:
        pictures |= pca.pictures(data.test.x[spread(data.test.y, sizes.digits)])
    probed = probes(context, pca, context.draw("random codes")) if context.asks("representation") else {}
    pictures |= {
        f"{metric}/{name}": values.float().cpu().numpy()
        for name, found in probed.items()
        for metric, values in found.per_image.items()
    }
    result = {
        "test_images": len(data.test.y),
        "sizes": sizes.recorded(),
        "denoising": denoised,
        "probes": {name: found.test for name, found in probed.items()},
        "pca_sse": errors(context, pca, data.test.x),
        "pca_validation_sse": errors(context, pca, data.validation.x),
        "pca_ood_sse": errors(context, pca, context.ood.x),
        "feature_classifier_accuracy": feature_classifier.accuracy(context.classifier, data)
        if context.classifier
        else None,
        "generation": generation(context, pca, context.draw("generated")) if context.asks("generation") else {},
    }
    if context.asks("compression"):
        result["compression"] = {
            name: {"points": points} | compression.metrics(points, KINDS[data.test.x.dim() - 1])
            for name, points in compression.baselines(data, pca, context.measures).items()
        }
    if context.asks("anomalies"):
        detectors = anomalies.baselines(data, pca, context.measures, sizes.neighbours, context.draw("isolation forest"))
        result["anomaly"] = {name: test | {"validation": held_out} for name, (test, held_out, _) in detectors.items()}
        pictures |= {f"anomaly/{name}": scores.float().cpu().numpy() for name, (*_, scores) in detectors.items()}
    if context.asks("learners"):
        learned = learners(context, pca)
        result["learners"] = {"test": learned.test, "validation": learned.validation}
        pictures |= {name: wrong.numpy().astype(np.uint8) for name, wrong in learned.per_image.items()}
    if sizes.svm and context.labelled:
        result["svm"] = svm.evaluate(data, sizes.svm)
    if context.asks("representation"):
        pictures |= queries(context, pca)
    if data.test.x.dim() == 3:
        result["next_step"] = forecasts.baselines(data, context.measures)
    if image:
        result["keras_accuracy"] = black_accuracy(data.test)
    return result, pictures


def errors(context: EvalContext, pca: PCA, x: Tensor) -> list[float]:
    """The squared error per item of x [N, ...], for 0, 1, ... components of PCA."""
    if x.dim() == 4:
        return pca.errors(x.flatten(1))
    rebuilt = (pca.decode(pca.encode(x.flatten(1), k)).view_as(x) for k in range(pca.directions.shape[1] + 1))
    return [context.measures.squared_errors(x, x_hat).mean().item() for x_hat in rebuilt]


def flat(found: dict[str, Any]) -> dict[str, float]:
    """Those numbers of `everything` that are metrics of models too, as metric[/noise]/baseline."""
    numbers = {
        f"{metric}/{noise}/{baseline}": measured[metric]
        for noise, by_baseline in found["denoising"].items()
        for baseline, measured in by_baseline.items()
        for metric in QUALITY
        if metric in measured
    }
    for group in ("probes", "generation"):
        numbers |= {f"{m}/{baseline}": v for baseline, measured in found[group].items() for m, v in measured.items()}
    return numbers


def denoising(context: EvalContext, pca: PCA) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """For each noise, the quality of the noisy input and of each filter with its best parameter on validation.

    Also what figures show: clean, noisy and filtered test items (see Measures.arrays).
    """
    data, measures = context.data, context.measures
    rows = spread(data.test.y, context.sizes.digits)
    result: dict[str, Any] = {}
    pictures = measures.arrays("clean", data.test.x, None, data.test.x, rows)
    pictures["labels"] = data.test.y[rows].cpu().numpy()
    tried = measures.filters(data, pca)
    for label, stored in data.noisy.items():
        noisy, held_out = pixels(stored), pixels(context.noisy_validation[label])
        result[label] = {"noisy": quality(context, noisy, noisy)}
        pictures |= measures.arrays(f"noisy/{label}", data.test.x, noisy, noisy, rows)
        judged = partial(completed_psnr, measures, label, held_out)
        for name, each in tried.items():
            parameter = filters.choose(each, held_out, data.validation.x, judged)
            filtered = measures.completed(label, noisy, each.apply(noisy, parameter))
            result[label][name] = {**quality(context, noisy, filtered), "parameter": parameter}
            pictures |= measures.arrays(f"{name}/{label}", data.test.x, noisy, filtered, rows)
    return result, pictures


def completed_psnr(measures: Measures, noise: str, noisy: Tensor, x: Tensor, x_hat: Tensor) -> float:
    """The PSNR of the first items of filtered data, as that of models is measured."""
    return measures.psnr(x, measures.completed(noise, noisy[: len(x)], x_hat))


def quality(context: EvalContext, noisy: Tensor, x_hat: Tensor) -> dict[str, float]:
    """How good test data is that was filtered or rebuilt from its noisy copy: means over items, those of QUALITY."""
    x = context.data.test.x
    found = {"psnr": context.measures.psnr(x, x_hat), **context.measures.denoised(x, noisy, x_hat)}
    return {name: value for name, value in found.items() if name in QUALITY}


def probes(context: EvalContext, pca: PCA, generator: Generator) -> dict[str, Metrics]:
    """Representation metrics of raw pixels, PCA codes and a random projection (see evaluate.representation_metrics)."""
    data, code = context.data, context.sizes.latent_dim
    train = leading(data.train, data.train.x[0].numel())
    flat = [split.x.flatten(1) for split in (train, data.validation, data.test)]
    random = torch.randn(flat[0].shape[1], code, generator=generator, device=flat[0].device)
    encoders = {
        "raw pixels": lambda x: x,
        f"PCA {code}": lambda x: pca.encode(x, code),
        f"random {code}": lambda x: x @ random,
    }
    labels = (train.y, data.validation.y, data.test.y)
    return {
        name: representation_metrics(context, list(zip(map(encode, flat), labels, strict=True)))
        for name, encode in encoders.items()
    }


def learners(context: EvalContext, pca: PCA) -> Metrics:
    """The errors of supervised learners on raw values and on PCA's codes (see uses.learned)."""
    if not context.labelled:
        return Metrics({})
    data = context.data
    parts = zip((data.train, data.validation, data.test), supervised.MOST, strict=True)
    raw = [(x[:n].flatten(1), y[:n]) for (x, y), n in parts]
    codes = [(pca.encode(x, context.sizes.latent_dim), y) for x, y in raw]
    return uses.learned(context, {"raw": raw, "pca": codes}, BOOSTED)


def queries(context: EvalContext, pca: PCA) -> dict[str, np.ndarray]:
    """Some test items, near/queries [n, ...] and near/truth, and the training items nearest to them by raw values and
    by PCA's codes (see uses.neighbours)."""
    data, code = context.data, context.sizes.latent_dim
    rows = spread(data.test.y, uses.QUERIES)
    x = data.test.x[rows]
    found = {
        "near/queries": shown(x) if x.dim() == 4 else x.cpu().numpy(),
        "near/truth": data.test.y[rows].cpu().numpy(),
    }
    encoders = {"raw values": lambda x: x.flatten(1), f"PCA {code}": lambda x: pca.encode(x.flatten(1), code)}
    for name, encode in encoders.items():
        coded = [
            (mapped(encode, split.x), split.y)
            for split in (leading(data.train, x[0].numel()), data.validation, data.test)
        ]
        found |= {f"{name}/{key}": array for key, array in uses.neighbours(context, coded).items()}
    return found


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
