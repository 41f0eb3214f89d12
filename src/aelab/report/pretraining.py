"""Does pretraining help? Every stack compared with its control, the same stack without pretraining, per label
budget."""

from __future__ import annotations

from dataclasses import dataclass

from aelab.report.formatting import NA, cell, gap, grid, name, number, ranked
from aelab.report.results import Item, Results, spoken
from aelab.report.statistics import paired, share_interval

BETTER, WORSE, OPEN, CONTROL = "better", "worse", "not decided", "the control"
WORDS = (
    "Verdict: on the difference, in points, to the same stack without pretraining (the control). Its 95% interval and "
    "degrees of freedom (df) are those of a paired t over seeds, which share their labelled images, and over test "
    "images. "
    "Not decided: the interval contains 0, or a side has a single seed."
)


@dataclass(frozen=True)
class Pretraining:
    """The comparison of a stack with its control for one label budget, as printed."""

    error: str
    against: str
    difference: str
    df: str
    word: str  # BETTER, WORSE, OPEN, CONTROL; n/a without a control


def pretraining(results: Results, item: Item, metric: str) -> Pretraining:
    """The comparison of `item`. metric: test_error/<budget>, which the item has."""
    control, error = results.control(item), cell(item, metric)
    if control is None or metric not in control.metrics:
        return Pretraining(error, NA, NA, NA, NA)
    if item is control:
        return Pretraining(error, control.name, NA, NA, CONTROL)
    result = paired(item.per_image[metric], control.per_image[metric])
    return Pretraining(error, control.name, *gap(result, metric), {-1: BETTER, 1: WORSE, 0: OPEN}[result.sign])


def section(results: Results) -> list[str]:
    """A table per label budget; empty without stacks."""
    n = results.baselines["test_images"]
    parts = [
        "## Stacks",
        f"Test error in % after fine-tuning with this number of labels, and Wilson's 95% interval of the mean error on "
        f"{n:,} images. {WORDS}",
    ]
    head = ["stack", "test error", "95% interval", "against", "difference (95% interval)", "df", "verdict"]
    for budget, labels in results.budgets.items():
        metric = f"test_error/{budget}"
        items = [item for item in results.stacks if metric in item.metrics]
        rows = []
        for item, (text,) in zip(items, ranked(items, (metric,)), strict=True):
            result = pretraining(results, item, metric)
            marked = name(results, item, "classification", "health")
            bounds = interval(item.mean(metric), n)
            rows.append([marked, text, bounds, result.against, result.difference, result.df, result.word])
        rows += machines(results) if budget == "all" else []
        parts += [f"### {labels:,} labels" + (" (all)" if budget == "all" else ""), grid(head, rows)]
    parts += [said(results)] if results.machines else []
    return parts if results.stacks else []


def machines(results: Results) -> list[list[str]]:
    """The rows of support vector machines."""
    metric, n = "test_error/all", results.baselines["test_images"]
    return [
        [f"*{spoken(kernel)}*", number(found["test_error"], metric), interval(found["test_error"], n), *[NA] * 4]
        for kernel, found in results.machines.items()
    ]


def said(results: Results) -> str:
    """How the support vector machines were chosen."""
    metric = "test_error/all"
    return "\n".join(
        f"{spoken(kernel)}: {found['chosen']}, of {len(found['tried'])} tried, with an error of "
        f"{number(found['validation_error'], metric)}% on validation images; fitted anew to training and validation "
        f"images, {found['rows']:,}, of which it keeps {found['support_vectors']:,}."
        for kernel, found in results.machines.items()
    )


def interval(error: float, n: int) -> str:
    """Wilson's 95% interval of an error on n images."""
    return " to ".join(number(bound, "test_error/all") for bound in share_interval(error, n))
