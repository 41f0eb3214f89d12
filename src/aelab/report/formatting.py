"""How values, rows and tables are formatted."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence

from aelab.report import warnings
from aelab.report.metric_specs import number, spec
from aelab.report.results import Item, Results, spoken
from aelab.report.statistics import Difference

NA = "n/a"
ANOMALIES = ("auroc", "average_precision", "false_alarms")
SCORES = {  # of anomalies
    "": "best score",
    "error": "reconstruction error",
    "sap": "SAP",
    "nap": "NAP",
    "mahalanobis": "Mahalanobis distance of the code",
    "elbo": "negative ELBO",
}
LEARNERS = {"logistic": "logistic regression", "mlp": "MLP", "boosting": "gradient boosting"}
FEATURES = {"code": "code", "layers": "all layers", "raw": "raw values", "pca": "PCA"}


def name(results: Results, item: Item, *groups: str) -> str:
    """The first cell of a row: baselines in italics, ¹ with a warning of these groups, ² if the model uses labels."""
    mark = "¹" if any(flag.group in groups for flag in warnings.of(results, item)) else ""
    return (f"*{item.name}*" if item.is_baseline else item.name + mark) + "²" * item.uses_labels


def ranked(items: Sequence[Item], metrics: Sequence[str]) -> list[list[str]]:
    """The cells of a table, item by item; the best of two or more comparable items is bold, with all that print
    alike."""
    best: dict[tuple[str, str], str] = {}
    for metric in metrics:
        direction, values = spec(metric).direction, defaultdict(list)
        for item in items:
            if not math.isnan(item.mean(metric)):
                values[kind(item, metric)].append(item.mean(metric))
        for group, known in values.items():
            if direction != "none" and len(known) > 1:
                best[metric, group] = number((max if direction == "higher" else min)(known), metric)

    def text(item: Item, metric: str) -> str:
        shown = cell(item, metric)
        leads = shown != NA and number(item.mean(metric), metric) == best.get((metric, kind(item, metric)))
        return f"**{shown}**" if leads else shown

    return [[text(item, metric) for metric in metrics] for item in items]


def kind(item: Item, metric: str) -> str:
    """The group within which an item's metric is comparable, such as "grey" targets; "" if with all others."""
    key = spec(metric).comparable_within
    return item.about[key] if key else ""


def cell(item: Item, metric: str) -> str:
    """mean ± standard deviation; n/a if the metric does not apply."""
    value, spread = item.mean(metric), item.spread(metric)
    if math.isnan(value):
        return NA
    with_spread = not math.isnan(spread) and not spec(metric).count
    return number(value, metric) + (f" ± {number(spread, metric)}" if with_spread else "")


def given(values: Mapping[str, float], metric: str) -> str:
    """The value of a baseline, if it has one."""
    return number(values[metric], metric) if metric in values else NA


def title(metric: str, classes: Sequence[str] = (), within: str = "") -> str:
    """The title of a column: "psnr, gaussian 0.5, dB", "test error, all labels, %". classes: names for class_error."""
    base, _, rest = metric.partition("/")
    row = spec(metric)
    if base == "test_error":
        rest = "all labels" if rest == "all" else f"{int(rest):,} labels"
    elif base == "class_error":
        rest = str(classes[int(rest)])
    elif base == "bytes_at":
        rest = f"at {rest} dB"
    elif base == "learner_error":
        rest = learner(rest)
    elif base in ANOMALIES:
        rest = SCORES.get(rest, rest)
    group = f"{within} {row.comparable_within}" if within else ""
    return ", ".join(filter(None, (row.title, spoken(rest), group, row.unit)))


def learner(rest: str) -> str:
    """What comes after learner_error/: "100/mlp/code" -> "100 labels, MLP, code"; the best without learner and
    features."""
    labels, *words = rest.split("/")
    known = LEARNERS | FEATURES
    return ", ".join([f"{int(labels):,} labels", *(known[word] for word in words)]) + ", best" * (not words)


def gap(difference: Difference, metric: str) -> tuple[str, str]:
    """A difference with its 95% interval, and its degrees of freedom."""
    value, (low, high) = number(difference.value, metric, "+"), difference.interval
    if math.isnan(difference.margin):
        return value, NA
    df = NA if math.isnan(difference.df) else f"{difference.df:.1f}"
    return f"{value} ({number(low, metric, '+')} to {number(high, metric, '+')})", df


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, the first column left-aligned, the others right-aligned."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
