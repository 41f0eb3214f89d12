"""Everything that is measured of one trained model.

Numbers carry the names of the table, the JSON files and MLflow. A measure that does not apply to a model is absent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from aelab.data.tensors import Data, Tensors, mapped, measurable
from aelab.evaluation import (
    clusters,
    cost,
    denoising,
    feature_classifier,
    generation,
    health,
    likelihood,
    pairs,
    reconstruction,
    representation,
)
from aelab.evaluation.representation import Coded
from aelab.evaluation.settings import Baselines, Evaluate
from aelab.models.common import Autoencoder, GaussianAutoencoder, Generative, Likelihood, Spec
from aelab.training.classifier import Classifier, predictions

Draw = Callable[[str], Generator]


@runtime_checkable
class Hiding(Protocol):
    """A model that rebuilds what was hidden from it."""

    def hidden_error(self, x: Tensor, generator: Generator) -> Tensor:
        """Squared error per hidden pixel of each image [B]."""
        ...


@runtime_checkable
class Predicting(Protocol):
    """A model that reads the rows above `seen` and predicts the others."""

    seen: int


@runtime_checkable
class PseudoLikely(Protocol):
    """A model whose log p(x) only a pseudo-likelihood estimates."""

    def pseudo_likelihood(self, x: Tensor, generator: Generator) -> Tensor:
        """The estimate for each image [B], in nats."""
        ...


@runtime_checkable
class Parted(Protocol):
    """A model whose code has two parts."""

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [B, K] -> what holds the class, what is to be blind to it."""
        ...


@dataclass(frozen=True)
class Metrics:
    """Measures by name: on the test split; and those by which the best model is chosen, on the validation split."""

    test: dict[str, float]
    validation: dict[str, float] = field(default_factory=dict)

    def __or__(self, other: Metrics) -> Metrics:
        return Metrics(self.test | other.test, self.validation | other.validation)


@dataclass(frozen=True)
class EvalContext:
    """What baselines and models alike are measured on: the data, how much, by which judge, at the same draws."""

    data: Data
    noisy_validation: dict[str, Tensor]  # uint8 [N, C, H, W] by noise, as `data.noisy` of the test split
    sizes: Baselines
    classifier: Classifier
    draw: Draw

    @property
    def spec(self) -> Spec:
        return Spec(tuple(self.data.test.x.shape[1:]), self.classifier.top.out_features)  # type: ignore[arg-type]

    @property
    def ood(self) -> Tensors:
        """The ood images [n, C, H, W] that are measured, and the labels that models are told where they are."""
        return Tensors(*(part[: self.sizes.max_ood_images] for part in self.data.ood))

    def generation_metrics(self, made: Tensor) -> Metrics:
        """Generated images against as many test images (see generation.measure), and against validation images."""
        most = self.sizes.num_samples
        splits = (made, self.data.test.x, self.data.validation.x)
        made, test, validation = (feature_classifier.features(self.classifier, x[:most]) for x in splits)
        n = min(len(made), len(validation))
        against = generation.distance(validation[:n], made[:n])
        return Metrics(generation.measure(test, made), {"frechet_distance": against})


def metrics(model: nn.Module, context: EvalContext, settings: Evaluate, draw: Draw) -> Metrics:
    """All measures that apply to `model`. draw: draws of this model's own."""
    found = Metrics({"parameters": cost.parameters(model)})
    data = context.data
    if isinstance(model, Classifier):
        return found | classification(model, data)
    assert isinstance(model, Autoencoder)
    coded = [(measurable(mapped(model.encode, *each)), each.y) for each in (data.train, data.validation, data.test)]
    rebuilt: list[Tensor] = []
    hidden = health.hidden(model, lambda: rebuilt.append(mapped(model.reconstruct, *data.test)))
    if model.decodes:  # else it is given part of the image beside the code
        found |= reconstruction_metrics(model, context, rebuilt[0])
    found |= representation_metrics(context, coded) | generation_metrics(model, context, coded[0][0], draw("generated"))
    codes = coded[2][0]
    width = codes.shape[1]
    alone = (
        representation.sparsity(codes - model.inactive_value)
        | hidden
        | model_specific_metrics(model, context, settings, coded, draw)
    )
    alone |= {"latent_dim": width, "code_bytes": math.ceil(model.code_bits(width) / 8)}
    return found | Metrics(alone | {"flops": cost.flops(model, data.test.x[:1], data.test.y[:1])})


def about(model: nn.Module, test: Tensors, settings: Evaluate) -> dict[str, Any]:
    """What the table says of a model beside its numbers: uses_labels; samples, "prior", "random codes" or null; where
    `nll` is estimated, on how many images and from how many draws; where there is a likelihood, of which targets."""
    if not isinstance(model, Autoencoder):
        return {}
    samples = "prior" if isinstance(model, Generative) else "random codes" if model.decodes else None
    found: dict[str, Any] = {"uses_labels": model.uses_labels, "samples": samples}
    if isinstance(model, Likelihood):
        found["targets"] = model.targets
    if isinstance(model, likelihood.Weighted):
        found["nll"] = {"images": min(settings.nll_images, len(test.y)), "draws": settings.iwae_samples}
    return found


