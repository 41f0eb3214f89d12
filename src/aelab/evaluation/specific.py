"""Metrics that only some models have: likelihoods, codebooks, parts of codes, hidden patches, predicted rows."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from aelab.data.tensors import mapped
from aelab.evaluation import forecasts, health, likelihood, representation
from aelab.evaluation.context import Draw, EvalContext
from aelab.evaluation.representation import Coded
from aelab.evaluation.settings import Evaluate
from aelab.models.common import Autoencoder, GaussianAutoencoder, Likelihood


@runtime_checkable
class Hiding(Protocol):
    """A model that reconstructs hidden patches."""

    def hidden_error(self, x: Tensor, generator: Generator) -> Tensor:
        """Squared error per hidden pixel of each image [B]."""
        ...


@runtime_checkable
class Predicting(Protocol):
    """A model that reads the first `seen` rows and predicts the others."""

    seen: int


@runtime_checkable
class Forecasting(Protocol):
    """A model that predicts each next step of series."""

    def next_steps(self, x: Tensor) -> Tensor:
        """Series [B, T, D] -> predictions of their steps from the second one on, [B, T - 1, D]."""
        ...


@runtime_checkable
class PseudoLikely(Protocol):
    """A model for which only a pseudo-likelihood estimates log p(x)."""

    def pseudo_likelihood(self, x: Tensor, generator: Generator) -> Tensor:
        """The estimate for each image [B], in nats."""
        ...


@runtime_checkable
class Parted(Protocol):
    """A model with two-part codes."""

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [B, K] -> the content, which holds the class, and the style, which should not."""
        ...


def metrics(
    model: Autoencoder, context: EvalContext, settings: Evaluate, coded: list[Coded], draw: Draw
) -> dict[str, float]:
    """Those that apply to `model`. coded: its codes of train, validation and test."""
    result: dict[str, float] = {}
    test = context.data.test.x
    if isinstance(model, Likelihood):
        result |= likelihood.bound(model, test, draw("likelihood"))
    if isinstance(model, GaussianAutoencoder):  # for discrete codes, a variance over images means little
        result["active_latents"] = representation.active_latents(coded[2][0])
    if isinstance(model, likelihood.Weighted) and model.spec.layout is None:
        binary = likelihood.binarised(test[: settings.nll_images], context.draw("binary"))
        result |= likelihood.importance(model, binary, settings.iwae_samples, draw("importance"))
    if isinstance(model, health.Codebook):
        result |= health.codebook(model, test)
    if isinstance(model, Hiding):
        generator = draw("hidden")
        with torch.no_grad():
            errors = [model.hidden_error(part, generator) for part in test.split(1000)]
        result["hidden_mse"] = torch.cat(errors).double().mean().item()
    if isinstance(model, PseudoLikely):
        with torch.no_grad():
            result["pseudo_likelihood"] = (
                model.pseudo_likelihood(test, draw("pseudo_likelihood")).double().mean().item()
            )
    if isinstance(model, Predicting):
        squares = (mapped(model.reconstruct, *context.data.test) - test).square().double()
        result["read_mse"] = squares[..., : model.seen, :].mean().item()
        result["predicted_mse"] = squares[..., model.seen :, :].mean().item()
    if isinstance(model, Forecasting):
        result["next_step_mse"] = forecasts.error(test, mapped(model.next_steps, test), context.measures)
    if isinstance(model, Parted):
        for i, name in enumerate(("content", "style")):
            parts = [(model.parts(codes)[i], y) for codes, y in coded]
            result[f"probe_{name}"] = representation.linear_probe(*parts).test
    return result
