"""The answers: the best model per question, selected on validation images, reported on test images; some are registered
in MLflow."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from aelab.report.formatting import NA, cell, grid, name
from aelab.report.metric_specs import number, spec
from aelab.report.results import HIDING, SIZES, Item, Results, spoken
from aelab.report.statistics import difference, exact, of_seeds

MIDDLE = 32  # the latent dimension of encoder@champion
TIES = 3  # names of ties that are shown
WORDS = (
    "The best trained model per question, selected by its mean over seeds on validation images. Test: its mean ± "
    "standard deviation over seeds on test images, and the mean's 95% interval (Student's t). Ties: models whose test "
    "mean differs from it by less than the 95% interval of the difference (Welch's t). Baseline: untrained, or for "
    "stacks the same stack without pretraining, on the same test images."
)


@dataclass(frozen=True)
class Task:
    """A task that models compete in.

    values: one per replicate of an item, from its metrics on test or on validation images; empty if it does not apply.
    allows: which items may be selected. baselines: those of the selected item with their test values, the best first.
    """

    name: str  # of the registered model; without aliases it is not registered
    aliases: tuple[str, ...]
    question: str
    words: str  # what it is the best at
    metric: str
    values: Callable[[dict[str, list[float]]], Sequence[float]]
    allows: Callable[[Item], bool]
    baselines: Callable[[Item], dict[str, float]]


@dataclass(frozen=True)
class Best:
    """The best model of a task. validation, test: one value per replicate; tied: names of the models that tie with it,
    the best first."""

    task: Task
    item: Item
    validation: Sequence[float]
    test: Sequence[float]
    tied: Sequence[str]

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
        return ", ".join(f"{who} {self._number(value)}" for who, value in self.task.baselines(self.item).items()) or NA

    @property
    def ties(self) -> str:
        if len(self.test) == 1:
            return "unknown: one seed"
        more = f" and {len(self.tied) - TIES} more" if len(self.tied) > TIES else ""
        return ", ".join(self.tied[:TIES]) + more or "none"

    @property
    def registered(self) -> list[str]:
        """Its names in MLflow's registry."""
        return [f"{self.task.name}@{alias}" for alias in self.task.aliases]

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
            for item in results.items.values()
            if not item.is_baseline and task.allows(item)
            if (validation := task.values(item.validation)) and (test := task.values(item.metrics))
            if not math.isnan(np.mean(validation))
        ]
        sign = {"higher": -1, "lower": 1}[spec(task.metric).direction]
        if not scored:
            continue
        best, chosen_by, found = min(scored, key=lambda each: sign * float(np.mean(each[1])))
        others = sorted(
            (item for item in scored if item[0] is not best), key=lambda each: sign * float(np.mean(each[2]))
        )
        tied = [item.name for item, _, test in others if not difference(of_seeds(found), of_seeds(test)).sign]
        result.append(Best(task, best, chosen_by, found, tied))
    return result


def tasks(results: Results) -> list[Task]:
    """Reconstruction and encoding with several maximum latent dimensions, denoising, generation, classification."""
    every = lambda _: True  # noqa: E731
    n = len(results.noises)
    filters = float(np.mean([results.best_filter(noise)[1] for noise in results.noises]))
    denoisers = [
        Task(
            "denoiser",
            ("champion",),
            f"Which removes noise best, over all {n} noises?",
            f"removes noise, mean over {n} noises",
            "psnr",
            results.over_noises,
            every,
            lambda _: {"the best filter of each noise": filters},
        ),
        *(_denoiser(results, noise) for noise in results.noises),
    ]
    wide = results.kind == "table"  # where codes of more numbers than a row has are wanted
    few = f"with {results.baselines['sizes']['labels']} labels a class"
    encoders = [
        Task(
            "few-labels",
            (),
            f"Which has the best codes {few}?",
            f"codes {few}, trained without labels",
            "few_labels_accuracy",
            partial(_values, "few_labels_accuracy"),
            lambda item: not item.uses_labels and (wide or item.mean("latent_dim") < results.pixels),
            lambda _: _probes(results, results.pixels - 1, "few_labels_accuracy"),
        ),
        *(_encoder(results, size) for size in sizes(results)),
    ]
    generator = Task(
        "generator",
        ("champion",),
        "Which makes the best new images?",
        "generates images from its prior",
        "frechet_distance",
        partial(_values, "frechet_distance"),
        lambda item: item.about.get("samples") == "prior",
        lambda _: results.gaussian,
    )
    rebuilders = [_rebuilder(results, size) for size in sizes(results)]
    classifiers = [_classifier(results, budget, labels) for budget, labels in results.budgets.items()]
    return [*rebuilders, *denoisers, *encoders, generator, *classifiers]


