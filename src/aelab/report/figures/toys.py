"""Figures of autoencoders on points in the plane, where all that they do is visible."""

from __future__ import annotations

from matplotlib.figure import Figure

from aelab.report.figures.style import BLUE, GREY, ORANGE, chart
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
