"""All metrics of one trained model.

The names of metrics are those of report/metric_specs.py, the JSON files and MLflow. A metric that does not apply is
absent.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Generator, Tensor, nn

from aelab.data.tensors import Data, Tensors, mapped
from aelab.evaluation import (
    clusters,
    cost,
    denoising,
    generation,
    health,
    likelihood,
    pairs,
    representation,
    retrieval,
    specific,
    uses,
)
from aelab.evaluation.context import Draw, EvalContext, Metrics
from aelab.evaluation.measures import Measures
from aelab.evaluation.representation import Coded
from aelab.evaluation.settings import Evaluate
from aelab.models.common import Autoencoder, Generative, Likelihood
from aelab.training.classifier import Classifier, predictions

CODE_VALUES = 2**26  # numbers of training codes, at most: 256 MiB


def metrics(model: nn.Module, context: EvalContext, settings: Evaluate, draw: Draw) -> Metrics:
    """All metrics that apply to `model`. draw: random draws for this model only."""
    result = Metrics({"parameters": cost.parameters(model)})
    data = context.data
    if isinstance(model, Classifier):
        return result | classification(model, data)
    assert isinstance(model, Autoencoder)
    coded = [(mapped(model.encode, *item), item.y) for item in (some(model, data.train), data.validation, data.test)]
    rebuilt: list[Tensor] = []
    hidden = health.hidden(model, lambda: rebuilt.append(mapped(model.reconstruct, *data.test)))
    if model.decodes:  # else it also needs part of the image to decode
        result |= reconstruction_metrics(model, context, rebuilt[0])
    if context.asks("representation"):
        result |= representation_metrics(context, coded)
    if context.asks("generation"):
        result |= generation_metrics(model, context, coded[0][0], draw("generated"))
    result |= uses.metrics(model, context, coded)
    codes = coded[2][0]
    width = codes.shape[1]
    alone = (
        representation.sparsity(codes - model.inactive_value)
        | hidden
        | specific.metrics(model, context, settings, coded, draw)
    )
    alone |= {"latent_dim": width, "code_bytes": math.ceil(model.code_bits(width) / 8)}
    return result | Metrics(alone | {"flops": cost.flops(model, data.test.x[:1], data.test.y[:1])})


def one_class(model: nn.Module, context: EvalContext) -> Metrics:
    """How a model that has learned some classes tells all others from them; context: see Data.judged."""
    assert isinstance(model, Autoencoder)
    found = uses.anomaly_metrics(model, context)
    return Metrics(found.test | {"parameters": cost.parameters(model)}, found.validation)


def some(model: Autoencoder, split: Tensors) -> Tensors:
    """The first items of a split, as `leading`, by the width of the model's codes."""
    with torch.no_grad():
        return leading(split, model.encode(split.x[:1], split.y[:1]).shape[1])


