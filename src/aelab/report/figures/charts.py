"""Charts: learning curves, test errors of stacks."""

from __future__ import annotations

import warnings

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aelab.report.figures.style import BLUE, COLOURS, GREY, MARKERS, ORANGE, chart, round_ticks
from aelab.report.results import Curves, Item, Results
from aelab.report.settings import Compare
from aelab.report.statistics import share_interval


def curves(results: Results, settings: Compare) -> Figure | None:
    """Loss by optimizer step, one panel per model and phase."""
    title = "Learning curves: monitored loss by step, each in its model's own unit (compare shapes, not heights)"
    return _curves(results.models, title, "total loss, or the term named above (logarithmic where it is positive)")


def stack_curves(results: Results, settings: Compare) -> Figure | None:
    """Error by optimizer step during fine-tuning."""
    title = "Fine-tuning the stacks: wrong labels by step"
    return _curves(results.stacks, title, "wrong labels, %, logarithmic (train falls below)", 100.0, shared=True)


def _curves(items: list[Item], title: str, unit: str, factor: float = 1.0, shared: bool = False) -> Figure | None:
    """Small multiples, a line per item. shared: all panels have one unit, multiplied by `factor`, and one axis."""
    result = [(item, phase) for item in items for phase in item.curves()]
    if not result:
        return None
    columns = max(len(item.curves()) for item in items) if shared else min(5, len(result))
    lines = -(-len(result) // columns)
    figure, axes = chart(lines, columns, size=(max(7.0, 2.1 * columns), 1.65 * lines + 0.9), title=title)
    for entry in axes.flat[len(result) :]:
        entry.axis("off")
    for i, (entry, (item, phase)) in enumerate(zip(axes.flat, result, strict=False)):
        # the training error reaches 0, which has no logarithm
        values = [factor * entry.validation for _, entry in result] if shared else [phase.train, phase.validation]
        _curve(entry, phase, factor)
        _scale(entry, np.concatenate([value[np.isfinite(value)] for value in values]))
        if i + columns >= len(result):
            entry.set_xlabel("step")
        alone = len(item.curves()) == 1
        term = [] if shared or phase.term == "total" else [phase.term]
        entry.set_title(", ".join([item.name, *([] if alone else [phase.phase]), *term]))
    figure.supylabel(unit, fontsize=9)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4 if columns > 3 else 2, fontsize=8)
    return figure


def _curve(axes: Axes, phase: Curves, factor: float) -> None:
    """Validation as a line (mean over seeds) in a band (minimum to maximum), training thin and dashed."""
    train, validation = factor * phase.train, factor * phase.validation
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # steps that no seed reached
        middle, low, high = (f(validation, 0) for f in (np.nanmean, np.nanmin, np.nanmax))
        axes.fill_between(
            phase.steps, low, high, color=BLUE, alpha=0.25, lw=0, label="validation, lowest to highest seed"
        )
        axes.plot(phase.steps, middle, color=BLUE, label="validation, mean of the seeds still training")
        axes.plot(phase.steps, np.nanmean(train, 0), "--", color=ORANGE, lw=0.9, label="train")
    kept = [(step, row[phase.steps == step][0]) for step, row in zip(phase.kept, validation, strict=True) if step]
    axes.plot(*zip(*kept, strict=True), "o", ms=3, color="black", label="kept weights")
    axes.locator_params(axis="x", nbins=4, integer=True)


def _scale(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic y axis over `values` with a few plain ticks; a linear one if a loss is not positive."""
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


def stacks(results: Results, settings: Compare) -> Figure | None:
    """Test error of fine-tuned stacks, one panel per label budget: seeds, mean, and 95% interval."""
    items, n = results.stacks, results.baselines["test_images"]
    if not items:
        return None
    title = "Does pretraining help? Test error after fine-tuning"
    size = (1.6 + 2.3 * len(results.budgets), 1.5 + 0.4 * len(items))
    figure, axes = chart(1, len(results.budgets), size=size, title=title)
    for entry, (budget, images) in zip(axes[0], results.budgets.items(), strict=True):
        _errors(entry, items, f"test_error/{budget}", n)
        entry.set_title(f"{images:,} labels")
        entry.set_yticks(range(len(items)), [item.name for item in items] if entry is axes[0, 0] else [])
    axes[0, 0].set_ylabel("stack")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=2, fontsize=8)
    return figure


def _errors(axes: Axes, items: list[Item], metric: str, n: int) -> None:
    """One row per stack: mean and 95% interval on n test images, seeds below."""
    for i, item in enumerate(items):
        if metric not in item.metrics:
            continue
        mean, errors = item.mean(metric), np.array(item.metrics[metric])
        low, high = share_interval(mean, n)
        text = (f"mean, 95% interval for {n:,} test images", "seeds") if i == 0 else (None, None)
        bar = {"fmt": "o", "color": BLUE, "capsize": 3, "label": text[0]}
        axes.errorbar(100 * mean, i, xerr=[[max(0.0, 100 * (mean - low))], [max(0.0, 100 * (high - mean))]], **bar)
        axes.plot(100 * errors, np.full(len(errors), i + 0.25), "|", ms=8, color=ORANGE, label=text[1])
        axes.text(100 * mean, i - 0.16, f"{100 * mean:.1f}", ha="center", va="bottom", fontsize=8)
    axes.set_ylim(len(items) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.grid(axis="x", color=GREY, alpha=0.25, lw=0.6)
    axes.set_xlabel("test error, %")


def labels(results: Results, settings: Compare) -> Figure | None:
    """Test error against the number of labels, one panel per kind of stack; the control is dashed."""
    families = list(dict.fromkeys(item.about["family"] for item in results.stacks))
    if len(results.budgets) < 2:
        return None
    title = "Is pretraining worth more where labels are few? Test error against their number"
    figure, axes = chart(1, len(families), size=(1.2 + 3.4 * len(families), 3.9), title=title)
    budgets = results.budgets
    means = [100 * item.mean(f"test_error/{name}") for item in results.stacks for name in item.budgets]
    bounds = 0.8 * max(min(means), 0.01), 1.3 * max(means)
    ticks = round_ticks(*bounds)
    for entry, family in zip(axes[0], families, strict=True):
        items = [item for item in results.stacks if item.about["family"] == family]
        for i, item in enumerate(items):
            mine = {images: f"test_error/{name}" for name, images in budgets.items() if name in item.budgets}
            control = item is results.control(item)
            how = {"color": GREY, "ls": "--"} if control else {"color": COLOURS[i % len(COLOURS)]}
            spread = [100 * np.nan_to_num(item.spread(metric)) for metric in mine.values()]
            mean = [100 * item.mean(metric) for metric in mine.values()]
            text = f"{item.name}{', not pretrained' if control else ''}"
            how |= {"marker": MARKERS[i % len(MARKERS)], "ms": 4.5, "capsize": 2, "label": text}
            entry.errorbar(list(mine), mean, spread, **how)
        entry.set(xscale="log", yscale="log", ylim=bounds, xlabel="labelled training images")
        entry.set_xticks(list(budgets.values()), [f"{images:,}" for images in budgets.values()])
        entry.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        entry.minorticks_off()
        entry.legend(fontsize=7.5)
        entry.set_title({"stacked": "dense layers", "stacked_conv": "convolutional layers"}.get(family, family))
    axes[0, 0].set_ylabel("test error, % (bars: spread over seeds)")
    return figure
