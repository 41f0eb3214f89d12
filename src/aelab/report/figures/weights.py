"""First-layer weights as images."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from aelab.report.figures.pictures import trained
from aelab.report.figures.selection import select
from aelab.report.figures.style import panels, tile
from aelab.report.results import Item, Results
from aelab.report.settings import Compare

LARGE = 28  # pixels of a unit's image, at least: smaller ones are enlarged
CONTRAST = 0.98  # quantile of a unit's weights that is drawn white


def filters(results: Results, settings: Compare) -> Figure | None:
    """First-layer weights, every unit on its own scale."""
    items = select(results, settings, "filters")
    scaled = []
    for item in items:
        weights = item.arrays["filters"]
        strong = np.quantile(np.abs(weights), CONTRAST, (1, 2), keepdims=True)  # a single pixel would pale the others
        scaled.append((weights / np.maximum(strong, 1e-12))[by_structure(weights)])
    title = "First-layer weights, one square per unit: does training with noise change what units look for?"
    note = (
        "white: positive, mid-grey: zero, black: negative; every unit on its own scale, the strongest 2% clipped;\n"
        "units with few strong weights first; first seed"
    )
    return _units(items, scaled, title, note, 1.0)


def units(results: Results, settings: Compare) -> Figure | None:
    """The input of norm 1 that maximises each unit, w / |w|, on one scale for all inputs of a size."""
    items = select(results, settings, "units")
    normal = [item.arrays["filters"] for item in items]
    normal = [w / np.maximum(np.sqrt((w**2).sum((1, 2), keepdims=True)), 1e-12) for w in normal]
    largest, scaled = max([LARGE, *(w.shape[1] for w in normal)]), []
    for weights in normal:
        alike = np.concatenate([w for w in normal if w.shape[1:] == weights.shape[1:]])
        pixel = np.ones((1, *[round(largest / weights.shape[1])] * 2))  # patches are drawn as large as images
        scaled.append(np.kron(weights[by_structure(weights)] / np.quantile(np.abs(alike), 0.97), pixel))
    title = "The image that most excites each unit, w / |w|: does a sparsity penalty change it?"
    note = (
        "white: positive, mid-grey: zero, black: negative; the strongest 3% clipped;\n"
        "units with few strong weights first; first seed"
    )
    return _units(items, scaled, title, note, 1.0)


def by_structure(weights: np.ndarray) -> np.ndarray:
    """The order of units [n, H, W] by kurtosis, the highest first: few strong weights before noise."""
    flat = weights.reshape(len(weights), -1).astype(np.float64)
    flat = flat - flat.mean(1, keepdims=True)
    variance = np.maximum((flat**2).mean(1), 1e-24)
    return np.argsort(-(flat**4).mean(1) / variance**2, kind="stable")


def _units(items: list[Item], weights: list[np.ndarray], title: str, note: str, bound: float) -> Figure | None:
    result = [
        (f"{item.name}: {_about(item)}", tile(units, 10, blank=bound))
        for item, units in zip(items, weights, strict=True)
    ]
    return (
        panels(result, title, note, vmin=-bound, vmax=bound, columns=2 if len(result) == 4 else 3) if result else None
    )


def _about(item: Item) -> str:
    config = item.about["config"]
    if config.get("penalty"):
        weight = config["weight"]
        return f"{config['penalty'].upper()} penalty, weight {weight:g}" if weight else "no penalty"
    return f"trained {'with' if item.noise else 'on'} {trained(item)}"
