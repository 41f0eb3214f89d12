"""Trade-offs: error against latent dimension, depth and cost; distortion against rate."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aelab.report.figures.quality import by_family, label
from aelab.report.figures.style import BLUE, COLOURS, GREY, MARKERS, TITLE, round_ticks
from aelab.report.formatting import kind
from aelab.report.results import Item, Results
from aelab.report.settings import Compare

LEAST = 0.1  # nats: smaller rates are drawn here; the code says nothing
STEPS = (5, 10, 20, 50, 100, 200, 500, 1000)  # nats between lines of equal sum


def capacity(results: Results, settings: Compare) -> Figure | None:
    """Error of dense autoencoders against latent dimension, and against depth relative to PCA's error."""
    if not results.capacity:
        return None
    title = (
        "Capacity: what more latent dimensions and more layers gain in a dense autoencoder, in error and in its codes"
    )
    figure, axes = _side_by_side(title, 3)
    depths, codes = (np.unique([row[key] for row in results.capacity]) for key in ("depth", "latent_dim"))
    pca = np.array(results.baselines["pca_validation_sse"])
    means = {(row["depth"], row["latent_dim"]): np.mean(row["sse"]) for row in results.capacity}
    spreads = {
        (row["depth"], row["latent_dim"]): np.std(row["sse"], ddof=len(row["sse"]) > 1) for row in results.capacity
    }
    sizes = np.arange(1, min(len(pca) - 1, 2 * codes.max()))
    axes[0].plot(sizes, pca[sizes], color=GREY, label="PCA of every size", zorder=1)
    axes[1].axhline(1, color=GREY, lw=1, label="PCA of the same size", zorder=1)
    for i, depth in enumerate(depths):
        how = {"marker": MARKERS[i % len(MARKERS)], "color": COLOURS[i % len(COLOURS)], "ms": 6, "mec": "white"}
        mean, spread = ([result[depth, code] for code in codes] for result in (means, spreads))
        axes[0].errorbar(
            codes, mean, spread, **how, capsize=2, label=f"{depth} layer{'s' * int(depth > 1)} to the code"
        )
    for i, code in enumerate(codes):
        how = {"marker": MARKERS[i % len(MARKERS)], "color": COLOURS[i % len(COLOURS)], "ms": 6, "mec": "white"}
        mean, spread = (np.array([result[depth, code] for depth in depths]) / pca[code] for result in (means, spreads))
        axes[1].errorbar(depths, mean, spread, **how, capsize=2, label=f"latent dimension {code}")
    ratios = np.array([means[depth, code] / pca[code] for depth, code in means])
    _logarithmic(axes[0], codes, np.array([*means.values(), *pca[codes]]))
    _logarithmic(axes[1], None, np.append(ratios, 1))
    axes[1].set_xticks(depths)
    for i, depth in enumerate(depths):
        how = {"marker": MARKERS[i % len(MARKERS)], "color": COLOURS[i % len(COLOURS)], "ms": 6, "mec": "white"}
        rows = {
            row["latent_dim"]: 100 * np.array(row["probe_accuracy"])
            for row in results.capacity
            if row["depth"] == depth
        }
        mean, spread = ([function(rows[code]) for code in codes] for function in (np.mean, np.std))
        axes[2].errorbar(
            codes, mean, spread, **how, capsize=2, label=f"{depth} layer{'s' * int(depth > 1)} to the code"
        )
    axes[2].set(xscale="log", xlabel="latent dimension", ylabel="linear probe of the codes, % of validation images")
    axes[2].set_xticks(codes, [f"{code:g}" for code in codes])
    axes[2].set_xticks([], minor=True)
    axes[0].set(xlabel="latent dimension", ylabel="squared error per validation image (bars: spread over seeds)")
    axes[1].set(xlabel="layers from image to code", ylabel="squared error / PCA's at that size")
    for item in axes:
        item.legend(fontsize=8)
    return figure


def rate(results: Results, settings: Compare) -> Figure | None:
    """Distortion against rate, in nats, with lines of equal sum, the negative ELBO.

    A panel per kind of targets, whose distortions come from different likelihoods.
    """
    items = [item for item in results.models if np.isfinite(item.mean("rate") + item.mean("distortion"))]
    if not items:
        return None
    kinds = sorted({kind(item, "distortion") for item in items}, reverse=True)  # grey before binary
    widths = [8.4, *[5.4] * (len(kinds) - 1)]
    figure = Figure(figsize=(sum(widths), 5.4))
    title = "Rate against distortion: bits of the code, remaining error, and their sum"
    figure.suptitle(title, y=0.975, **TITLE)
    for i, (entry, width) in enumerate(zip(kinds, widths, strict=True)):
        # fixed places, so that names can be placed
        axes = figure.add_axes(((sum(widths[:i]) + 0.67) / sum(widths), 0.1, (width - 0.92) / sum(widths), 0.78))
        axes.set_title(f"{entry} targets")
        _rate(axes, [item for item in items if kind(item, "distortion") == entry])
    figure.axes[0].set_ylabel("distortion -log p(x|z), nats per test image (bars: spread over seeds)")
    return figure


