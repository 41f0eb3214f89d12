"""The results of `evaluate` and `baselines` as one object."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

Kind = Literal["table", "series", "image"]
KINDS: dict[int, Kind] = {1: "table", 2: "series", 3: "image"}  # by the axes of one item
SPOKEN = {
    "median": "median filter",
    "gaussian": "gaussian filter",
    "non_local_means": "non-local-means filter",
    "pca": "PCA",
    "mean": "mean or most frequent value",
    "neighbours": "nearest rows",
    "interpolation": "straight line",
    "rbf": "SVM, rbf kernel",
    "poly": "SVM, polynomial kernel",
}  # filters and other baselines
PREVIEW_NOISE = "impulse 0.05"  # of the noisy validation images that a net reconstructs while it trains
HIDING = ("masking", "span")  # noises that hide cells of tables and series
SIZES = (4, 32)  # numbers per code: the upper ends of the groups within which models are compared


@dataclass(frozen=True)
class Curves:
    """One training phase: the monitored term, which selects the best evaluation, [replicates, evaluations].

    NaN after a replicate has stopped. steps [evaluations]: optimizer steps before each; kept [replicates]: those of the
    best one.
    """

    phase: str
    term: str  # "total", the loss itself, or one of its terms, such as "error" of a classifier
    train: np.ndarray
    validation: np.ndarray
    steps: np.ndarray
    kept: np.ndarray


@dataclass(frozen=True)
class Item:
    """One model or stack: its metrics.json, its arrays, and its metrics of single test images [seeds, images]."""

    name: str
    about: dict[str, Any]
    arrays: dict[str, np.ndarray]
    per_image: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def metrics(self) -> dict[str, list[float]]:
        """Metric -> one value per replicate."""
        return self.about["metrics"]

    @property
    def described(self) -> dict[str, Any]:
        """Its description, without metrics."""
        return {key: value for key, value in self.about.items() if key not in ("metrics", "validation", "history")}

    @property
    def is_stack(self) -> bool:
        return self.about["kind"] == "classifier"

    @property
    def is_baseline(self) -> bool:
        """Whether it is a closed-form model."""
        return self.about["family"] == "closed_form"

    @property
    def noise(self) -> list[str]:
        """The noise of its training, such as "masking 0.3"; empty for clean images."""
        return [] if self.is_stack else list(self.about["noise"])

    @property
    def uses_labels(self) -> bool:
        """Whether training (except fine-tuning) or encoding needs labels."""
        return self.about.get("uses_labels", False)

    @property
    def diagnoses(self) -> dict[str, str]:
        """Diagnosis -> explanation."""
        return self.about.get("diagnoses", {})

    @property
    def validation(self) -> dict[str, list[float]]:
        """Metric -> one value per replicate, on validation images; empty without any."""
        return self.about.get("validation", {})

    def mean(self, metric: str) -> float:
        """Mean over replicates; NaN if the metric does not apply."""
        return float(np.mean(self.metrics[metric])) if metric in self.metrics else math.nan

    def spread(self, metric: str) -> float:
        """Sample standard deviation over replicates; NaN for a single one."""
        values = self.metrics.get(metric, [])
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan

    @property
    def budgets(self) -> dict[str, int]:
        """The label budgets of a stack with their numbers of training images: {"100": 100, "all": 3500}."""
        return self.about.get("budgets", {})

    def previews(self, kind: str = "") -> dict[int, np.ndarray]:
        """Validation images as the first seed reconstructed them during training, by optimizer step: uint8 [n, H, W].

        The last ones are by the weights that were kept. kind: "", or "noisy-" for noisy images.
        """
        start = f"preview/{kind}step-"
        found = {int(key.removeprefix(start)): self.arrays[key] for key in self.arrays if key.startswith(start)}
        return dict(sorted(found.items()))

    def curves(self) -> list[Curves]:
        """The training phases, in order; empty without training steps."""
        histories = self.about["history"]
        result = []
        for phase in dict.fromkeys(row["phase"] for rows in histories for row in rows):
            mine = [[row for row in rows if row["phase"] == phase] for rows in histories]
            term = mine[0][0]["monitored"]
            steps = [row["step"] for row in max(mine, key=len)]
            kept = [max((row["step"] for row in rows if row["best"]), default=0) for rows in mine]
            sides = [_padded([[row[side][term] for row in rows] for rows in mine]) for side in ("train", "validation")]
            result.append(Curves(phase, term, *sides, steps=np.array(steps), kept=np.array(kept)))
        return result


def _padded(rows: Sequence[Sequence[float]]) -> np.ndarray:
    picture = np.full((len(rows), max(map(len, rows))), math.nan)
    for i, row in enumerate(rows):
        picture[i, : len(row)] = row
    return picture


@dataclass(frozen=True)
class Results:
    """Everything that tables and figures are made from."""

    data: dict[str, Any]  # the data set's meta.json
    items: dict[str, Item]
    baselines: dict[str, Any]
    pictures: dict[str, np.ndarray]  # of the baselines
    capacity: Sequence[dict[str, Any]] = ()  # dense nets: depth, latent_dim, sse per replicate, on validation images
    noise_transfer: Mapping[str, Sequence[dict[str, float]]] = field(
        default_factory=dict
    )  # training noise -> per replicate, psnr
    one_class: Sequence[Item] = ()  # models that have learned some classes; they compete with no others

    @property
    def models(self) -> list[Item]:
        return [item for item in self.items.values() if not item.is_stack]

    @property
    def rebuilding(self) -> list[Item]:
        """The models that reconstruct an image from its code alone."""
        return [item for item in self.models if "sse" in item.metrics]

    def by_size(self, items: Sequence[Item]) -> dict[str, list[Item]]:
        """Models in groups by the numbers of their codes, each with its title; the last is enough to copy an image."""
        result: dict[str, list[Item]] = {}
        for low, high in itertools.pairwise((0, *SIZES, self.pixels - 1, math.inf)):
            size = (
                f"{low + 1:,} to {high:,} numbers"
                if high < math.inf
                else f"{low + 1:,} numbers or more, enough to copy"
            )
            if same := [item for item in items if low < item.mean("latent_dim") <= high]:
                result[f"Codes of {size}"] = same
        return result

    @property
    def stacks(self) -> list[Item]:
        return [item for item in self.items.values() if item.is_stack]

    @property
    def machines(self) -> dict[str, dict[str, Any]]:
        """Support vector machines by their kernel, as evaluation.svm found them."""
        return self.baselines.get("svm", {})

    @property
    def budgets(self) -> dict[str, int]:
        """The label budgets of all stacks, from the fewest labels up."""
        result = {name: images for item in self.stacks for name, images in item.budgets.items()}
        return dict(sorted(result.items(), key=lambda budget: budget[1]))

    def control(self, item: Item) -> Item | None:
        """The stack of the item's family that was not pretrained."""
        same = [entry for entry in self.stacks if entry.about["family"] == item.about["family"]]
        return next((entry for entry in same if entry.about["config"]["layer"] == "random"), None)

    @property
    def labelled(self) -> bool:
        """Whether the data that models learn has classes; with one class named normal it has none."""
        return "probe_accuracy" in self.baselines["probes"].get("raw pixels", {})

    @property
    def kind(self) -> Kind:
        """Of the data: image, table or series."""
        return KINDS[len(self.data["shape"])]

    @property
    def filters(self) -> list[str]:
        """The baselines of denoising."""
        measured = next(iter(self.baselines["denoising"].values()), {})
        return [name for name in measured if name != "noisy"]

    @property
    def noises(self) -> list[str]:
        return list(self.baselines["denoising"])

    def over_noises(self, metrics: Mapping[str, list[float]]) -> list[float]:
        """PSNR per replicate, mean over all noises; empty if a noise is missing."""
        columns = [metrics.get(f"psnr/{noise}") for noise in self.noises]
        return np.mean(columns, 0).tolist() if columns and None not in columns else []  # type: ignore[arg-type]

    @property
    def pixels(self) -> int:
        return math.prod(self.data["shape"])

    def pick(self, names: Sequence[str]) -> list[Item]:
        """The models of these names, those that exist."""
        return [self.items[name] for name in names if name in self.items and not self.items[name].is_stack]

    def pca(self, item: Item, error: str = "pca_sse") -> float:
        """Squared error per image of PCA with the item's latent dimension; 0 from `pixels` on, NaN where PCA of wide
        images was not computed so far.

        error: pca_sse, on test images, or pca_ood_sse, on OOD images.
        """
        numbers = round(item.mean("latent_dim"))
        if numbers >= self.pixels:
            return 0.0
        return self.baselines[error][numbers] if numbers < len(self.baselines[error]) else math.nan

    @property
    def gaussian(self) -> dict[str, float]:
        """The baseline of generated images, a gaussian of PCA codes: its Fréchet distance by its name; empty without
        classes."""
        found = self.baselines["generation"].items()
        return {name: result["frechet_distance"] for name, result in found if name.endswith("gaussian")}

    def best_filter(self, noise: str) -> tuple[str, float]:
        """The filter with the highest PSNR (dB) on a noise, and that PSNR."""
        result = self.baselines["denoising"][noise]
        name = max(self.filters, key=lambda each: result[each]["psnr"])
        return name, result[name]["psnr"]

    @property
    def filtered(self) -> float:
        """PSNR of the best filter of each noise, mean over all noises."""
        return float(np.mean([self.best_filter(noise)[1] for noise in self.noises]))

    def trained_on(self, item: Item) -> list[str]:
        """The test noises nearest to the training noises of a model: of the same kind, with the nearest level."""
        result = []
        for kind, level in (text.split() for text in item.noise):
            same = [noise for noise in self.noises if noise.rpartition("-")[0] == kind]
            result += sorted(same, key=lambda noise: abs(float(noise.rpartition("-")[2]) - float(level)))[:1]
        return list(dict.fromkeys(result))


def decibels(clean: np.ndarray, x: np.ndarray) -> float:
    """PSNR in dB over all pixels of two rows of images, uint8; inf if they are equal."""
    error = ((clean.astype(np.float64) - x) ** 2).mean() / 255**2
    return float(10 * np.log10(1 / error)) if error else math.inf


def span(values: Sequence[float]) -> str:
    """The range of whole numbers over seeds: "3" or "0 to 3"."""
    low, high = min(values), max(values)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"


def spoken(name: str) -> str:
    """A noise or filter in words: "salt & pepper 0.1", "median filter"."""
    if name in SPOKEN:
        return SPOKEN[name]
    return name.replace("_", " & ").replace("-", " ")
