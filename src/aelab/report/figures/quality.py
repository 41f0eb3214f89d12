"""Error by latent dimension beside PCA's; points by family, and name labels that avoid each other."""

from __future__ import annotations

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from matplotlib.transforms import Bbox

from aelab.report.figures.style import COLOURS, GREY, MARKERS, chart, round_ticks
from aelab.report.results import Item, Results
from aelab.report.settings import Compare


def quality(results: Results, settings: Compare) -> Figure | None:
    """Squared error per test image, a row per model, in panels by latent dimension, with PCA's of the same size."""
    items = sorted(results.rebuilding, key=lambda item: -item.mean("sse"))
    families = list(dict.fromkeys(item.about["family"] for item in results.rebuilding))
    panels = list(results.by_size(items).values())
    if not panels:
        return None
    title = (
        "Error by size of code, the best at the top: left of its grey tick, an autoencoder beats PCA of as many numbers"
    )
    size = (0.6 + 3.9 * len(panels), 1.5 + 0.19 * max(len(panel) for panel in panels))
    figure, axes = chart(1, len(panels), size=size, title=title)
    for entry, panel in zip(axes[0], panels, strict=True):
        for y, item in enumerate(panel):
            pca = results.pca(item)
            if pca > 0:
                entry.plot(pca, y, "|", color=GREY, ms=9, mew=1.6, label="PCA of as many numbers")
            i = families.index(item.about["family"])
            how = {"color": COLOURS[i % len(COLOURS)], "fmt": MARKERS[i % len(MARKERS)], "ms": 6.5, "mec": "white"}
            how |= {"mew": 0.4}
            spread = float(np.nan_to_num(item.spread("sse")))
            entry.errorbar(item.mean("sse"), y, xerr=spread, **how, label=item.about["family"].replace("_", " "))
        entry.set_yticks(
            range(len(panel)), [f"{item.name} ({item.mean('latent_dim'):,.0f})" for item in panel], fontsize=7.5
        )
        shown = [value for item in panel for value in (item.mean("sse"), results.pca(item)) if value > 0]
        entry.set(xscale="log", xlim=(0.8 * min(shown), 1.25 * max(shown)), ylim=(-0.7, len(panel) - 0.3))
        low, high = entry.get_xlim()
        ticks = round_ticks(low, high) if high > 5 * low else [tick for tick in range(10, 200, 10) if low < tick < high]
        if len(ticks) < 2:
            ticks = [tick for tick in MaxNLocator(4).tick_values(low, high) if low <= tick <= high]
        entry.set_xticks(ticks, [f"{tick:g}" for tick in ticks], fontsize=8)
        entry.set_xticks([], minor=True)
        entry.grid(axis="y", color=GREY, alpha=0.2, lw=0.5)
        low, high = (round(f(item.mean("latent_dim") for item in panel)) for f in (min, max))
        entry.set_xlabel("squared error per test image")
        entry.set_title(f"{low:,} to {high:,} numbers" if low < high else f"{low:,} numbers")
    axes[0, 0].set_ylabel("model (latent dimension)")
    handles = {
        label: handle for entry in axes[0] for handle, label in zip(*entry.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles.keys(), loc="outside lower center", ncols=6, fontsize=7.5)
    return figure


def by_family(axes: Axes, items: list[Item], x: np.ndarray, y: np.ndarray, bars: np.ndarray) -> None:
    """One point with an error bar per item, all [n]; marker and colour show the family."""
    families = list(dict.fromkeys(item.about["family"] for item in items))
    for i, family in enumerate(families):
        mine = [k for k, item in enumerate(items) if item.about["family"] == family]
        how = {"fmt": MARKERS[i % len(MARKERS)], "ms": 6.5, "mec": "white", "mew": 0.6}
        axes.errorbar(x[mine], y[mine], bars[mine], color=COLOURS[i % len(COLOURS)], label=family, **how)


NEAR, FAR = 9, (9, 15, 22, 32, 44)  # typographic points between a point and its name
TURNS = (0, 180, 90, -90, 40, -40, 140, -140)  # degrees


def label(axes: Axes, names: list[str], points: np.ndarray, bars: np.ndarray, lines: list[np.ndarray]) -> None:
    """Place each name beside its point [n, 2] where it covers least: other names, points and bars [n], lines [m, 2].

    A greedy choice among places around the point, from near to far; the far ones get a thin line.
    """
    figure = axes.figure
    assert isinstance(figure, Figure)
    figure.draw_without_rendering()  # places the legend
    unit = figure.dpi / 72  # display units per typographic point
    spots = axes.transData.transform(points)
    drawn = np.concatenate([np.empty((0, 2)), *(_dense(axes.transData.transform(line)) for line in lines)])
    taken = []
    for (x, y), bar in zip(points, bars, strict=True):
        (left, bottom), (right, top) = axes.transData.transform([(x, max(y - bar, 1e-9)), (x, y + bar)])
        taken.append(Bbox.from_extents(left - 5 * unit, bottom - 5 * unit, right + 5 * unit, top + 5 * unit))
    markers = np.array([box.extents for box in taken])
    legend = axes.get_legend()
    if legend is not None:
        taken.append(legend.get_window_extent())
    for i in np.lexsort((points[:, 1], points[:, 0])):
        size = 4.7 * unit * len(names[i]), 9 * unit
        places = [(far, _place(spots[i], far * unit, turn, size)) for far in FAR for turn in TURNS]
        others = np.delete(markers, i, 0)
        best = (math.inf, NEAR, places[0][1])
        for far, box in places:
            hidden = sum(_overlap(box, other) for other in taken)
            crossed = _covered(drawn, np.array([box.extents])) > 0
            misled = 0 if far == NEAR else _covered(_dense(np.array([spots[i], _middle(box)])), others)
            outside = not (axes.bbox.contains(box.x0, box.y0) and axes.bbox.contains(box.x1, box.y1))
            cost = 10 * hidden + 200 * crossed + 50 * misled + far * unit + 1e6 * outside
            best = min(best, (cost, far, box), key=lambda found: found[0])
        _, far, box = best
        taken.append(box)
        middle = axes.transData.inverted().transform(_middle(box))
        arrow = {"arrowstyle": "-", "lw": 0.4, "color": GREY, "shrinkA": 0, "shrinkB": 3} if far > NEAR else None
        axes.annotate(
            names[i], tuple(points[i]), tuple(middle), fontsize=7.5, ha="center", va="center", arrowprops=arrow
        )


def _place(spot: np.ndarray, far: float, turn: float, size: tuple[float, float]) -> Bbox:
    """The box of a name of `size` that lies `far` from `spot` in the direction `turn`."""
    cosine, sine = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    width, height = size
    left = spot[0] + far * cosine - width * (0.5 - 0.5 * round(cosine, 1))
    return Bbox.from_bounds(left, spot[1] + far * sine - height / 2, width, height)


def _dense(line: np.ndarray) -> np.ndarray:
    """A line [m, 2] in display units as points at most about one unit apart; empty without points."""
    if not len(line):
        return line
    steps = np.concatenate([[0], np.cumsum(np.abs(np.diff(line, axis=0)).max(1))])
    at = np.linspace(0, steps[-1], math.ceil(steps[-1]) + 1)
    return np.stack([np.interp(at, steps, line[:, axis]) for axis in (0, 1)], 1)


def _covered(line: np.ndarray, boxes: np.ndarray) -> int:
    """How many points of a line [m, 2] lie in boxes [n, 4] (left, bottom, right, top)."""
    return int(((line[:, None] > boxes[None, :, :2]) & (line[:, None] < boxes[None, :, 2:])).all(2).sum())


def _middle(box: Bbox) -> tuple[float, float]:
    return (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2


def _overlap(a: Bbox, b: Bbox) -> float:
    both = Bbox.intersection(a, b)
    return both.width * both.height if both is not None else 0.0