def reconstruction_metrics(model: Autoencoder, context: EvalContext, rebuilt: Tensor) -> Metrics:
    """How near the model's images are to the originals, of clean, noisy and ood ones. rebuilt: the test images."""
    data, x = context.data, context.data.test.x
    found = reconstruction.measure(x, rebuilt, bounded=model.bounded) | reconstruction.by_ink(x, rebuilt)
    found["keras_accuracy"] = reconstruction.keras_accuracy(x, rebuilt)
    found |= denoising.measure(model, data.test, data.noisy) | ood(model, context.ood, found["sse"])
    held_out, rebuilt = data.validation, mapped(model.reconstruct, *data.validation)
    psnrs = denoising.psnrs(model, held_out, context.noisy_validation)
    chosen_by = {"sse": reconstruction.squared_errors(held_out.x, rebuilt).mean().item(), "psnr": psnrs.pop("clean")}
    return Metrics(found, chosen_by | {f"psnr/{label}": value for label, value in psnrs.items()})


def representation_metrics(context: EvalContext, coded: list[Coded]) -> Metrics:
    """What codes of train, validation and test are worth: probes, neighbours, clusters, pairs. Baselines are asked too."""
    train, validation, test = coded
    sizes, data = context.sizes, context.data
    few = train[0][: sizes.max_train_codes], train[1][: sizes.max_train_codes]
    probe = representation.linear_probe(train, validation, test)
    found = {"probe_accuracy": probe.test} | representation.knn(train, test, sizes.neighbours)
    found |= representation.few_labels(train, validation, test, sizes.labels, sizes.few_shot_repeats, context.draw)
    found |= clusters.clusters(few, test, context.draw("clusters"))
    images = data.train.x[: sizes.max_train_codes], data.test.x
    found |= pairs.matching(images, (few[0], test[0]), sizes.steps, context.draw("matching pairs"))
    found |= pairs.same_class(few, test, sizes.steps, context.draw("pairs of a class"))
    return Metrics(found, {"probe_accuracy": probe.validation})


def generation_metrics(model: Autoencoder, context: EvalContext, codes: Tensor, generator: Generator) -> Metrics:
    """The judge on samples of the prior or, where there is none, on decoded codes like those of training [N, K]."""
    n = min(context.sizes.num_samples, len(context.data.test.x))
    if isinstance(model, Generative):
        with torch.no_grad():
            made = model.sample(n, generator)
    elif model.decodes:
        made = mapped(model.decode, generation.random_codes(codes[: context.sizes.max_train_codes], n, generator))
    else:
        return Metrics({})
    return context.generation_metrics(made)


def model_specific_metrics(
    model: Autoencoder, context: EvalContext, settings: Evaluate, coded: list[Coded], draw: Draw
) -> dict[str, float]:
    """What only some models have: a likelihood or something like it, a codebook, parts, hidden patches, unread rows."""
    found: dict[str, float] = {}
    test = context.data.test.x
    if isinstance(model, Likelihood):
        found |= likelihood.bound(model, test, draw("likelihood"))
    if isinstance(model, GaussianAutoencoder):  # of choices, a variance over images says little
        found["active_latents"] = representation.active_latents(coded[2][0])
    if isinstance(model, likelihood.Weighted):
        binary = likelihood.binarised(test[: settings.nll_images], context.draw("binary"))
        found |= likelihood.importance(model, binary, settings.iwae_samples, draw("iwae"))
    if isinstance(model, health.Codebook):
        found |= health.codebook(model, test)
    if isinstance(model, Hiding):
        generator = draw("hidden")
        with torch.no_grad():
            errors = [model.hidden_error(part, generator) for part in test.split(1000)]
        found["hidden_mse"] = torch.cat(errors).double().mean().item()
    if isinstance(model, PseudoLikely):
        with torch.no_grad():
            found["pseudo_likelihood"] = model.pseudo_likelihood(test, draw("pseudo_likelihood")).double().mean().item()
    if isinstance(model, Predicting):
        squares = (mapped(model.reconstruct, *context.data.test) - test).square().double()
        found["read_mse"] = squares[:, :, : model.seen].mean().item()
        found["predicted_mse"] = squares[:, :, model.seen :].mean().item()
    if isinstance(model, Parted):
        for i, name in enumerate(("content", "style")):
            parts = [(model.parts(codes)[i], y) for codes, y in coded]
            found[f"probe_{name}"] = representation.linear_probe(*parts).test
    return found


def classification(model: Classifier, data: Data) -> Metrics:
    """The share of wrong labels by the label budget that the model learned with and, on the test split, by class.

    Where several budgets are measured in turn, the classes' are those of the last.
    """
    held_out, wrong = ((predictions(model, x) != y).double() for x, y in (data.validation, data.test))
    labels = data.test.y
    by_class = {f"class_error/{label}": wrong[labels == label].mean().item() for label in labels.unique().tolist()}
    found = {f"test_error/{model.labels}": wrong.mean().item()} | by_class
    return Metrics(found, {f"error/{model.labels}": held_out.mean().item()})


def ood(model: Autoencoder, ood: Tensors, sse: float) -> dict[str, float]:
    """ood_sse: squared error per ood image; ood_ratio: over that per test image, `sse`."""
    error = reconstruction.squared_errors(ood.x, mapped(model.reconstruct, *ood)).mean().item()
    return {"ood_sse": error, "ood_ratio": error / sse if sse > 0 else float("inf")}
