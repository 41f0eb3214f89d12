"""Errors by column of a table or of series: hidden cells that models and baselines fill."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from aelab.report.formatting import NA, grid
from aelab.report.results import HIDING, Item, Results, spoken

BASELINES = ("mean", "neighbours", "interpolation")  # those that fill cells


@dataclass(frozen=True)
class Column:
    """One column. errors: of hidden cells by who filled them, squared for numbers and the share of wrong ones for
    categories; rebuilt: of the best filler's reconstruction of complete rows."""

    name: str
    categories: int
    errors: dict[str, float]
    rebuilt: float


def hiding(results: Results) -> str:
    """The noise that hides most cells, "" without one."""
    found = [noise for noise in results.noises if noise.rpartition("-")[0] in HIDING]
    return max(found, key=lambda noise: float(noise.rpartition("-")[2]), default="")


def filler(results: Results) -> Item | None:
    """The model that fills these cells best on validation data."""
    noise = hiding(results)
    able = [item for item in results.rebuilding if not item.is_baseline and f"psnr/{noise}" in item.validation]
    return max(able, key=lambda item: float(np.mean(item.validation[f"psnr/{noise}"])), default=None)


def columns(results: Results) -> list[Column]:
    """Every column with its errors; empty for images."""
    noise, best = hiding(results), filler(results)
    if results.kind == "image" or not noise or best is None or len(results.data["columns"]) < 2:
        return []
    found = {spoken(name): results.pictures.get(f"columns/{name}/{noise}") for name in BASELINES}
    found |= {best.name: best.arrays[f"columns/denoised/{noise}"]}
    rebuilt = best.arrays["columns/reconstructions"]
    return [
        Column(
            column["name"],
            len(column["categories"]),
            {who: float(errors[0, i]) for who, errors in found.items() if errors is not None},
            float(rebuilt[0, i]),
        )
        for i, column in enumerate(results.data["columns"])
    ]


def section(results: Results) -> list[str]:
    """The errors by column as a table; empty for images."""
    found = columns(results)
    if not found:
        return []

    def text(value: float, column: Column, best: float) -> str:
        if np.isnan(value):
            return NA
        shown = f"{100 * value:.1f}%" if column.categories else f"{value:.3f}"
        return f"**{shown}**" if value == best else shown

    rows = []
    for column in found:
        best = min(column.errors.values())
        cells = [text(value, column, best) for value in column.errors.values()]
        kind = f"{column.categories} categories" if column.categories else "number"
        rows.append([column.name, kind, *cells, text(column.rebuilt, column, -1)])
    return [
        "### Errors by column",
        f"Test cells that {spoken(hiding(results))} hides, filled by baselines and by the model that is best at it on "
        "validation rows: squared error of numbers (1: as their mean), wrong categories in %. Last: its "
        "reconstruction of complete rows, for comparison. First seed.",
        grid(["column", "holds", *found[0].errors, "nothing hidden"], rows),
    ]