def leading(split: Tensors, width: int) -> Tensors:
    """The first items of a split, so many that codes of `width` numbers fit into memory; splits are shuffled."""
    return Tensors(*(part[: max(1, CODE_VALUES // width)] for part in split))


def about(model: nn.Module, test: Tensors, settings: Evaluate) -> dict[str, Any]:
    """Facts about a model for the table: uses_labels; samples ("prior", "N(0, I)" or null); if `nll` is estimated,
    the number of images and of draws; if there is a likelihood, its targets."""
    if not isinstance(model, Autoencoder):
        return {}
    samples = "prior" if isinstance(model, Generative) else "N(0, I)" if model.decodes else None
    result: dict[str, Any] = {"uses_labels": model.uses_labels, "samples": samples}
    if isinstance(model, Likelihood):
        result["targets"] = model.targets
    if isinstance(model, likelihood.Weighted) and model.spec.layout is None:
        result["nll"] = {"images": min(settings.nll_images, len(test.y)), "draws": settings.iwae_samples}
    return result


def reconstruction_metrics(model: Autoencoder, context: EvalContext, rebuilt: Tensor) -> Metrics:
    """Reconstruction error of clean, noisy and OOD images. rebuilt: the reconstructed test images."""
    data, x = context.data, context.data.test.x
    measures = context.measures
    result = measures.reconstruction(x, rebuilt, bounded=model.bounded)
    denoised, per_image = denoising.measure(model, data.test, data.noisy, measures)
    result |= denoised | ood(model, context.ood, result["sse"], measures)
    per_image["sse"] = measures.squared_errors(x, rebuilt)
    held_out, rebuilt = data.validation, mapped(model.reconstruct, *data.validation)
    psnrs = denoising.psnrs(model, held_out, context.noisy_validation, measures)
    chosen_by = {"sse": measures.squared_errors(held_out.x, rebuilt).mean().item(), "psnr": psnrs.pop("clean")}
    return Metrics(result, chosen_by | {f"psnr/{label}": value for label, value in psnrs.items()}, per_image)


def representation_metrics(context: EvalContext, coded: list[Coded]) -> Metrics:
    """Quality of the codes of train, validation and test: probes, neighbours, clusters, pairs. Also for baselines."""
    train, validation, test = coded
    sizes, data = context.sizes, context.data
    some = train[0][: sizes.max_train_codes], train[1][: sizes.max_train_codes]
    images = data.train.x[: sizes.max_train_codes], data.test.x
    matching = pairs.matching(images, (some[0], test[0]), sizes.steps, context.draw("matching pairs"))
    if not context.labelled:  # all others are about classes
        return Metrics(matching)
    probe = representation.linear_probe(train, validation, test)
    result = {"probe_accuracy": probe.test} | representation.knn(train, test, sizes.neighbours)
    few_labels = representation.few_labels(train, validation, test, sizes.labels, sizes.few_shot_repeats, context.draw)
    result["few_labels_accuracy"] = few_labels.test
    result |= clusters.clusters(some, test, context.draw("clusters"))
    result |= matching
    result |= pairs.same_class(some, test, sizes.steps, context.draw("pairs of a class"))
    chosen_by = {"probe_accuracy": probe.validation, "few_labels_accuracy": few_labels.validation}
    found, held_out = retrieval.retrieval(train, test), retrieval.retrieval(train, validation)
    result |= {name: values.nanmean().item() for name, values in found.items()}
    chosen_by |= {name: values.nanmean().item() for name, values in held_out.items()}
    return Metrics(result, chosen_by, found)


def generation_metrics(model: Autoencoder, context: EvalContext, codes: Tensor, generator: Generator) -> Metrics:
    """Metrics of samples from the prior or, without one, of decoded codes from N(0, I); and of decoded codes from a
    gaussian that is fitted to codes of training images [N, K] (Ghosh et al. 2020, RAE: ex-post density estimation)."""
    if not model.decodes or not context.classifier:
        return Metrics({})
    test = context.data.test
    n = min(context.sizes.num_samples, len(test.x))
    with torch.no_grad():
        if isinstance(model, Generative):
            made = model.sample(n, generator)
        else:
            made = mapped(model.decode, generation.normal_codes(codes, n, generator), test.y[:n])
    fitted = generation.fitted_codes(codes[: context.sizes.max_train_codes], n, generator)
    features, again = context.features(made), context.features(mapped(model.decode, fitted, test.y[:n]))
    result = generation.measure(context.test_features, features)
    result["fitted_frechet_distance"] = generation.distance(context.test_features, again)
    held_out = context.features(context.data.validation.x)[:n]
    return Metrics(result, {"frechet_distance": generation.distance(held_out, features[: len(held_out)])})


def classification(model: Classifier, data: Data) -> Metrics:
    """The share of wrong labels, by label budget of the model and, on the test split, by class.

    If several budgets are evaluated in turn, those by class are of the last one.
    """
    held_out, wrong = ((predictions(model, x) != y).double() for x, y in (data.validation, data.test))
    labels = data.test.y
    by_class = {f"class_error/{label}": wrong[labels == label].mean().item() for label in labels.unique().tolist()}
    name = f"test_error/{model.labels}"
    result = {name: wrong.mean().item()} | by_class
    return Metrics(result, {f"error/{model.labels}": held_out.mean().item()}, {name: wrong})


def ood(model: Autoencoder, ood: Tensors, sse: float, measures: Measures) -> dict[str, float]:
    """ood_sse: squared error per OOD image; ood_ratio: that over the squared error per test image, `sse`."""
    error = measures.squared_errors(ood.x, mapped(model.reconstruct, *ood)).mean().item()
    return {"ood_sse": error, "ood_ratio": error / sse if sse > 0 else float("inf")}
