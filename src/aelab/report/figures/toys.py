"""Figures of autoencoders on points in the plane, where all that they do is visible."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.figure import Figure

from aelab.report.figures.style import BLUE, GREY, ORANGE, TITLE, chart
from aelab.report.results import Results
from aelab.report.settings import Compare


def manifolds(results: Results, settings: Compare) -> Figure | None:
    """Points near a straight line and near a curve, and the lines that PCA and an autoencoder find."""
    toy = {key.removeprefix("toy/"): value for key, value in results.pictures.items()}
    kinds = [kind for kind in ("straight", "bent") if f"{kind}_points" in toy]
    if not kinds:
        return None
    title = "One number per point: PCA finds a line, an autoencoder bends it where the points do"
    figure, axes = chart(1, len(kinds), size=(4.2 * len(kinds), 5.0), title=title)
    for item, kind in zip(axes[0], kinds, strict=True):
        pca, ae = toy[f"{kind}_errors"]
        item.scatter(*toy[f"{kind}_points"].T, s=9, color=GREY, alpha=0.6, lw=0, label="points")
        item.plot(*toy[f"{kind}_ae"].T, color=BLUE, lw=3, label="autoencoder 2-32-1-32-2")
        item.plot(*toy[f"{kind}_pca"].T, "--", color=ORANGE, lw=1.8, label="PCA")
        item.set_title(f"points near a {kind} line\nsquared error: PCA {pca:.4f}, autoencoder {ae:.4f}")
        item.set(xlabel="first coordinate", aspect="equal", xlim=(-1.25, 1.25), ylim=(-1.25, 1.25))
    axes[0, 0].set_ylabel("second coordinate")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=3, fontsize=8)
    return figure


def sheet(results: Results, settings: Compare) -> Figure | None:
    """A bent sheet in space, and its codes of two numbers by PCA and by an autoencoder."""
    toy = {key.removeprefix("toy/sheet_"): value for key, value in results.pictures.items() if "toy/sheet_" in key}
    if not toy:
        return None
    figure = Figure(figsize=(11.4, 4.2))
    figure.suptitle(
        "Two numbers per point of a bent sheet: PCA folds it flat, an autoencoder unrolls it", y=0.97, **TITLE
    )
    turn, (pca, ae) = toy["turn"], toy["errors"]
    space: Any = figure.add_axes((0.01, 0.02, 0.32, 0.86), projection="3d")
    space.scatter(*toy["points"].T, c=turn, cmap="viridis", s=10)
    space.set_title("points in space, coloured along the S")
    space.tick_params(labelsize=7, pad=-2)
    for left, name, error in ((0.4, "pca", pca), (0.72, "ae", ae)):
        axes = figure.add_axes((left, 0.13, 0.26, 0.7))
        axes.scatter(*toy[name].T, c=turn, cmap="viridis", s=10)
        words = {"pca": "PCA", "ae": "autoencoder 3-32-32-2-32-32-3"}[name]
        axes.set_title(f"{words}\nsquared error {error:.4f}")
        axes.set(xlabel="first code dimension", ylabel="second code dimension" if name == "pca" else "")
    return figure


def directions(results: Results, settings: Compare) -> Figure | None:
    """Two classes, and the directions that PCA and LDA keep."""
    toy = {
        key.removeprefix("toy/directions_"): value
        for key, value in results.pictures.items()
        if "toy/directions_" in key
    }
    if not toy:
        return None
    points, labels = toy["points"], toy["labels"]
    title = "One number per point: PCA keeps the most variance, LDA what tells the classes apart"
    figure, axes = chart(1, 3, size=(11.4, 4.2), title=title)
    for label, colour in ((0, BLUE), (1, ORANGE)):
        axes[0, 0].scatter(*points[labels == label].T, s=10, color=colour, lw=0, label=f"class {label}")
    for name, style in (("pca", "--"), ("lda", "-")):
        ends = np.outer([-1.2, 1.2], toy[name]) + points.mean(0)
        axes[0, 0].plot(*ends.T, style, color="black", lw=1.5, label=name.upper())
    axes[0, 0].set(xlabel="first coordinate", ylabel="second coordinate", aspect="equal", title="points and directions")
    axes[0, 0].legend(fontsize=8)
    for entry, name in zip(axes[0, 1:], ("pca", "lda"), strict=True):
        codes = (points - points.mean(0)) @ toy[name]
        bins = np.linspace(codes.min(), codes.max(), 30)
        for label, colour in ((0, BLUE), (1, ORANGE)):
            entry.hist(codes[labels == label], bins, color=colour, alpha=0.6)
        entry.set(title=f"the points' {name.upper()} codes", xlabel="code", ylabel="points")
    return figure


def field(results: Results, settings: Compare) -> Figure | None:
    """Where a denoising autoencoder moves the points of the plane."""
    if "toy/field_moves" not in results.pictures:
        return None
    points, places, moves = (results.pictures[f"toy/field_{name}"] for name in ("points", "places", "moves"))
    title = "What denoising moves: each place of the plane goes towards the training points"
    figure, axes = chart(size=(6.8, 7.0), title=title)
    item = axes[0, 0]
    item.plot(*points.T, ".", ms=5, color=ORANGE, label="training points (trained with gaussian noise)")
    how = {"angles": "xy", "scale_units": "xy", "scale": 3.0, "width": 0.003, "color": BLUE, "zorder": 3}
    item.quiver(*places.T, *moves.T, label="g(f(x)) - x, a third as long", **how)
    item.set(xlabel="first coordinate of x", ylabel="second coordinate of x", aspect="equal")
    figure.legend(*item.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure
