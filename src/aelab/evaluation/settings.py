"""The sections `baselines:` and `evaluate:`."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Literal

from aelab.config.options import OPTION, Options

Question = Literal["representation", "generation", "anomalies", "compression", "learners"]


@dataclass(frozen=True)
class Candidate:
    """An SVM to try: its penalty and kernel, see svm.kernel; degree: of a polynomial, 0 for rbf."""

    C: float
    gamma: float
    degree: int = 0

    def said(self) -> str:
        degree = f"degree {self.degree}, " if self.degree else ""
        return f"{degree}gamma {self.gamma:g}, C {self.C:g}"


@dataclass(frozen=True)
class RBF:
    """The candidates with the kernel exp(-gamma ||x - z||^2): every C with every gamma."""

    C: tuple[float, ...]
    gamma: tuple[float, ...]

    def __post_init__(self) -> None:
        for key, values in vars(self).items():
            if not values or min(values) <= 0:
                raise ValueError(f"{key}: {list(values)} is wrong; allowed: one or more numbers above 0")

    def candidates(self) -> list[Candidate]:
        return list(itertools.starmap(Candidate, itertools.product(*vars(self).values())))


@dataclass(frozen=True)
class Polynomial(RBF):
    """The candidates with the kernel (gamma x'z + 1)^degree: every C with every gamma and degree."""

    degree: tuple[int, ...]


@dataclass(frozen=True)
class SVM:
    """Support vector machines on raw values, with two kernels (see svm.evaluate)."""

    rows: int  # training rows that candidates learn from
    rbf: RBF
    poly: Polynomial

    def __post_init__(self) -> None:
        _require_positive(self)

    def grids(self) -> dict[str, list[Candidate]]:
        """The candidates of each kernel."""
        return {"rbf": self.rbf.candidates(), "poly": self.poly.candidates()}


@dataclass(frozen=True)
class Baselines(Options):
    """Settings of the metrics that models and baselines share."""

    latent_dim: int  # numbers per code of the PCA and random-projection baselines
    digits: int  # test digits kept for figures
    neighbours: int  # k of the kNN classifier on codes
    labels: int  # labels per class of the probe with few labels
    few_shot_repeats: int  # draws of labels, over which its accuracy is the mean
    label_budgets: tuple[int, ...]  # labels that supervised learners get
    max_train_codes: int  # training codes at most for k-means, the pair classifiers and random codes
    steps: int  # training steps of the pair classifiers
    max_ood_images: int  # OOD images at most to reconstruct
    num_samples: int  # generated images per model, compared with as many test images at most
    classifier_steps: int  # training steps of the feature classifier
    # what is measured beside reconstruction, denoising and what a family has of its own; null: everything
    questions: tuple[Question, ...] | None = field(default=None, kw_only=True, metadata=OPTION)
    svm: SVM | None = field(default=None, kw_only=True, metadata=OPTION)  # null: no support vector machines

    def __post_init__(self) -> None:
        _require_positive(self)
        if not self.label_budgets or min(self.label_budgets) < 1:
            raise ValueError(f"label_budgets: {list(self.label_budgets)} is wrong; allowed: numbers of 1 or more")


@dataclass(frozen=True)
class Evaluate:
    """Settings of the metrics of models only, and of the arrays kept for figures."""

    iwae_samples: int  # K of the importance-sampled likelihood,
    nll_images: int  # on this many test images at most
    digits: int  # test images, spread evenly over the classes
    samples: int  # images from the prior, and from random codes
    steps: int  # of an interpolation, both ends included
    units: int  # first-layer units whose weights are kept
    fail_on: tuple[str, ...]  # diagnoses that end the stage with an error (see evaluation/diagnostics.py)

    def __post_init__(self) -> None:
        from aelab.evaluation.diagnostics import DIAGNOSES

        _require_positive(self)
        for name in self.fail_on:
            if name not in DIAGNOSES:
                raise ValueError(f"fail_on: {name!r} is unknown; allowed: {', '.join(DIAGNOSES)}")


def _require_positive(settings: Baselines | Evaluate | SVM) -> None:
    for key, value in vars(settings).items():
        if isinstance(value, int) and value < 1:
            raise ValueError(f"{key}: {value} is out of range; allowed: 1 or more")
