"""The columns of tables and series: how raw values become inputs of a net, and back.

x is [N, D] for a table, [N, T, D] for series; columns describe the D inputs of the last axis. Raw values are float64
[..., C], one per column: a number, the position of a category in the column's list, NaN where missing.

| column | inputs | a missing cell |
|---|---|---|
| number | its value, scaled; where values were missing in training, also a flag: 1 known, 0 missing | all 0 |
| category | one-hot over the categories seen in training, then one input for all others | all 0 |

A cell that noise hides looks like a missing one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Scaling = Literal["rank", "standard"]
Kind = Literal["table", "series", "image"]
KINDS: dict[int, Kind] = {1: "table", 2: "series", 3: "image"}  # by the axes of one item

KNOTS = 200  # at most, of a scaler


@dataclass(frozen=True)
class Column:
    """One column, fitted to training data.

    categories: seen in training; empty for a number. flag: whether a second input says that the number is known. knots:
    raw and scaled values of a number, both growing; two are a straight line, more are interpolated, ends are kept.
    """

    name: str
    categories: tuple[str, ...] = ()
    flag: bool = False
    knots: tuple[tuple[float, float], ...] = ()

    @property
    def width(self) -> int:
        """The number of its inputs."""
        return len(self.categories) + 1 if self.categories else 1 + self.flag

    def scaled(self, raw: np.ndarray) -> np.ndarray:
        """Raw numbers -> scaled ones; NaN stays."""
        return _through(raw, self.knots)

    def unscaled(self, values: np.ndarray) -> np.ndarray:
        """Scaled numbers -> raw ones."""
        return _through(values, tuple((b, a) for a, b in self.knots))


def _through(values: np.ndarray, knots: Sequence[tuple[float, float]]) -> np.ndarray:
    source, target = np.array(knots).T
    if len(source) == 2:
        return target[0] + (values - source[0]) * (target[1] - target[0]) / (source[1] - source[0])
    return np.where(np.isnan(values), np.nan, np.interp(values, source, target))


def fit(names: Sequence[str], categories: Sequence[Sequence[str]], raw: np.ndarray, scaling: Scaling) -> list[Column]:
    """Columns fitted to the raw values [..., C] of the training split.

    scaling: `rank`, RankGauss (Jahrer 2017): ranks become quantiles of a normal distribution, which tames outliers;
    `standard`: minus mean, by standard deviation. Either way training values have mean 0 and standard deviation 1.
    """
    flat = raw.reshape(-1, raw.shape[-1])
    return [
        _fitted(name, known, flat[:, i], scaling) for i, (name, known) in enumerate(zip(names, categories, strict=True))
    ]


def _fitted(name: str, categories: Sequence[str], raw: np.ndarray, scaling: Scaling) -> Column:
    missing = np.isnan(raw)
    values, counts = np.unique(raw[~missing], return_counts=True)
    if categories:
        return Column(name, tuple(categories[int(i)] for i in values))
    if len(values) < 2:  # nothing to learn from: it stays 0
        only = float(values[0]) if len(values) else 0.0
        return Column(name, flag=bool(missing.any()), knots=((only, 0.0), (only + 1, 1.0)))
    if scaling == "standard":
        mean, deviation = float(np.average(values, weights=counts)), float(np.nanstd(raw))
        return Column(name, flag=bool(missing.any()), knots=((mean, 0.0), (mean + deviation, 1.0)))
    from scipy.special import ndtri

    z = ndtri((counts.cumsum() - counts / 2) / counts.sum())
    mean = np.average(z, weights=counts)
    z = (z - mean) / math.sqrt(np.average((z - mean) ** 2, weights=counts))
    kept = np.unique(np.searchsorted(z, np.linspace(z[0], z[-1], KNOTS)).clip(0, len(z) - 1))
    knots = tuple(zip(values[kept].tolist(), z[kept].tolist(), strict=True))
    return Column(name, flag=bool(missing.any()), knots=knots)


def encode(columns: Sequence[Column], raw: np.ndarray, categories: Sequence[Sequence[str]]) -> np.ndarray:
    """Raw values [..., C], with the `categories` that their positions mean, -> inputs float32 [..., D]."""
    result = np.zeros((*raw.shape[:-1], sum(column.width for column in columns)), np.float32)
    start = 0
    for i, column in enumerate(columns):
        values = raw[..., i]
        known = ~np.isnan(values)
        if column.categories:
            other = len(column.categories)
            places = {name: place for place, name in enumerate(column.categories)}
            to = np.array([places.get(name, other) for name in categories[i]] or [other])
            which = to[np.where(known, values, 0).astype(np.int64)]
            np.put_along_axis(result[..., start : start + other + 1], which[..., None], known[..., None], -1)
        else:
            result[..., start] = np.where(known, column.scaled(np.where(known, values, 0)), 0)
            if column.flag:
                result[..., start + 1] = known
        start += column.width
    return result


def decode(columns: Sequence[Column], x: np.ndarray) -> np.ndarray:
    """Inputs as a model rebuilds them [..., D] -> raw values float64 [..., C]; a category is the most likely one that
    was seen in training, by its position in the column's own list."""
    result, start = np.empty((*x.shape[:-1], len(columns))), 0
    for i, column in enumerate(columns):
        if column.categories:
            result[..., i] = x[..., start : start + len(column.categories)].argmax(-1)
        else:
            result[..., i] = column.unscaled(x[..., start].astype(np.float64))
        start += column.width
    return result


def from_json(stored: Sequence[dict[str, Any]]) -> tuple[Column, ...]:
    """The columns that JSON holds (dataclasses.asdict of each)."""
    return tuple(
        Column(one["name"], tuple(one["categories"]), one["flag"], tuple((a, b) for a, b in one["knots"]))
        for one in stored
    )
