"""Figures of a sweep: history, parameter importance, and the trade-off between two objectives.

A trial is a mapping: number, state (COMPLETE, PRUNED, ...), params, values (objective -> number), steps (epoch ->
number, if it was pruned by one objective). The direction of an objective is minimize or maximize.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aelab.report.figures.style import BLUE, GREY, ORANGE, chart, round_ticks, save
from aelab.report.figures.tradeoffs import front as cheapest_first

Trials = Sequence[Mapping[str, Any]]
Importance = Mapping[str, Mapping[str, float]]
WIDE = 10  # a parameter gets a logarithmic axis if its largest value is this many times the smallest
FEW = 5  # ticks that fit below a small panel
MANY = 15  # trials on a front beyond which numbers would overlap


def draw(name: str, trials: Trials, directions: Mapping[str, str], importance: Importance, folder: Path) -> list[Path]:
    """Draw the figures that the trials allow as PNG into `folder`; returns the files.

    importance: objective -> parameter -> share.
    """
    complete = [trial for trial in trials if trial["state"] == "COMPLETE"]
    if not complete:
        return []
    figures = {"history": history(name, trials, directions), "parameters": parameters(name, complete, directions)}
    if importance:
        figures["importance"] = importances(name, importance, len(complete))
    if len(directions) == 2:
        figures["front"] = front(name, complete, directions)
    folder.mkdir(parents=True, exist_ok=True)
    for word, figure in figures.items():
        save(figure, folder / f"{word}.png")
    return [folder / f"{word}.png" for word in figures]


def history(name: str, trials: Trials, directions: Mapping[str, str]) -> Figure:
    """The objective of every trial, and the best one so far."""
    title = f"Sweep {name}: what each trial came to, and the best so far"
    figure, axes = chart(len(directions), 1, size=(7.5, 0.9 + 2.6 * len(directions)), title=title)
    for item, (objective, direction) in zip(axes[:, 0], directions.items(), strict=True):
        done = [trial for trial in trials if trial["state"] == "COMPLETE"]
        x, y = [trial["number"] for trial in done], np.array([trial["values"][objective] for trial in done])
        best = (np.minimum if direction == "minimize" else np.maximum).accumulate(y)
        item.step(x, best, where="post", color=ORANGE, label="best so far", zorder=1)
        item.plot(x, y, "o", ms=5, color=BLUE, mec="white", mew=0.5, label="complete")
        cut = [trial for trial in trials if trial["state"] == "PRUNED" and trial["steps"]]
        if cut:
            last = [trial["steps"][max(trial["steps"])] for trial in cut]
            item.plot([t["number"] for t in cut], last, "x", ms=5, color=GREY, label="pruned: where it was then")
        item.set_ylabel(worded(objective, direction))
        item.locator_params(axis="x", integer=True)
    axes[-1, 0].set_xlabel("trial")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def importances(name: str, importance: Importance, trials: int) -> Figure:
    """The share of the objective's variance that each parameter explains."""
    names = list(next(iter(importance.values())))
    title = f"Sweep {name}: which parameters decide (fANOVA over {trials} complete trials)"
    size = (2.0 + 3.6 * len(importance), 1.3 + 0.34 * len(names))
    figure, axes = chart(1, len(importance), size=(max(7.0, size[0]), size[1]), title=title)
    for item, (objective, shares) in zip(axes[0], importance.items(), strict=True):
        values = [100 * shares[word] for word in names]
        item.barh(range(len(names)), values, color=BLUE, height=0.65)
        for i, value in enumerate(values):
            item.text(value + 1, i, f"{value:.0f}%", va="center", fontsize=8)
        item.set_yticks(range(len(names)), names if item is axes[0, 0] else [])
        item.set(xlim=(0, 112), ylim=(len(names) - 0.5, -0.5), xlabel="share of the variance between trials, %")
        item.set_title(objective)
    return figure


