"""Figures with axes: learning curves, codes as points, test errors."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aelab.report.results import Curves, Item, Results, interval
from aelab.report.settings import Compare
from aelab.report.style import BLUE, GREY, ORANGE, TEN, chart, round_ticks

POINTS = 1500  # codes drawn per panel


def curves(results: Results, settings: Compare) -> Figure | None:
    """Loss by epoch, one panel per model and phase."""
    title = "Learning curves: loss by epoch, each in its model's own unit (compare shapes, not heights)"
    return _curves(results.models, title, "loss, logarithmic")


def stack_curves(results: Results, settings: Compare) -> Figure | None:
    """Error by epoch while stacks are fine-tuned."""
    title = "Fine-tuning the stacks: wrong labels by epoch"
    return _curves(results.stacks, title, "wrong labels, %, logarithmic", 100.0, shared=True)


def _curves(items: list[Item], title: str, unit: str, factor: float = 1.0, shared: bool = False) -> Figure | None:
    """`shared`: all panels have the same unit, which is multiplied by `factor`, and so one axis."""
    found = [(item, phase) for item in items for phase in item.curves()]
    if not found:
        return None
    columns = min(5, len(found))
    lines = -(-len(found) // columns)
    figure, axes = chart(lines, columns, size=(max(7.0, 2.1 * columns), 1.65 * lines + 0.9), title=title)
    for each in axes.flat[len(found) :]:
        each.axis("off")
    for i, (each, (item, phase)) in enumerate(zip(axes.flat, found, strict=False)):
        values = [factor * side for _, p in (found if shared else [(item, phase)]) for side in (p.train, p.validation)]
        _curve(each, phase, factor)
        _scale(each, np.concatenate([value[np.isfinite(value)] for value in values]))
        if i + columns >= len(found):
            each.set_xlabel("epoch")
        alone = len(item.curves()) == 1
        each.set_title(item.name if alone else f"{item.name}, {phase.phase}")
    figure.supylabel(unit, fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4 if columns > 3 else 2, fontsize=8)
    return figure


def _curve(axes: Axes, phase: Curves, factor: float) -> None:
    """Validation as a line (mean over seeds) in a band (lowest to highest), train thin and dashed."""
    train, validation = factor * phase.train, factor * phase.validation
    epochs = np.arange(1, validation.shape[1] + 1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # epochs that no seed reached
        middle, low, high = (f(validation, 0) for f in (np.nanmean, np.nanmin, np.nanmax))
        axes.fill_between(epochs, low, high, color=BLUE, alpha=0.25, lw=0, label="validation, lowest to highest seed")
        axes.plot(epochs, middle, color=BLUE, label="validation, mean of the seeds still learning")
        axes.plot(epochs, np.nanmean(train, 0), "--", color=ORANGE, lw=0.9, label="train")
    kept = [(epoch, validation[i, epoch - 1]) for i, epoch in enumerate(phase.kept) if epoch]
    axes.plot(*zip(*kept, strict=True), "o", ms=3, color="black", label="kept weights")
    axes.locator_params(axis="x", nbins=4, integer=True)


def _scale(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic y axis over `values` with a few plain numbers; a linear one where a loss is not positive."""
    low, high = float(values.min()), float(values.max())
    if low <= 0:
        return
    axes.set_yscale("log")
    ticks = round_ticks(low, high)
    if len(ticks) < 2:
        ticks = [low, high]
    axes.set_yticks(ticks, [f"{tick:.3g}" for tick in ticks])
    axes.set_yticks([], minor=True)
    margin = max(1.01, (high / low) ** 0.05)
    axes.set_ylim(low / margin, high * margin)


def codes(results: Results, settings: Compare) -> Figure:
    """2-D codes of test images, each drawn as its class: PCA beside autoencoders."""
    pictures, names = results.pictures, results.data["classes"]
    found = [
        (
            f"PCA: squared error {results.floors['pca_sse'][2]:.1f} per image",
            pictures["pca_codes"][:, :2],
            pictures["pca_labels"],
        ),
        *(
            (
                f"{item.name}: squared error {item.mean('sse'):.1f} per image",
                item.arrays["codes"],
                item.arrays["labels"],
            )
            for item in results.pick(settings.codes)
            if "codes" in item.arrays and item.arrays["codes"].shape[1] == 2
        ),
    ]
    numbered = names == [str(i) for i in range(len(names))]
    title = "Test images by the two numbers of their code, each drawn as its class"
    size = (3.5 * len(found) + (0 if numbered else 1.2), 3.9)
    figure, axes = chart(1, len(found), size=size, title=title)
    for each, (heading, points, labels) in zip(axes[0], found, strict=True):
        _classes(each, points[:POINTS], labels[:POINTS], names)
        each.set_title(heading)
        each.set_xlabel("first number of the code")
    axes[0, 0].set_ylabel("second number of the code")
    if not numbered:
        axes[0, -1].legend(*axes[0, -1].get_legend_handles_labels(), loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


def _classes(axes: Axes, points: np.ndarray, labels: np.ndarray, names: list[str]) -> None:
    """Points [n, 2] drawn as the number of their class, in turns, so that no class covers all others."""
    turns = 5
    for turn in range(turns):
        for label, name in enumerate(names):
            mine = points[turn::turns][labels[turn::turns] == label]
            how: dict[str, Any] = {"color": TEN[label % len(TEN)], "marker": f"${label}$", "linewidths": 0.2}
            axes.scatter(*mine.T, s=16, zorder=2 + turn, label=name if turn == 0 else None, **how)


def stacks(results: Results, settings: Compare) -> Figure | None:
    """Test error of the fine-tuned stacks: seeds, their mean, and its 95% interval."""
    items, n = results.stacks, results.floors["test_images"]
    if not items:
        return None
    title = "Does pretraining help? Test error after fine-tuning"
    figure, axes = chart(size=(6.4, 1.5 + 0.45 * len(items)), title=title)
    axes = axes[0, 0]
    for i, item in enumerate(items):
        mean, errors = item.mean("test_error"), np.array(item.metrics["test_error"])
        words = (f"mean, 95% interval for {n:,} test images", "seeds") if i == 0 else (None, None)
        axes.errorbar(
            100 * mean,
            i,
            xerr=100 * interval(mean, n),
            fmt="o",
            color=BLUE,
            capsize=3,
            label=words[0],
        )
        axes.plot(100 * errors, np.full(len(errors), i + 0.25), "|", ms=8, color=ORANGE, label=words[1])
        axes.text(100 * mean, i - 0.16, f"{100 * mean:.1f}", ha="center", va="bottom", fontsize=8)
    axes.set_yticks(range(len(items)), [item.name for item in items])
    axes.set_ylim(len(items) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.grid(axis="x", color=GREY, alpha=0.25, lw=0.6)
    axes.set_xlabel("test error, %")
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure
