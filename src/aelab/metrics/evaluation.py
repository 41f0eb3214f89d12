"""Everything that is measured of one trained model.

Numbers carry the names of the table, the JSON files and MLflow. A measure that does not apply to a model is absent.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from aelab.data.tensors import Data, Tensors, mapped, measurable
from aelab.learning.classifier import Classifier, predictions
from aelab.metrics import (
    clusters,
    cost,
    denoising,
    generation,
    health,
    judge,
    likelihood,
    pairs,
    reconstruction,
    representation,
)
from aelab.metrics.representation import Coded
from aelab.metrics.settings import Evaluate, Floors
from aelab.models.base import Autoencoder, Generative, Likelihood, Spec

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
class Bench:
    """What floors and models alike are measured on: the data, how much, by which judge, at the same draws."""

    data: Data
    sizes: Floors
    judge: Classifier
    draw: Draw

    @property
    def spec(self) -> Spec:
        return Spec(tuple(self.data.test.x.shape[1:]), self.judge.top.out_features)  # type: ignore[arg-type]

    @property
    def strange(self) -> Tensors:
        """The strange images [n, C, H, W] that are measured, and the labels that models are told where they are."""
        return Tensors(*(part[: self.sizes.strange] for part in self.data.strange))

    def judged(self, made: Tensor) -> dict[str, float]:
        """Generated images against as many test images (see generation.measure)."""
        real, made = (judge.features(self.judge, x[: self.sizes.generated]) for x in (self.data.test.x, made))
        return generation.measure(real, made)


def numbers(model: nn.Module, bench: Bench, settings: Evaluate, draw: Draw) -> dict[str, float]:
    """All measures that apply to `model`, on the test split. draw: draws of this model's own."""
    found: dict[str, float] = {"parameters": cost.parameters(model)}
    data = bench.data
    if isinstance(model, Classifier):
        return found | classification(model, data.test)
    assert isinstance(model, Autoencoder)
    coded = [(measurable(mapped(model.encode, *each)), each.y) for each in (data.train, data.validation, data.test)]
    rebuilt: list[Tensor] = []
    hidden = health.hidden(model, lambda: rebuilt.append(mapped(model.reconstruct, *data.test)))
    if model.decodes:  # else it is given part of the image beside the code
        found |= reconstruction.measure(data.test.x, rebuilt[0], bounded=model.bounded)
        found |= reconstruction.by_ink(data.test.x, rebuilt[0])
        found["keras_accuracy"] = reconstruction.keras_accuracy(data.test.x, rebuilt[0])
        found |= denoising.measure(model, data.test, data.noisy) | shift(model, bench.strange, found["sse"])
    found |= worth(bench, coded) | representation.sparsity(coded[2][0] - model.rest) | hidden
    found |= generated(model, bench, coded[0][0], draw("generated")) | special(model, bench, settings, coded, draw)
    width = coded[2][0].shape[1]
    found |= {"code_numbers": width, "code_bytes": math.ceil(model.code_bits(width) / 8)}
    found["flops"] = cost.flops(model, data.test.x[:1], data.test.y[:1])
    return found


def about(model: nn.Module, test: Tensors, settings: Evaluate) -> dict[str, Any]:
    """What the table says of a model beside its numbers: saw_labels; samples, "prior", "random codes" or null; where
    `nll` is estimated, on how many images and from how many draws."""
    if not isinstance(model, Autoencoder):
        return {}
    samples = "prior" if isinstance(model, Generative) else "random codes" if model.decodes else None
    found: dict[str, Any] = {"saw_labels": model.saw_labels, "samples": samples}
    if isinstance(model, likelihood.Weighted):
        found["nll"] = {"images": min(settings.likelihoods, len(test.y)), "draws": settings.draws}
    return found


def worth(bench: Bench, coded: list[Coded]) -> dict[str, float]:
    """What codes of train, validation and test are worth: probes, neighbours, clusters, pairs. Floors are asked too."""
    train, validation, test = coded
    sizes, data = bench.sizes, bench.data
    few = train[0][: sizes.codes], train[1][: sizes.codes]
    found = representation.linear_probe(train, validation, test)
    found |= representation.knn(train, test, sizes.neighbours)
    found |= representation.few_labels(train, validation, test, sizes.labels, sizes.subsets, bench.draw)
    found |= clusters.clusters(few, test, bench.draw("clusters"))
    images = data.train.x[: sizes.codes], data.test.x
    found |= pairs.matching(images, (few[0], test[0]), sizes.steps, bench.draw("matching pairs"))
    return found | pairs.same_class(few, test, sizes.steps, bench.draw("pairs of a class"))


def generated(model: Autoencoder, bench: Bench, codes: Tensor, generator: Generator) -> dict[str, float]:
    """The judge on samples of the prior or, where there is none, on decoded codes like those of training [N, K]."""
    n = min(bench.sizes.generated, len(bench.data.test.x))
    if isinstance(model, Generative):
        with torch.no_grad():
            made = model.sample(n, generator)
    elif model.decodes:
        made = mapped(model.decode, generation.random_codes(codes[: bench.sizes.codes], n, generator))
    else:
        return {}
    return bench.judged(made)


def special(model: Autoencoder, bench: Bench, settings: Evaluate, coded: list[Coded], draw: Draw) -> dict[str, float]:
    """What only some models have: a likelihood or something like it, a codebook, parts, hidden patches, unread rows."""
    found: dict[str, float] = {}
    test = bench.data.test.x
    if isinstance(model, Likelihood):
        found |= likelihood.bound(model, test, draw("likelihood"))
        found["active_latents"] = representation.active_latents(coded[2][0])
    if isinstance(model, likelihood.Weighted):
        binary = likelihood.binarised(test[: settings.likelihoods], bench.draw("binary"))
        found |= likelihood.importance(model, binary, settings.draws, draw("importance"))
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
        squares = (mapped(model.reconstruct, *bench.data.test) - test).square().double()
        found["read_mse"] = squares[:, :, : model.seen].mean().item()
        found["predicted_mse"] = squares[:, :, model.seen :].mean().item()
    if isinstance(model, Parted):
        for i, name in enumerate(("content", "style")):
            parts = [(model.parts(codes)[i], y) for codes, y in coded]
            found[f"probe_{name}"] = representation.linear_probe(*parts)["probe_accuracy"]
    return found


def classification(model: Classifier, test: Tensors) -> dict[str, float]:
    """The share of wrong labels on the test split, by the label budget that the model learned with, and by class.

    Where several budgets are measured in turn, the classes' are those of the last.
    """
    wrong = (predictions(model, test.x) != test.y).double()
    by_class = {f"class_error/{label}": wrong[test.y == label].mean().item() for label in test.y.unique().tolist()}
    return {f"test_error/{model.labels}": wrong.mean().item()} | by_class


def shift(model: Autoencoder, strange: Tensors, sse: float) -> dict[str, float]:
    """shift_sse: squared error per strange image; shift_ratio: over that per test image, `sse`."""
    error = reconstruction.squared_errors(strange.x, mapped(model.reconstruct, *strange)).mean().item()
    return {"shift_sse": error, "shift_ratio": error / sse if sse > 0 else float("inf")}