def sizes(results: Results) -> list[int]:
    """The maximum latent dimensions of the encoding tasks, always below the number of pixels."""
    most = results.pixels - 1
    return sorted({min(size, most) for size in SIZES} | {most})


def _values(metric: str, metrics: dict[str, list[float]]) -> Sequence[float]:
    return metrics.get(metric, [])


def _rebuilder(results: Results, size: int) -> Task:
    return Task(
        "rebuilder",
        (),
        f"Which rebuilds best from up to {size:,} numbers?",
        f"rebuilds from up to {size:,} numbers",
        "sse",
        partial(_values, "sse"),
        lambda item: item.mean("latent_dim") <= size,
        lambda item: {f"PCA {item.mean('latent_dim'):.0f}": results.pca(item)},
    )


def _denoiser(results: Results, noise: str) -> Task:
    name, psnr = results.best_filter(noise)
    hides = results.kind != "image" and noise.startswith(HIDING)
    return Task(
        f"denoiser-{noise}",
        (),
        f"Which fills best what {spoken(noise)} hides?" if hides else f"Which removes {spoken(noise)} best?",
        f"removes {spoken(noise)}",
        f"psnr/{noise}",
        partial(_values, f"psnr/{noise}"),
        lambda _: True,
        lambda _: {spoken(name): psnr},
    )


def _encoder(results: Results, size: int) -> Task:
    middle = size == min(MIDDLE, results.pixels - 1)
    return Task(
        "encoder",
        (f"up-to-{size}", *(["champion"] if middle else [])),
        f"Which has the best codes of up to {size:,} numbers, with all labels?",
        f"codes of up to {size:,} latent dimensions, trained without labels",
        "probe_accuracy",
        partial(_values, "probe_accuracy"),
        lambda item: not item.uses_labels and item.mean("latent_dim") <= size,
        lambda _: _probes(results, size, "probe_accuracy"),
    )


def _probes(results: Results, size: int, metric: str) -> dict[str, float]:
    """The best untrained codes of up to `size` numbers, and raw pixels."""
    probes = {who: measured[metric] for who, measured in results.baselines["probes"].items()}
    raw = probes.pop("raw pixels")
    least = results.baselines["sizes"]["latent_dim"]
    best = max(probes, key=probes.__getitem__, default=None) if least <= size else None
    return ({best: probes[best]} if best else {}) | {f"raw pixels ({results.pixels:,} numbers)": raw}


def _classifier(results: Results, budget: str, labels: int) -> Task:
    def control(item: Item) -> dict[str, float]:
        other = results.control(item)
        return {other.name: other.mean(f"test_error/{budget}")} if other and other is not item else {}

    return Task(
        f"classifier-{budget}",
        (),
        f"Which pretraining classifies best with {labels:,} labels{' (all)' * (budget == 'all')}?",
        f"classifies with {labels:,} labels",
        f"test_error/{budget}",
        lambda metrics: metrics.get(f"test_error/{budget}") or metrics.get(f"error/{budget}", []),
        lambda _: True,
        control,
    )


def section(results: Results) -> list[str]:
    """The answers as a table; empty without any."""
    result = best_models(results)
    if not result:
        return []
    rows = [
        [
            item.task.question,
            f"**{name(results, item.item)}**",
            f"**{item.shown}**",
            item.by,
            item.interval,
            item.ties,
            item.baselines,
            cell(item.item, "parameters"),
        ]
        for item in result
    ]
    head = ["question", "answer", "test", "by", "95% interval", "ties", "baseline", "parameters"]
    registered = ", ".join(
        f"{item.item.name} as `{'`, `'.join(item.registered)}`" for item in result if item.registered
    )
    return ["## Answers", WORDS, grid(head, rows), f"In MLflow's registry: {registered}."]
