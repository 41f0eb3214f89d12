"""Which models a figure shows: those with the arrays that it needs, chosen in params.yaml or by one rule."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from aelab.report.results import Item, Results
from aelab.report.settings import LIMITS, Compare


def _array(name: str) -> Callable[[Results, Item], bool]:
    return lambda results, item: name in item.arrays


def _learning(start: str) -> Callable[[Results, Item], bool]:
    return lambda results, item: any(item.about["history"]) and any(key.startswith(start) for key in item.arrays)


def _code(numbers: int) -> Callable[[Results, Item], bool]:
    return lambda results, item: item.arrays.get("codes", np.empty((0, 0))).shape[1] == numbers


def _random_codes(results: Results, item: Item) -> bool:
    return "random_codes" in item.arrays and "samples" not in item.arrays


def _denoised(results: Results, item: Item) -> bool:
    return all(f"denoised/{noise}" in item.arrays for noise in results.noises)


def _beside_pca(results: Results, item: Item) -> bool:
    return "sse" in item.metrics and f"pca/{round(item.mean('latent_dim'))}" in results.pictures


# figure -> whether it can show a model
HOLDS: dict[str, Callable[[Results, Item], bool]] = {
    "codes": _code(2),
    "codes_3d": _code(3),
    "grids": _array("grid"),
    "chosen": _array("chosen"),
    "by_class": _array("by_class"),
    "clusters": _array("prototypes"),
    "swaps": _array("swaps"),
    "masked": _array("hidden"),
    "samples": _array("samples"),
    "plain": _random_codes,
    "filters": _array("filters"),
    "units": _array("filters"),
    "interpolations": _array("interpolation"),
    "epochs": _learning("preview/step-"),
    "noisy_epochs": _learning("preview/noisy-step-"),
    "denoising": _denoised,
    "pca": _beside_pca,
}


def _met_noise(results: Results, item: Item) -> bool:
    return bool(item.noise)


def _noise_twin(results: Results, item: Item) -> bool:
    """Whether another model has the same net, one of the two trained with noise and one without."""
    return any(_net(entry) == _net(item) and bool(entry.noise) != bool(item.noise) for entry in results.models)


def _penalty_twin(results: Results, item: Item) -> bool:
    """Whether another model has the same net with another weight of the same penalty."""
    twins = [
        entry for entry in results.models if _net(entry, "weight") == _net(item, "weight") and entry.noise == item.noise
    ]
    return "weight" in item.about["config"] and len({entry.about["config"]["weight"] for entry in twins}) > 1


def _net(item: Item, *but: str) -> tuple[str, dict[str, Any]]:
    return item.about["family"], {key: value for key, value in item.about["config"].items() if key not in but}


# figure -> the models that answer its question; without any, all that it can show
PREFERRED: dict[str, Callable[[Results, Item], bool]] = {
    "denoising": _met_noise,
    "filters": _noise_twin,
    "units": _penalty_twin,
}


def select(results: Results, settings: Compare, figure: str) -> list[Item]:
    """The models of one figure (a key of HOLDS), at most LIMITS of them.

    Named in `settings`: in that order. Else trained models that can be shown and are PREFERRED; if these are too many,
    the first of every family and then the others, in the order of params.yaml.
    """
    names = getattr(settings, figure, None)
    if names:
        items = results.pick([names] if isinstance(names, str) else names)
        return [item for item in items if HOLDS[figure](results, item)]
    able = [item for item in results.models if not item.is_baseline and HOLDS[figure](results, item)]
    if figure in PREFERRED:
        able = [item for item in able if PREFERRED[figure](results, item)] or able
    families = [item.about["family"] for item in able]
    first = [i for i, family in enumerate(families) if family not in families[:i]]
    ranked = [*first, *(i for i in range(len(able)) if i not in first)]
    return [able[i] for i in sorted(ranked[: LIMITS[figure]])]


def shown(results: Results, settings: Compare, name: str) -> list[str]:
    """The names of the models that the figure of this file name shows; empty for a figure of all models."""
    figures = [name.replace("-", "_"), *(["plain"] if name == "samples" else [])]
    return [item.name for figure in figures if figure in HOLDS for item in select(results, settings, figure)]
