"""Decoded images without an original: from interpolated, random, chosen, swapped and clustered codes.

Protocols ask what a model can do, so that no family is named here.
"""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Generator, Tensor

from aelab.data.images import shown
from aelab.data.tensors import Data, Tensors, mapped
from aelab.evaluation import generation
from aelab.evaluation.context import Draw
from aelab.evaluation.evaluate import some
from aelab.evaluation.settings import Evaluate
from aelab.models.common import Autoencoder, Generative

GRID = 15  # steps along each axis of a 2-D code
REACH = (0.02, 0.98)  # quantiles of the test codes that the grid spans
CHOSEN = (1.19, -3.36, 2.06)  # the code that the chapter of "Learn deep learning with PyTorch" decodes
PAIRS = 3  # of digits, between whose codes images are decoded
STYLES = 5  # codes decoded with every label


@runtime_checkable
class LabelConditional(Protocol):
    """A generative model that needs labels; its prior over codes is N(0, I)."""

    latent_dim: int

    def one_hot(self, condition: Tensor | None) -> Tensor: ...


@runtime_checkable
class Clustering(Protocol):
    """A model with one-hot codes: V choices among C categories, `shape` (V, C)."""

    shape: tuple[int, int]

    def assign(self, x: Tensor) -> Tensor: ...


@runtime_checkable
class Swapping(Protocol):
    """A model that decodes the content of one image with the style of another."""

    def swap(self, x_content: Tensor, x_style: Tensor) -> Tensor: ...


@runtime_checkable
class Masking(Protocol):
    """A model that hides the same patches of every image, reconstructs these, and copies the others."""

    def hidden_error(self, x: Tensor, generator: Generator) -> Tensor: ...


def of(
    model: Autoencoder, data: Data, rows: Tensor, codes: Tensor, settings: Evaluate, draw: Draw
) -> dict[str, np.ndarray]:
    """Everything that applies to `model`, as uint8 [n, H, W] unless said otherwise.

    rows: the test digits that are shown; codes [N, K]: of all test images.
    """
    kept: dict[str, np.ndarray] = {}
    test = data.test
    digits, labels = test.x[rows], test.y[rows]
    if model.decodes:
        kept["interpolation"] = interpolation(model, codes, rows, labels, settings)
        kept |= random_codes(model, data, labels, settings, draw("random_codes"))
        if codes.shape[1] == 2:
            kept |= grid(model, codes, labels)
        if codes.shape[1] == len(CHOSEN):
            kept |= chosen(model, test, codes)
    with torch.no_grad():
        if isinstance(model, Generative):
            kept["samples"] = shown(model.sample(settings.samples, draw("samples")))
        if isinstance(model, LabelConditional):
            kept["by_class"] = by_class(model, draw("by_class"))
        if isinstance(model, Clustering) and model.shape[0] == 1:
            kept |= clusters(model, test)
        if isinstance(model, Swapping):
            style = digits.repeat_interleave(len(digits), 0)
            kept["swaps"] = shown(model.swap(digits.repeat(len(digits), 1, 1, 1), style))
        if isinstance(model, Masking):
            kept["hidden"] = (model.reconstruct(digits, labels) != digits).any(0).any(0).cpu().numpy()
    return kept


def interpolation(model: Autoencoder, codes: Tensor, rows: Tensor, labels: Tensor, settings: Evaluate) -> np.ndarray:
    """Decoded codes in equal steps from one digit's to another's, [PAIRS, steps, H, W]: the first digit and the second,
    the third and the fourth, ..."""
    steps = torch.linspace(0, 1, settings.steps, device=codes.device)[:, None]
    pairs = [(2 * pair % len(rows), (2 * pair + 1) % len(rows)) for pair in range(PAIRS)]
    between = torch.cat([torch.lerp(codes[rows[first]], codes[rows[last]], steps) for first, last in pairs])
    conditions = torch.cat([labels[first].expand(settings.steps) for first, _ in pairs])
    images = shown(mapped(model.decode, between, conditions))
    return images.reshape(PAIRS, settings.steps, *images.shape[1:])


def random_codes(
    model: Autoencoder, data: Data, labels: Tensor, settings: Evaluate, generator: Generator
) -> dict[str, np.ndarray]:
    """`random_codes`: decoded codes from N(0, I); `fitted_codes`: from a gaussian fitted to training codes."""
    n, train = settings.samples, mapped(model.encode, *some(model, data.train))
    drawn = {"random_codes": generation.normal_codes(train, n, generator)}
    drawn["fitted_codes"] = generation.fitted_codes(train, n, generator)
    values = labels.repeat(n)[:n]
    return {name: shown(mapped(model.decode, codes, values)) for name, codes in drawn.items()}


def grid(model: Autoencoder, codes: Tensor, labels: Tensor) -> dict[str, np.ndarray]:
    """`grid` [GRID^2, H, W]: decoded images, the first code value growing to the right and the second upwards.

    `grid_codes` float32 [2, GRID]: the values along each axis, growing.
    """
    low, high = codes.quantile(torch.tensor(REACH, device=codes.device), 0)
    steps = torch.linspace(0, 1, GRID, device=codes.device)
    first, second = torch.lerp(low[:, None], high[:, None], steps)
    places = torch.stack([first.repeat(GRID), second.flip(0).repeat_interleave(GRID)], 1)
    images = shown(mapped(model.decode, places, labels[:1].expand(len(places))))
    return {"grid": images, "grid_codes": torch.stack([first, second]).cpu().numpy()}


def chosen(model: Autoencoder, test: Tensors, codes: Tensor) -> dict[str, np.ndarray]:
    """`chosen` [3, H, W]: images decoded from `chosen_codes` float32 [3, K].

    The codes are the median of the test codes, the test code that is nearest to CHOSEN, and CHOSEN itself.
    `chosen_original` [1, H, W] is the image of that test code.
    """
    wanted = torch.tensor(CHOSEN, device=codes.device)
    nearest = int((codes - wanted).square().sum(1).argmin())
    places = torch.stack([codes.quantile(0.5, 0), codes[nearest], wanted])
    return {
        "chosen": shown(mapped(model.decode, places, test.y[:1].expand(len(places)))),
        "chosen_codes": places.cpu().numpy(),
        "chosen_original": shown(test.x[nearest : nearest + 1]),
    }


def by_class(model: LabelConditional, generator: Generator) -> np.ndarray:
    """STYLES codes from the prior, each decoded with every label: uint8 [STYLES * classes, H, W], code by code."""
    assert isinstance(model, Autoencoder)
    classes = model.spec.classes
    z = torch.randn(STYLES, model.latent_dim, generator=generator, device=generator.device)
    labels = torch.arange(classes, device=z.device).repeat(STYLES)
    return shown(model.decode(z.repeat_interleave(classes, 0), labels))


def clusters(model: Clustering, test: Tensors) -> dict[str, np.ndarray]:
    """`prototypes` [C, H, W]: every category decoded; `clusters` int64 [N]: the category of each test image;
    `labels`."""
    assert isinstance(model, Autoencoder)
    one_hot = torch.eye(model.shape[1], device=test.x.device)
    result = torch.cat([model.assign(part)[:, 0] for part in test.x.split(1000)])
    return {
        "prototypes": shown(model.decode(one_hot)),
        "clusters": result.cpu().numpy(),
        "labels": test.y.cpu().numpy(),
    }
