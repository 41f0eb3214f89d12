"""The knobs of `baselines` and of `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Baselines:
    """How much every measure is given, of models as of baselines."""

    latent_dim: int  # numbers per code of the PCA and random-projection baselines
    digits: int  # test digits kept for pictures
    neighbours: int  # k of the kNN classifier on codes
    labels: int  # per class, that the probe with few labels is given
    few_shot_repeats: int  # of so many labels, over which its accuracy is a mean
    max_train_codes: int  # training images at most, on whose codes k-means, the pair tests and random codes are fitted
    steps: int  # of learning of the pair tests' nets
    max_ood_images: int  # images unlike those of training, at most, that a model is to rebuild
    num_samples: int  # images that a model makes, judged against as many test images at most
    epochs: int  # of the judge, the classifier in whose features generated images are compared

    def __post_init__(self) -> None:
        _require_positive(self)


@dataclass(frozen=True)
class Evaluate:
    """How much is measured of one model alone, and kept for the pictures."""

    iwae_samples: int  # K of the importance-sampled likelihood,
    nll_images: int  # of so many test images at most
    digits: int  # test images, as evenly spread over the classes as can be
    samples: int  # images from the prior, and from random codes
    steps: int  # of an interpolation, both ends included
    units: int  # first-layer units whose weights are kept
    fail_on: tuple[str, ...]  # diagnoses that end the stage (see metrics/diagnosis.py)

    def __post_init__(self) -> None:
        from aelab.evaluation.diagnostics import DIAGNOSES

        _require_positive(self)
        for name in self.fail_on:
            if name not in DIAGNOSES:
                raise ValueError(f"fail_on: {name!r} is unknown; allowed: {', '.join(DIAGNOSES)}")


def _require_positive(settings: Baselines | Evaluate) -> None:
    for key, value in vars(settings).items():
        if isinstance(value, int) and value < 1:
            raise ValueError(f"{key}: {value} is out of range; allowed: 1 or more")
