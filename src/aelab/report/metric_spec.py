"""One metric: how it is named, printed and ranked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

SHARES = ("auroc", "average_precision", "mean_average_precision")  # printed as fractions


@dataclass(frozen=True)
class MetricSpec:
    """One metric.

    group: of the report's columns (see html/table_columns.py); noise_group: that of `<name>/<noise>`, if it differs.
    direction: which values are better; none if neither, or if the number alone does not say. format: of the printed
    value, which for `percent` is 100 times the value. count: a whole number, the same for every replicate. headline: in
    metrics/summary.json. overview: in the first view of the report's table. comparable_within: the key of metrics.json
    that two models must share to be ranked.
    """

    name: str
    title: str
    group: str
    meaning: str
    direction: Literal["higher", "lower", "none"] = "none"
    unit: str = ""
    format: str = ".2f"
    percent: bool = False
    count: bool = False
    headline: bool = False
    overview: bool = False
    comparable_within: str = ""
    noise_group: str = ""

    @property
    def least(self) -> float:
        """The smallest value that there can be."""
        return 0.0 if math.isfinite(self.most) else -math.inf

    @property
    def most(self) -> float:
        """The largest value that there can be, before `percent`."""
        return 1.0 if self.percent or self.name in SHARES else math.inf

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", "none": ""}[self.direction]


def count(name: str, title: str, group: str, meaning: str, overview: bool = False) -> MetricSpec:
    return MetricSpec(name, title, group, meaning, format=",.0f", count=True, overview=overview)


def accuracy(name: str, title: str, meaning: str, headline: bool = False, overview: bool = False) -> MetricSpec:
    return MetricSpec(
        name, title, "codes", meaning, "higher", "%", ".1f", percent=True, headline=headline, overview=overview
    )
