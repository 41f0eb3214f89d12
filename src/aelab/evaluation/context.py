"""What evaluation shares between models and baselines, and what it finds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from torch import Generator, Tensor

from aelab.data.tensors import Data, Tensors
from aelab.evaluation import feature_classifier, generation
from aelab.evaluation.feature_classifier import FeatureClassifier
from aelab.evaluation.measures import ImageMeasures, Measures
from aelab.evaluation.settings import Baselines, Question

Draw = Callable[[str], Generator]


@dataclass(frozen=True)
class Metrics:
    """Metrics by name: on the test split; on the validation split those that select the best model; the values of
    single test images [N] (or [draws, N]) whose mean is a metric, and scores of them; what figures and archives need.
    """

    test: dict[str, float]
    validation: dict[str, float] = field(default_factory=dict)
    per_image: dict[str, Tensor] = field(default_factory=dict)
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def __or__(self, other: Metrics) -> Metrics:
        return Metrics(*(getattr(self, name) | getattr(other, name) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class EvalContext:
    """What evaluation shares between models and baselines: data, settings, feature classifier, random draws."""

    data: Data
    noisy_validation: dict[str, Tensor]  # uint8 [N, C, H, W] by noise, as `data.noisy` of the test split
    sizes: Baselines
    classifier: FeatureClassifier | None  # None without classes, and for other data than images
    draw: Draw
    measures: Measures = field(default_factory=ImageMeasures)

    def asks(self, question: Question) -> bool:
        """Whether it is to be answered."""
        return self.sizes.questions is None or question in self.sizes.questions

    @property
    def ood(self) -> Tensors:
        """The OOD images [n, C, H, W] to evaluate, and labels for models that need them."""
        return Tensors(*(part[: self.sizes.max_ood_images] for part in self.data.ood))

    @cached_property
    def labelled(self) -> bool:
        """Whether the data has classes: there is a classifier, or labels are not all the same."""
        return self.classifier is not None or bool((self.data.train.y != self.data.train.y[0]).any())

    @cached_property
    def test_features(self) -> Tensor:
        """The features of the test images that generated images are compared with."""
        return self.features(self.data.test.x)

    def features(self, x: Tensor) -> Tensor:
        """The features [n, F] of the first images of x that are compared."""
        assert self.classifier, "without classes there are no features"
        return feature_classifier.features(self.classifier, x[: self.sizes.num_samples])

    def generation_metrics(self, made: Tensor) -> dict[str, float]:
        """Compare generated images with as many test images (see generation.measure)."""
        return generation.measure(self.test_features, self.features(made))
