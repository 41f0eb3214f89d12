"""The answers: the best model per question, selected on validation images, reported on test images; some are registered
in MLflow."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aelab.report.formatting import NA, cell, grid, name
from aelab.report.metric_specs import number, spec
from aelab.report.results import Item, Results
from aelab.report.statistics import difference, exact, of_seeds
from aelab.report.tasks import Task, tasks

TIES = 3  # names of ties that are shown
WORDS = (
    "The best trained model per question, selected by its mean over seeds on validation images. Test: its mean ± "
    "standard deviation over seeds on test images, and the mean's 95% interval (Student's t). Ties: models whose test "
    "mean differs from it by less than the 95% interval of the difference (Welch's t). Baseline: untrained, or for "
    "stacks the same stack without pretraining, on the same test images."
)


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
        low, high = result.interval
        least, most = spec(self.task.metric).least, spec(self.task.metric).most
        return (
            NA if math.isnan(result.margin) else f"{self._number(max(low, least))} to {self._number(min(high, most))}"
        )

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
            if not math.isnan(np.mean(validation)) and not math.isnan(np.mean(test))
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
    registered = [f"{item.item.name} as `{'`, `'.join(item.registered)}`" for item in result if item.registered]
    registry = [f"In MLflow's registry: {', '.join(registered)}."] if registered else []
    return ["## Answers", WORDS, grid(head, rows), *registry]
