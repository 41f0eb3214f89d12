"""The feature classifier, trained once in `baselines`: generated images are compared in its features.

Inception features, used for published scores, are made for photographs; a classifier of the same data set knows what
matters in its images.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn

from aelab.data.tensors import Data, mapped
from aelab.models.common import Autoencoder, Output, Spec, initialise
from aelab.training.classifier import Classifier, predictions
from aelab.training.loop import Evaluation, fit
from aelab.training.settings import Training

FEATURES = 64
CHANNELS = 32, 64
SMALL = 1e-3  # the least deviation to divide by: a unit that is 0 for all training images stays out
AUGMENT = ("rotate 10", "scale 0.1", "shift 1.5")


class Quiet:
    """A callback that does nothing (see loop.Callback)."""

    def steps(self, phase: str, total: int) -> None: ...
    def step(self) -> None: ...
    def evaluated(self, evaluation: Evaluation, model: nn.Module) -> None: ...


class FeatureClassifier(Classifier):
    """A classifier that knows the mean and deviation [FEATURES] of its last hidden units over training images."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, body: Autoencoder, spec: Spec) -> None:
        super().__init__(body, spec)
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("deviation", torch.ones(FEATURES))


def build(spec: Spec, generator: Generator) -> FeatureClassifier:
    """Two convolutions of stride 2, FEATURES units, softmax; weights drawn from `generator` (a CPU generator)."""
    first, second = CHANNELS
    maps = nn.Sequential(
        nn.Conv2d(spec.shape[0], first, 3, 2, 1), nn.ReLU(), nn.Conv2d(first, second, 3, 2, 1), nn.ReLU(), nn.Flatten()
    )
    with torch.no_grad():
        wide = maps(torch.zeros(1, *spec.shape)).shape[1]
    body = Autoencoder(
        spec,
        nn.Sequential(maps, nn.Linear(wide, FEATURES), nn.ReLU()),
        nn.Identity(),
        Output("sigmoid", "bce", "sum"),
    )
    initialise(body, generator)
    return FeatureClassifier(body, spec)


def train(data: Data, spec: Spec, steps: int, draw: Callable[[str], Generator]) -> FeatureClassifier:
    """Train the classifier of this data set for so many steps; the best evaluation on validation images is kept.

    draw(use): a CPU generator.
    """
    settings = Training(
        optimizer="adam",
        lr=4e-3,
        schedule="one_cycle",
        weight_decay=0.0,
        batch_size=64,
        max_epochs=None,
        max_steps=steps,
        eval_every=100,
        early_stopping_patience=None,
        num_seeds=1,
        noise=(),
        augment=AUGMENT,
        preview_steps=(),
    )
    model = build(spec, draw("feature classifier init")).to(data.train.x.device)
    fit(model, data.train, data.validation, settings, lambda use: draw(f"feature classifier {use}"), Quiet())
    model.eval()
    units = features(model, data.train.x)
    model.mean.copy_(units.mean(0))
    model.deviation.copy_(units.std(0, correction=0).clamp_min(SMALL))
    return model


def load(spec: Spec, weights: dict[str, Tensor], device: torch.device) -> FeatureClassifier:
    """The classifier that `baselines` trained. Raises RuntimeError if weights and data set do not match."""
    model = build(spec, torch.Generator())
    model.load_state_dict(weights)
    return model.to(device).eval()


def accuracy(classifier: Classifier, data: Data) -> float:
    """Its accuracy on test images."""
    return (predictions(classifier, data.test.x) == data.test.y).double().mean().item()


def features(classifier: FeatureClassifier, x: Tensor) -> Tensor:
    """Images [N, C, H, W] -> its last hidden layer [N, FEATURES], each unit with mean 0 and variance 1 over training
    images, so that each counts the same in a distance."""
    units = mapped(lambda part: classifier.encoder(classifier.scale(part)).flatten(1), x)
    return (units - classifier.mean) / classifier.deviation