def _rate(axes: Axes, items: list[Item]) -> None:
    """One kind of targets."""
    x = np.array([max(LEAST, item.mean("rate")) for item in items])
    y = np.array([item.mean("distortion") for item in items])
    bars = np.nan_to_num([item.spread("distortion") for item in items])
    by_family(axes, items, x, y, bars)
    left, right = x.min() * 0.5, x.max() * 2
    low, high = y.min() - 0.15 * np.ptp(y) - 5, y.max() + 0.15 * np.ptp(y) + 5
    lines = _equal_sums(axes, (left, right), (low, high))
    axes.set(xscale="log", xlim=(left, right), ylim=(low, high))
    ticks = round_ticks(left, right)
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("rate KL(q(z|x) || p(z)), nats per test image")
    axes.plot([], [], color=GREY, lw=0.7, ls=":", label="equal negative ELBO, nats")
    axes.legend(loc="upper right", fontsize=8)
    label(axes, [item.name for item in items], np.stack([x, y], 1), bars, lines)


def _equal_sums(axes: Axes, across: tuple[float, float], up: tuple[float, float]) -> list[np.ndarray]:
    """Draw lines [m, 2] of equal x + y through the box `across` (on a logarithmic axis) and `up`; returns them."""
    (left, right), (low, high) = across, up
    step = next((step for step in STEPS if (high - low) / step < 9), STEPS[-1])
    along, lines = np.geomspace(left, right, 200), []
    for total in np.arange(step * (low // step), high + 3 * step, step):
        line = np.stack([along, total - along], 1)
        line = line[(line[:, 1] > low) & (line[:, 1] < high)]
        if len(line):
            lines.append(line)
            axes.plot(line[:, 0], line[:, 1], color=GREY, lw=0.7, ls=":", zorder=1)
            above = line[0, 0] == left and line[0, 1] < high - 0.03 * (high - low)
            how: dict[str, Any] = {"ha": "left", "va": "bottom"} if above else {"ha": "right", "va": "top"}
            axes.text(line[0, 0], line[0, 1], f" {total:g} ", fontsize=7, color=GREY, **how)
    return lines


def cost(results: Results, settings: Compare) -> Figure | None:
    """Error against arithmetic and against parameters; models on the Pareto front are named."""
    result = {}
    for metric in ("flops", "parameters"):
        items = [item for item in results.rebuilding if item.mean(metric) > 0 and item.mean("sse") > 0]
        if items:
            result[metric] = items
    if len(result) < 2:
        return None
    figure, axes = _side_by_side("Quality against cost: named are those that no cheaper model beats")
    text = {"flops": "floating-point operations to reconstruct one image", "parameters": "learned values"}
    for entry, (metric, items) in zip(axes, result.items(), strict=True):
        x, y = (np.array([item.mean(m) for item in items]) for m in (metric, "sse"))
        best = front(x, y)
        entry.plot(x, y, "o", ms=4, color=GREY, alpha=0.6, mec="white", mew=0.4, label="beaten by a cheaper one")
        entry.plot(x[best], y[best], "o-", ms=6, color=BLUE, lw=1, mec="white", label="front")
        _logarithmic(entry, x, y)
        entry.set(xlabel=text[metric], ylabel="squared error per test image" if metric == "flops" else "")
        names = [items[i].name for i in best]
        points = np.stack([x, y], 1)[best]
        label(entry, names, points, np.zeros(len(best)), [points])
    axes[0].legend(loc="lower left", fontsize=8)
    return figure


def front(cost: np.ndarray, error: np.ndarray) -> list[int]:
    """The Pareto front of n models: those that no other beats at the same or a smaller cost, the cheapest first."""
    best: list[int] = []
    for i in np.lexsort((error, cost)):
        if not best or error[i] < error[best[-1]]:
            best.append(int(i))
    return best


def _side_by_side(title: str, panels: int = 2) -> tuple[Figure, Sequence[Axes]]:
    """Panels at fixed places, so that names can be placed."""
    width = 5.7 * panels
    figure = Figure(figsize=(width, 4.9))
    figure.suptitle(title, y=0.975, **TITLE)
    return figure, [figure.add_axes(((5.7 * k + 0.69) / width, 0.11, 4.85 / width, 0.79)) for k in range(panels)]


def _logarithmic(axes: Axes, x: np.ndarray | None, y: np.ndarray) -> None:
    """Logarithmic axes around the values, with few plain ticks up to a thousand; x None: a linear x axis."""
    axes.set(yscale="log", ylim=(y.min() * 0.6, y.max() * 1.5))
    ticks = round_ticks(*axes.get_ylim())
    axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    if x is not None:
        axes.set(xscale="log", xlim=(x.min() * 0.5, x.max() * 2))
        if x.max() < 1e4:
            ticks = round_ticks(*axes.get_xlim())
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_xticks([], minor=True)
