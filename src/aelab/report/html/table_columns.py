"""The columns of the report's table: title, meaning, group."""

from __future__ import annotations

from dataclasses import dataclass

from aelab.report.formatting import kind, title
from aelab.report.metric_specs import TABLE, spec
from aelab.report.results import Results

GROUPS = {  # key -> the text of the menu
    "overview": "overview",
    "reconstruction": "reconstruction",
    "noise": "noise",
    "codes": "codes",
    "anomalies": "anomalies",
    "compression": "compression",
    "learners": "features for a learner",
    "generation": "generation",
    "labels": "stacks and labels",
    "health": "health and cost",
    "more": "noise: ssim, foreground, background",
}


@dataclass(frozen=True)
class Column:
    """One metric. groups: keys of GROUPS that show it; within: the kind of items that it holds, "" for all."""

    metric: str
    title: str
    meaning: str
    groups: tuple[str, ...]
    direction: str
    arrow: str
    within: str


def table_columns(results: Results) -> list[Column]:
    """A column for every metric that some item has, group by group; one per kind if kinds cannot be compared."""
    kinds: dict[str, set[str]] = {}
    for item in results.items.values():
        for metric in item.metrics:
            kinds.setdefault(metric, set()).add(kind(item, metric))
    if "sse" in kinds:
        kinds["pca"] = {""}

    def place(metric: str) -> tuple[int, bool, int]:
        row = spec(metric)
        return [*GROUPS].index(_group(metric)), not _in_overview(metric), TABLE.index(row)

    return [_column(results, metric, entry) for metric in sorted(kinds, key=place) for entry in sorted(kinds[metric])]


def _group(metric: str) -> str:
    row = spec(metric)
    return row.noise_group if row.noise_group and "/" in metric else row.group


def _in_overview(metric: str) -> bool:
    """Only the plain metric: without noise, with all labels."""
    return spec(metric).overview and metric.partition("/")[2] in ("", "all")


def _column(results: Results, metric: str, within: str) -> Column:
    row = spec(metric)
    groups = (_group(metric), *(["overview"] if _in_overview(metric) else []))
    text = title(metric, results.data["classes"], within)
    return Column(metric, text, row.meaning, groups, row.direction, row.arrow, within)
