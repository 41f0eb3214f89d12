"""The best model per task: selected on validation images, reported on test images, registered in MLflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from aelab.report.formatting import NA, grid, name
from aelab.report.metric_specs import number, spec
from aelab.report.results import Item, Results
from aelab.report.statistics import difference, exact, of_seeds

SIZES = (4, 32)  # maximum latent dimensions of the encoding tasks; the last one is the number of pixels minus one
MIDDLE = 32  # the latent dimension of encoder@champion
WORDS = (
    "The best trained model per task, selected by its mean over seeds on validation images; its test value is what "
    "counts, mean ± standard deviation over seeds, with the mean's 95% interval (Student's t). Baselines: on the same "
    "test images."
)


@dataclass(frozen=True)
class Task:
    """A task that models compete in.

    values: one per replicate of an item, from its metrics on test or on validation images; empty if it does not apply.
    allows: which items may be selected. baselines: untrained ones with their test values, the best first.
    """

    name: str  # name of the registered model
    aliases: tuple[str, ...]
    words: str
    metric: str
    values: Callable[[dict[str, list[float]]], Sequence[float]]
    allows: Callable[[Item], bool]
    baselines: Callable[[], dict[str, float]]


@dataclass(frozen=True)
class Best:
    """The best model of a task. validation, test: one value per replicate."""

    task: Task
    item: Item
    validation: Sequence[float]
    test: Sequence[float]

    @property
    def shown(self) -> str:
        """Its test value: mean ± standard deviation over seeds."""
        spread = f" ± {self._number(float(np.std(self.test, ddof=1)))}" if len(self.test) > 1 else ""
        return self._number(float(np.mean(self.test))) + spread

    @property
    def interval(self) -> str:
        """The 95% interval of the mean test value; n/a for one seed."""
        result = difference(of_seeds(self.test), exact(0.0))
        return NA if math.isnan(result.margin) else " to ".join(map(self._number, result.interval))

    @property
    def chosen_by(self) -> str:
        """Its value on validation images."""
        return self._number(float(np.mean(self.validation)))

    @property
    def baselines(self) -> str:
        return ", ".join(f"{who} {self._number(value)}" for who, value in self.task.baselines().items()) or NA

    @property
    def by(self) -> str:
        """The metric with its unit and direction."""
        row = spec(self.task.metric)
        return f"{row.title}{f', {row.unit}' if row.unit else ''} {row.arrow}"

    @property
    def why(self) -> str:
        """A sentence for the model card."""
        return (
            f"{self.task.words}, by {self.by}: selected on validation images ({self.chosen_by}), "
            f"{self.shown} on test images"
        )

    def _number(self, value: float) -> str:
        return number(value, self.task.metric)


def best_models(results: Results) -> list[Best]:
    """The best trained model of every task, by its mean over replicates on validation images; the first of equals.

    An entry without validation metrics is not selected.
    """
    result = []
    for task in tasks(results):
        scored = [
            (item, validation, test)
            for item in results.models
            if not item.is_baseline and task.allows(item)
            if (validation := task.values(item.validation)) and (test := task.values(item.metrics))
            if not math.isnan(np.mean(validation))
        ]
        best = {"higher": max, "lower": min}[spec(task.metric).direction]
        if scored:
            result.append(Best(task, *best(scored, key=lambda each: float(np.mean(each[1])))))
    return result


def tasks(results: Results) -> list[Task]:
    """Denoising, encoding with several maximum latent dimensions, generation."""
    n = len(results.noises)
    filters = float(np.mean([results.best_filter(noise)[1] for noise in results.noises]))
    prior, gaussian = results.gaussian
    denoiser = Task(
        "denoiser",
        ("champion",),
        f"removes noise, mean over {n} noises",
        "psnr",
        results.over_noises,
        lambda _: True,
        lambda: {"the best filter of each noise": filters},
    )
    generator = Task(
        "generator",
        ("champion",),
        "generates images from its prior",
        "frechet_distance",
        lambda metrics: metrics.get("frechet_distance", []),
        lambda item: item.about.get("samples") == "prior",
        lambda: {prior: gaussian["frechet_distance"]},
    )
    return [denoiser, *(_encoder(results, size) for size in sizes(results)), generator]


def sizes(results: Results) -> list[int]:
    """The maximum latent dimensions of the encoding tasks, always below the number of pixels."""
    most = results.pixels - 1
    return sorted({min(size, most) for size in SIZES} | {most})


def _encoder(results: Results, size: int) -> Task:
    def baselines() -> dict[str, float]:
        """The best untrained codes of this latent dimension, and raw pixels."""
        probes = {who: measured["probe_accuracy"] for who, measured in results.baselines["probes"].items()}
        raw = probes.pop("raw pixels")
        least = results.baselines["sizes"]["latent_dim"]
        best = max(probes, key=probes.__getitem__, default=None) if least <= size else None
        return ({best: probes[best]} if best else {}) | {f"raw pixels ({results.pixels:,} numbers)": raw}

    middle = size == min(MIDDLE, results.pixels - 1)
    return Task(
        "encoder",
        (f"up-to-{size}", *(["champion"] if middle else [])),
        f"codes of up to {size:,} latent dimensions, trained without labels",
        "probe_accuracy",
        lambda metrics: metrics.get("probe_accuracy", []),
        lambda item: not item.uses_labels and item.mean("latent_dim") <= size,
        baselines,
    )


def section(results: Results) -> list[str]:
    """The best models as a table; empty without any."""
    result = best_models(results)
    if not result:
        return []
    rows = [
        [
            item.task.words,
            item.by,
            name(results, item.item),
            item.chosen_by,
            f"**{item.shown}**",
            item.interval,
            item.baselines,
            ", ".join(f"`{item.task.name}@{alias}`" for alias in item.task.aliases),
        ]
        for item in result
    ]
    head = ["task", "by", "model", "validation", "test", "95% interval", "baseline", "in the registry"]
    return ["## Best models", WORDS, grid(head, rows)]
