"""Codes of two and three dimensions as scatter plots, coloured by class."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aelab.report.figures import selection
from aelab.report.figures.style import TEN, TITLE, grid_of
from aelab.report.results import Results
from aelab.report.settings import Compare

POINTS = 1500  # codes per panel


def codes(results: Results, settings: Compare) -> Figure:
    """2-D codes of test images by class: PCA, and LDA if there is one, beside autoencoders."""
    able = selection.HOLDS["codes"]
    lda = [item for item in results.models if item.about["config"].get("directions") == "lda" and able(results, item)]
    pictures, names = results.pictures, results.data["classes"]
    result = [
        (
            f"PCA: squared error {results.baselines['pca_sse'][2]:.1f}",
            pictures["pca_codes"][:, :2],
            pictures["pca_labels"],
        ),
        *(
            (
                f"{item.name}: kNN {100 * item.mean('knn_accuracy'):.0f}%, squared error {item.mean('sse'):.1f}",
                item.arrays["codes"],
                item.arrays["labels"],
            )
            for item in [*lda, *selection.select(results, settings, "codes")]
        ),
    ]
    numbered = _numbered(names)
    title = "Test images by their 2-D code, each drawn as its class; kNN: accuracy of the nearest codes"
    figure, axes = grid_of(len(result), size=(3.5, 3.6), title=title, beside=0 if numbered else 1.2)
    for entry, (heading, points, labels) in zip(axes.flat, result, strict=False):
        _classes(entry, points[:POINTS], labels[:POINTS], names)
        entry.set_title(heading)
        entry.set_xlabel("first code dimension")
    for row in axes:
        row[0].set_ylabel("second code dimension")
    if not numbered:
        axes[0, -1].legend(*axes[0, 0].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _numbered(names: list[str]) -> bool:
    """Whether class names are digits, so that points drawn as digits need no legend."""
    return names == [str(i) for i in range(len(names))]


def _classes(axes: Axes, points: np.ndarray, labels: np.ndarray, names: list[str]) -> None:
    """Draw points [n, 2] or [n, 3] as the number of their class, interleaved so that no class covers the others."""
    turns = 5
    for turn in range(turns):
        for label, name in enumerate(names):
            mine = points[turn::turns][labels[turn::turns] == label]
            how: dict[str, Any] = {"color": TEN[label % len(TEN)], "marker": f"${label}$", "linewidths": 0.2}
            axes.scatter(*mine.T, s=16, zorder=2 + turn, label=name if turn == 0 else None, **how)


NUMBERS = ("first", "second", "third")


def codes_3d(results: Results, settings: Compare) -> Figure | None:
    """3-D codes of test images by class: in space, and from three sides."""
    names = results.data["classes"]
    items = selection.select(results, settings, "codes_3d")
    if not items:
        return None
    tall = 7.9  # inches per model
    wide = 8.6 if _numbered(names) else 9.9  # the other columns are for the legend
    figure = Figure(figsize=(wide, tall * len(items)))
    title = "Test images by their 3-D code, each drawn as its class; kNN: accuracy of the nearest codes"
    figure.suptitle(title, y=1 - 0.12 / (tall * len(items)), va="top", **TITLE)
    for row, item in enumerate(items):
        points, labels = item.arrays["codes"][:POINTS], item.arrays["labels"][:POINTS]

        def place(left: float, bottom: float, row: int = row, **how: str) -> Any:
            share = 8.6 / wide
            box = (left * share, (len(items) - 1 - row + bottom) / len(items), 0.41 * share, 0.4 / len(items))
            return figure.add_axes(box, **how)  # type: ignore[arg-type]

        space = place(0.02, 0.5, projection="3d")
        _classes(space, points, labels, names)
        space.set(xlabel="first code dimension", ylabel="second code dimension", zlabel="third code dimension")
        space.tick_params(labelsize=7, pad=-1)
        knn = 100 * item.mean("knn_accuracy")
        space.set_title(f"{item.name}: kNN {knn:.0f}%, squared error {item.mean('sse'):.1f}")
        for (a, b), corner in (((0, 1), (0.57, 0.53)), ((0, 2), (0.08, 0.06)), ((1, 2), (0.57, 0.06))):
            axes = place(*corner)
            _classes(axes, points[:, [a, b]], labels, names)
            axes.set(xlabel=f"{NUMBERS[a]} code dimension", ylabel=f"{NUMBERS[b]} code dimension")
    if not _numbered(names):
        handles, text = figure.axes[-1].get_legend_handles_labels()
        figure.legend(handles, text, loc="center right", fontsize=8)
    return figure