def parameters(name: str, complete: Trials, directions: Mapping[str, str]) -> Figure:
    """Every objective against every parameter; later trials are darker."""
    names = list(complete[0]["params"])
    title = f"Sweep {name}: results by parameter (each dot a trial, later ones darker)"
    size = (max(7.0, 0.6 + 2.3 * len(names)), 0.7 + 2.4 * len(directions))
    figure, axes = chart(len(directions), len(names), size=size, title=title)
    shade = np.array([trial["number"] for trial in complete], float)
    for row, (objective, direction) in zip(axes, directions.items(), strict=True):
        y = np.array([trial["values"][objective] for trial in complete])
        for item, word in zip(row, names, strict=True):
            x = positions(item, [trial["params"][word] for trial in complete])
            how = {"cmap": "Blues", "vmin": shade.min() - 0.5 * np.ptp(shade) - 1, "s": 24, "ec": GREY, "lw": 0.4}
            item.scatter(x, y, c=shade, **how)
            item.tick_params(labelsize=8)
        row[0].set_ylabel(worded(objective, direction))
        for item in row[1:]:
            item.sharey(row[0])
            item.tick_params(labelleft=False)
    for item, word in zip(axes[-1], names, strict=True):
        item.set_xlabel(word)
    return figure


def positions(axes: Axes, values: Sequence[Any]) -> list[float]:
    """The places of values on an x axis, which is set up for them: names side by side, wide ranges logarithmic."""
    numbers = [float(value) for value in values if isinstance(value, (int, float)) and not isinstance(value, bool)]
    if len(numbers) == len(values):
        if min(numbers) > 0 and max(numbers) > WIDE * min(numbers):
            axes.set_xscale("log")
            ticks = round_ticks(min(numbers), max(numbers))
            ticks = ticks[:: -(-len(ticks) // (FEW - 1))]
            axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
            axes.set_xticks([], minor=True)
        else:
            axes.locator_params(axis="x", nbins=FEW)
        return numbers
    names = [label(value) for value in sorted(dict.fromkeys(values), key=order)]
    axes.set_xticks(range(len(names)), names)
    axes.tick_params(axis="x", rotation=90 if len(names) > FEW else 0)
    axes.set_xlim(-0.5, len(names) - 0.5)
    return [float(names.index(label(value))) for value in values]


def front(name: str, complete: Trials, directions: Mapping[str, str]) -> Figure:
    """One objective against the other; trials on the Pareto front are connected and numbered."""
    (first, one), (second, other) = directions.items()
    points = np.array([[trial["values"][first], trial["values"][second]] for trial in complete])
    signs = np.array([1 if direction == "minimize" else -1 for direction in (one, other)])
    best = cheapest_first(signs[0] * points[:, 0], signs[1] * points[:, 1])
    title = f"Sweep {name}: the line joins trials that none beats in both objectives (Pareto front)"
    figure, [[axes]] = chart(size=(7.5, 4.6), title=title)
    axes.plot(*points.T, "o", ms=4, color=GREY, alpha=0.6, mec="white", mew=0.4, label="beaten by another trial")
    axes.plot(*points[best].T, "o-", ms=6, lw=1, color=BLUE, mec="white", label="front, with the trial's number")
    for i in best if len(best) <= MANY else ():
        axes.annotate(str(complete[i]["number"]), points[i], (5, 4), textcoords="offset points", fontsize=8)
    for axis, values in zip((axes.xaxis, axes.yaxis), points.T, strict=True):
        if values.min() > 0 and values.max() > WIDE * values.min():
            (axes.set_xscale if axis is axes.xaxis else axes.set_yscale)("log")
            ticks = round_ticks(values.min() / 1.5, values.max() * 1.5)
            axis.set_ticks(ticks, [f"{tick:,g}" for tick in ticks])
            axis.set_ticks([], minor=True)
    axes.set(xlabel=worded(first, one), ylabel=worded(second, other))
    axes.legend(fontsize=8)
    return figure


def worded(objective: str, direction: str) -> str:
    return f"{objective} ({'lower' if direction == 'minimize' else 'higher'} is better)"


def order(value: Any) -> tuple[Any, ...]:
    """The sort key of choices: lists of numbers by length and values, other things by their text."""
    if isinstance(value, tuple) and all(isinstance(item, (int, float)) for item in value):
        return 0, len(value), value
    return 1, 0, label(value)


def label(value: Any) -> str:
    return "-".join(map(str, value)) if isinstance(value, tuple) else str(value)
