"""Figures of tables: errors by column, and which categories are confused."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from aelab.report.columns import Column, columns, filler, hiding
from aelab.report.figures.style import BLUE, GREY, MARKERS, ORANGE, chart, grid_of
from aelab.report.results import Results, spoken
from aelab.report.settings import Compare

MOST = 40  # columns of a kind in the figure: those with the largest errors of the baseline
LOOK = ({"color": GREY, "marker": "|", "s": 90}, {"color": ORANGE, "marker": "s", "s": 24}, {"color": BLUE, "s": 34})
CONFUSED = 6  # columns of categories at most


def by_column(results: Results, settings: Compare) -> Figure | None:
    """Errors of hidden cells, filled by baselines and by the best model, column by column."""
    found = columns(results)
    if not found:
        return None
    kinds = {"numbers": [one for one in found if not one.categories], "categories": [c for c in found if c.categories]}
    panels = {kind: _worst(some) for kind, some in kinds.items() if some}
    tall = max(len(some) for some in panels.values())
    title = f"Hidden cells ({spoken(hiding(results))}): which columns can be told from the others?"
    size = (5.4 * len(panels) + 0.6, 1.5 + 0.24 * tall)
    figure, axes = chart(1, len(panels), size=size, title=title)
    for place, (kind, some) in zip(axes[0], panels.items(), strict=True):
        scale = 100 if kind == "categories" else 1
        for row, one in enumerate(some):
            values = [scale * value for value in one.errors.values()]
            place.plot([min(values), max(values)], [row, row], color="#DDDDDD", lw=1, zorder=0)
        for i, who in enumerate(some[0].errors):
            values = [scale * one.errors[who] for one in some]
            place.scatter(values, range(len(some)), label=who, **{"marker": MARKERS[i], **LOOK[min(i, 2)]})
        place.set_yticks(range(len(some)), [one.name for one in some], fontsize=8)
        place.set(xlim=(0, None), ylim=(len(some) - 0.4, -0.6), ylabel="column")
        place.set_xlabel("wrong categories, %" if scale > 1 else "squared error; 1: as the mean")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
    return figure


def _worst(some: list[Column]) -> list[Column]:
    ranked = sorted(some, key=lambda one: next(iter(one.errors.values())), reverse=True)
    return sorted(ranked[:MOST], key=lambda one: list(one.errors.values())[-1])


def confused(results: Results, settings: Compare) -> Figure | None:
    """True and filled categories of hidden cells, shares of each true one."""
    found, best = columns(results), filler(results)
    names = [one.name for one in found if one.categories]
    if not names or best is None:
        return None
    known = {column["name"]: column["categories"] for column in results.data["columns"]}
    shown = names[:CONFUSED]
    title = f"Hidden categories as {best.name} fills them: the diagonal is right"
    figure, axes = grid_of(len(shown), size=(3.4, 3.0), title=title, columns=3)
    for c, (place, name) in enumerate(zip(axes.flat, shown, strict=False)):
        counts = best.arrays[f"confused/denoised/{hiding(results)}/{c}"]
        words = [*known[name], "other"]
        used = np.flatnonzero(counts.sum(0) + counts.sum(1))
        counts, words = counts[np.ix_(used, used)], [words[i] for i in used]
        shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
        place.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
        for (i, j), share in np.ndenumerate(shares):
            if len(words) <= 10:
                colour = "white" if share > 0.55 else "black"
                place.text(j, i, f"{100 * share:.0f}", ha="center", va="center", fontsize=8, color=colour)
        turned = {"rotation": 45, "ha": "right"} if max(map(len, words)) * len(words) > 30 else {}
        place.set_xticks(range(len(words)), words, fontsize=8, **turned)
        place.set_yticks(range(len(words)), words, fontsize=8)
        place.spines[:].set_visible(False)
        place.tick_params(length=0)
        place.set(title=name, xlabel="filled, %", ylabel="true")
    return figure
