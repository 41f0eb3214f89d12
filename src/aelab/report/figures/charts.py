"""Charts: learning curves, test errors of stacks."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aelab.report.figures.style import BLUE, COLOURS, GREY, MARKERS, ORANGE, chart, grid_of, round_ticks
from aelab.report.results import Curves, Item, Results
from aelab.report.settings import Compare
from aelab.report.statistics import share_interval

FAMILIES = {"stacked": "dense layers", "stacked_conv": "convolutional layers"}
WORST = 3.0  # times the best loss: what lies above is not drawn


def curves(results: Results, settings: Compare) -> Figure | None:
    """Monitored validation loss over its own best value, a panel per family: a curve that ends flat has converged."""
    families: dict[str, list[tuple[Item, Curves]]] = {}
    for item in results.models:
        for phase in item.curves():
            families.setdefault(item.about["family"], []).append((item, phase))
    if not families:
        return None
    single = {family for family, found in families.items() if len({item.name for item, _ in found}) == 1}
    if len(single) > 1:
        rest = "the other families" if len(families) > len(single) else "all models"
        families[rest] = [each for family in sorted(single) for each in families.pop(family)]
    title = "Learning curves: the validation loss, relative to its best value. A curve that ends flat has converged"
    figure, axes = grid_of(len(families), size=(3.3, 2.7), title=title, columns=4)
    for entry, (family, found) in zip(axes.flat, families.items(), strict=False):
        for i, (item, phase) in enumerate(found):
            words = item.name if len(item.curves()) == 1 else f"{item.name}, {phase.phase}"
            look = {"color": COLOURS[i % len(COLOURS)], "ls": ("-", "--", ":")[i // len(COLOURS) % 3], "lw": 1.2}
            entry.plot(phase.steps, _relative(phase.validation), label=words, **look)
        entry.set(yscale="log", ylim=(0.98, WORST), xlabel="optimizer step")
        ticks = (1, 1.1, 1.2, 1.5, 2, WORST)
        entry.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        entry.minorticks_off()
        entry.set_title(family.replace("_", " "))
        entry.legend(fontsize=6 if len(found) < 12 else 4.6, loc="upper right", ncols=1 + (len(found) > 11))
        entry.locator_params(axis="x", nbins=4, integer=True)
    for row in axes:
        row[0].set_ylabel("validation loss / its best")
    return figure


def accuracy(results: Results, settings: Compare) -> Figure | None:
    """Validation loss and Keras' "accuracy" by epoch, of models whose history holds it."""
    histories = [(item, item.about["history"][0]) for item in results.models if any(item.about["history"])]
    found = [(item, rows) for item, rows in histories if "accuracy" in rows[0]["validation"]]
    if not found:
        return None
    title = "Loss and Keras' “accuracy” on validation images: the loss falls, the “accuracy” hardly moves"
    figure, axes = chart(1, 2, size=(8.0, 3.6), title=title)
    for number, (item, rows) in enumerate(found):
        look = {"color": COLOURS[number % len(COLOURS)], "ls": ("-", "--", ":")[number // len(COLOURS) % 3]}
        steps, losses = [row["step"] for row in rows], [row["monitor"] for row in rows]
        axes[0, 0].plot(steps, [value / losses[0] for value in losses], label=item.name, **look)
        axes[0, 1].plot(steps, [100 * row["validation"]["accuracy"] for row in rows], **look)
    axes[0, 0].set(xlabel="optimizer step", ylabel="loss / that of the first evaluation")
    axes[0, 1].set(xlabel="optimizer step", ylabel="pixels with round(output) = input, %")
    axes[0, 1].axhline(100 * results.baselines["keras_accuracy"], color="#888888", ls=":", lw=1)
    axes[0, 1].annotate("a black image", (1, 100 * results.baselines["keras_accuracy"]), (-2, 3), **BESIDE)
    figure.legend(loc="outside lower center", ncols=5, fontsize=8)
    return figure


def batches(results: Results, settings: Compare) -> Figure | None:
    """The loss of the last batch before each evaluation beside the mean over batches, of models whose history holds it;
    the first seed."""
    histories = [(item, item.about["history"][0]) for item in results.models if any(item.about["history"])]
    found = [(item, rows) for item, rows in histories if "last_batch" in rows[0]["train"]]
    if not found:
        return None
    title = "The training loss of single batches, as some tutorials print it, beside the mean over batches"
    figure, axes = grid_of(len(found), size=(4.6, 3.0), title=title, columns=2, beside=0)
    for place, (item, rows) in zip(axes.flat, found, strict=False):
        steps, mean, last, away = (
            np.array(values)
            for values in zip(
                *(
                    (row["step"], row["train"]["total"], row["train"]["last_batch"], row["train"]["between_batches"])
                    for row in rows
                ),
                strict=True,
            )
        )
        place.fill_between(
            steps, mean - away, mean + away, color=BLUE, alpha=0.2, lw=0, label="± 1 deviation of batches"
        )
        place.plot(steps, mean, color=BLUE, label="mean over batches")
        place.plot(steps, last, "o", color=ORANGE, ms=3, label="last batch")
        place.set(xlabel="optimizer step", ylabel="training loss per image", title=item.name)
        high = float(np.quantile(np.concatenate([mean + away, last]), 0.97))
        place.set_ylim(min((mean - away).min(), last.min()) * 0.98, high * 1.05)
    axes.flat[0].legend(fontsize=8)
    return figure


BESIDE: dict[str, Any] = {
    "xycoords": ("axes fraction", "data"),
    "textcoords": "offset points",
    "ha": "right",
    "fontsize": 8,
    "color": GREY,
}


def _relative(validation: np.ndarray) -> np.ndarray:
    """Losses [seeds, evaluations] -> the mean over seeds, over its smallest value; where that is not positive, 1 plus
    the distance to it over the range."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # steps that no seed reached
        mean = np.nanmean(validation, 0)
    best = np.nanmin(mean)
    return mean / best if best > 0 else 1 + (mean - best) / max(np.nanmax(mean) - best, 1e-12)


def stack_curves(results: Results, settings: Compare) -> Figure | None:
    """Validation error by optimizer step during fine-tuning: a panel per family and label budget, a line per stack."""
    families = list(dict.fromkeys(item.about["family"] for item in results.stacks))
    if not families:
        return None
    title = "Fine-tuning the stacks: wrong validation labels by step; the control is dashed"
    budgets = list(results.budgets)
    size = (1.0 + 3.2 * len(budgets), 0.8 + 2.7 * len(families))
    figure, axes = chart(len(families), len(budgets), size=size, title=title)
    for line, family in zip(axes, families, strict=True):
        items = [item for item in results.stacks if item.about["family"] == family]
        for entry, budget in zip(line, budgets, strict=True):
            _tuned(results, entry, items, budget)
            entry.set_title(f"{FAMILIES.get(family, family)}, {results.budgets[budget]:,} labels")
        line[0].set_ylabel("wrong labels, %")
        line[-1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    for entry in axes[-1]:
        entry.set_xlabel("optimizer step")
    return figure


def _tuned(results: Results, axes: Axes, items: list[Item], budget: str) -> None:
    values = []
    for i, item in enumerate(items):
        for phase in item.curves():
            if phase.phase == f"{budget} labels":
                control = item is results.control(item)
                how: dict[str, Any] = {"color": GREY, "ls": "--"} if control else {"color": COLOURS[i % len(COLOURS)]}
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore", RuntimeWarning)  # steps that no seed reached
                    values.append(100 * np.nanmean(phase.validation, 0))
                axes.plot(phase.steps, values[-1], label=item.name, lw=1.2, **how)
    if values:
        found = np.concatenate(values)
        _scale(axes, np.maximum(found[np.isfinite(found)], 0.1))
    axes.locator_params(axis="x", nbins=4, integer=True)


def _scale(axes: Axes, values: np.ndarray) -> None:
    """A logarithmic y axis over positive `values` with a few plain ticks."""
    low, high = float(values.min()), float(values.max())
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
        entry.set_title(FAMILIES.get(family, family))
    axes[0, 0].set_ylabel("test error, % (bars: spread over seeds)")
    return figure
