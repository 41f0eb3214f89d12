"""Figures of uses: anomalies, search, compression, features for a supervised learner."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aelab.report import uses
from aelab.report.figures.style import BLUE, COLOURS, GREY, MARKERS, ORANGE, Page, chart, round_ticks
from aelab.report.formatting import LEARNERS, SCORES
from aelab.report.metric_specs import number
from aelab.report.results import Item, Results
from aelab.report.settings import Compare
from aelab.report.statistics import interval

FIRST = 30  # models of a ranking
LINES = 6  # models with a curve of their own
SHOWN = 6  # neighbours
INCH = 0.5  # of one image
FEATURES = 2  # of a series


def anomalies(results: Results, settings: Compare) -> Figure | None:
    """AUROC of models and baselines with intervals, best first."""
    items = [item for item in results.models if "auroc" in item.metrics]
    baselines = uses.rankings(results)
    if not items or not baselines:
        return None
    rows = [(name, "", interval(ranking.area(trained=False)), ORANGE) for name, ranking in baselines.items()]
    for item in items:
        found = interval(uses.ranking(results, item, "auroc").area(trained=not item.is_baseline))
        rows.append((item.name, SCORES[uses.best_score(item)], found, GREY if item.is_baseline else BLUE))
    rows.sort(key=lambda row: -row[2].value)
    kept = rows[:FIRST] + [row for row in rows[FIRST:] if row[3] == ORANGE]
    few = f", the best {FIRST}" if len(rows) > len(kept) else ""
    title = f"Who finds anomalies ({uses.anomalies_are(results)})? Models{few} and, in orange, what engineers try first"
    figure, axes = chart(size=(7.4, 1.2 + 0.2 * len(kept)), title=title)
    place = axes[0, 0]
    for y, (_, score, found, colour) in enumerate(kept):
        place.errorbar(found.value, y, xerr=np.nan_to_num(found.margin), fmt="o", ms=4, color=colour, lw=1.2)
        place.annotate(score, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=8, color=GREY)
    place.axvline(0.5, color="#BBBBBB", lw=1, ls=":")
    place.set_yticks(range(len(kept)), [row[0] for row in kept], fontsize=8)
    low = min(found.value - np.nan_to_num(found.margin) for *_, found, _ in kept)
    place.set(xlabel="AUROC with its 95% interval; 0.5 is chance. Right: the score, chosen on validation images")
    place.set(xlim=(max(-0.005, min(0.48, low - 0.03)), 1.005), ylim=(len(kept) - 0.4, -0.6), ylabel="model")
    return figure


def best(results: Results, metric: str, lower: bool = False) -> Item | None:
    """The trained model without labels that is best by a validation metric."""
    able = [i for i in results.models if metric in i.validation and not i.is_baseline and not i.uses_labels]
    sign = 1 if lower else -1
    return min(able, key=lambda item: sign * float(np.mean(item.validation[metric])), default=None)


def most_anomalous(results: Results, settings: Compare) -> Figure | None:
    """The test items with the highest anomaly scores of the best model."""
    item = best(results, "auroc")
    if item is None or "most_anomalous/x" not in item.arrays:
        return None
    arrays = item.arrays
    score = SCORES[[*SCORES][1:][int(arrays["most_anomalous/score"])]]
    right = int(arrays["most_anomalous/truth"].sum())
    n = len(arrays["most_anomalous/truth"])
    title = f"The most anomalous test images for {item.name} ({score}): {right} of {n} are anomalies"
    draw = {"image": _pictures, "table": _cells, "series": _lines}[results.kind]
    return draw(results, item, title, ["anomaly" if truth else "normal" for truth in arrays["most_anomalous/truth"]])


def _pictures(results: Results, item: Item, title: str, truth: Sequence[str]) -> Figure:
    x, rebuilt, errors = (item.arrays[f"most_anomalous/{key}"] for key in ("x", "rebuilt", "errors"))
    size, left = 0.85, 1.0
    page = Page(left + size * len(x) + 0.2, 0.75 + 3 * size + 0.1, title)
    for i, word in enumerate(truth):
        colour = ORANGE if word == "anomaly" else BLUE
        page.text(left + size * (i + 0.5), 0.68, word, ha="center", va="bottom", fontsize=8, color=colour)
    most = float(errors.max()) or 1.0
    for row, (label, images) in enumerate({"input": x, "rebuilt": rebuilt, "error map": errors}.items()):
        y = 0.72 + row * size
        page.text(left - 0.1, y + size / 2, label, ha="right", va="center")
        for i, image in enumerate(images):
            how = {"cmap": "magma", "vmin": 0, "vmax": most} if label == "error map" else {}
            page.picture(left + size * i, y, size - 0.06, size - 0.06, image, **how)
    return page.figure


def _cells(results: Results, item: Item, title: str, truth: Sequence[str]) -> Figure:
    """Rows by columns: how far each cell is from what the model rebuilds."""
    x, rebuilt = item.arrays["most_anomalous/x"], item.arrays["most_anomalous/rebuilt"]
    columns = results.data["columns"]
    widths = [len(c["categories"]) + 1 if c["categories"] else 1 + c["flag"] for c in columns]
    starts = np.cumsum([0, *widths])[:-1]
    away = np.sqrt(np.add.reduceat((x - rebuilt) ** 2, starts, axis=1))
    figure, axes = chart(size=(2.2 + 0.26 * len(columns), 2.6 + 0.26 * len(x)), title=title)
    shown = axes[0, 0].imshow(away, cmap="magma", aspect="auto", vmin=0)
    axes[0, 0].set_yticks(range(len(truth)), truth, fontsize=8)
    axes[0, 0].set_xticks(range(len(columns)), [c["name"] for c in columns], rotation=90, fontsize=8)
    axes[0, 0].set(xlabel="column", ylabel="row, the most anomalous first")
    axes[0, 0].spines[:].set_visible(False)
    figure.colorbar(shown, ax=axes[0, 0], label="|cell - rebuilt|, standard deviations", pad=0.02)
    return figure


def _lines(results: Results, item: Item, title: str, truth: Sequence[str]) -> Figure:
    x, rebuilt = item.arrays["most_anomalous/x"], item.arrays["most_anomalous/rebuilt"]
    figure, axes = chart(2, len(x) // 2, size=(2.1 * (len(x) // 2), 3.6), title=title)
    for place, one, made, word in zip(axes.flat, x, rebuilt, truth, strict=False):
        place.plot(one[:, 0], color="#888888", lw=2)
        place.plot(made[:, 0], color=BLUE, lw=1)
        place.set_title(word, color=ORANGE if word == "anomaly" else BLUE)
        place.tick_params(labelsize=7)
    for place in axes[-1]:
        place.set_xlabel("step; grey: series, blue: rebuilt", fontsize=7)
    for place in axes[:, 0]:
        place.set_ylabel("value, standard deviations", fontsize=7)
    return figure


def neighbours(results: Results, settings: Compare) -> Figure | None:
    """Some test items with the nearest training items by raw values, by PCA and by the code of the best model."""
    item = best(results, "precision_at_10")
    if results.kind == "table" or item is None or "near/x" not in item.arrays:
        return None
    raw = [key.removesuffix("/near/x") for key in results.pictures if key.endswith("/near/x")]
    sources = {who: (results.pictures[f"{who}/near/x"], results.pictures[f"{who}/near/labels"]) for who in raw}
    sources[item.name] = item.arrays["near/x"], item.arrays["near/labels"]
    queries, truth = results.pictures["near/queries"], results.pictures["near/truth"]
    title = f"Test images (left) and the {SHOWN} nearest training images; orange frames: of another class"
    left, gap = 0.15 + INCH, 0.25
    wide = left + len(sources) * (gap + INCH * SHOWN) + 0.1
    page = Page(wide, 0.85 + (INCH + 0.06) * len(queries), title)
    for s, (who, (x, labels)) in enumerate(sources.items()):
        start = left + gap + s * (gap + INCH * SHOWN)
        page.text(start, 0.66, f"by {who}" if who == item.name else who, va="bottom", fontsize=9)
        for q in range(len(queries)):
            y = 0.72 + q * (INCH + 0.06)
            if not s:
                _thumb(page, 0.12, y, queries[q], None)
            for k in range(SHOWN):
                _thumb(page, start + INCH * k, y, x[q, k], labels[q, k] == truth[q])
    return page.figure


def _thumb(page: Page, x: float, y: float, item: np.ndarray, right: bool | None) -> None:
    """One image or series, with an orange frame if it is of the wrong class."""
    size = INCH - 0.05
    box = (x / page.width, 1 - (y + size) / page.height, size / page.width, size / page.height)
    axes = page.figure.add_axes(box)
    axes.axis("off")
    if right is not None and not right:
        frame = Rectangle(box[:2], *box[2:], transform=page.figure.transFigure, fill=False, ec=ORANGE, lw=2, zorder=9)
        page.figure.add_artist(frame)
    if item.dtype == np.uint8:
        axes.imshow(item, cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="nearest")
    else:
        axes.plot(item[:, 0], color="#444444", lw=0.8)


def compression(results: Results, settings: Compare) -> Figure | None:
    """Bytes per item against quality: codecs, PCA and the models that neither beats; if all are beaten, the best."""
    items = [item for item in results.models if "rate/test" in item.arrays and not item.uses_labels]
    curves = results.baselines.get("compression", {})
    if not items or not curves:
        return None
    words = "JPEG and WebP" if results.kind == "image" else "the rounded raw values"
    figure, axes = chart(size=(7.6, 4.8), title=f"Bytes for quality: codes of models against {words}, in one archive")
    place = axes[0, 0]
    groups: dict[str, list[np.ndarray]] = {}
    for who, curve in curves.items():
        kind = "PCA" if who.startswith("PCA") else who.partition(",")[0]
        groups.setdefault(kind, []).append(np.array(curve["points"], float)[:, [0, 2]])
    others = np.concatenate([part for parts in groups.values() for part in parts])
    front = _front(items, others) or _front(items, others[:0])
    for item in items:
        if item not in front:
            _curve(place, item.arrays["rate/test"][:, [0, 2]], color="#DDDDDD", lw=0.8, zorder=0)
    for i, item in enumerate(front):
        _curve(place, item.arrays["rate/test"][:, [0, 2]], color=COLOURS[i], marker=MARKERS[i], ms=4, label=item.name)
    look = {"JPEG": "-", "JPEG 4:4:4": "-.", "WebP": "--", "lossless WebP": "", "raw values": "--", "PCA": ":"}
    for kind, parts in groups.items():
        points = _hull(np.concatenate(parts))
        marker = "s" if kind == "lossless WebP" else ""
        label = f"{kind}, cheapest packing" if results.kind == "image" and kind != "PCA" else kind
        _curve(place, points, color="black", ls=look[kind], marker=marker, lw=1.2, label=label)
    low, high = place.get_xlim()
    ticks = round_ticks(max(low, 0.5), high)
    place.set_xscale("log")
    place.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    place.minorticks_off()
    top = max(float(item.arrays["rate/test"][:, 2].max()) for item in items)
    lowest = min(float(item.arrays["rate/test"][:, 2].min()) for item in front)
    place.set(xlabel="bytes per image", ylabel="psnr, dB", ylim=(max(0, lowest), top + 8))
    place.legend(loc="upper left", bbox_to_anchor=(1.01, 1), fontsize=8)
    return figure


def _curve(place: Axes, points: np.ndarray, **how: object) -> None:
    points = points[points[:, 0] >= 0.5]  # of the logarithmic axis
    place.plot(points[:, 0], points[:, 1], **how)  # type: ignore[arg-type]


def _hull(points: np.ndarray) -> np.ndarray:
    """The points [n, 2] (bytes, psnr) that nothing cheaper beats, by bytes."""
    kept, most = [], -math.inf
    for point in points[np.argsort(points[:, 0])]:
        if point[1] > most:
            most = point[1]
            kept.append(point)
    return np.array(kept)


def _front(items: Sequence[Item], others: np.ndarray) -> list[Item]:
    """The models of which some point (bytes, psnr) is beaten by no other model's and none of `others` [n, 2]: those of
    the highest quality, at most LINES."""
    points = [(i, *row) for i, item in enumerate(items) for row in item.arrays["rate/test"][:, [0, 2]] if row[0] >= 1]
    points += [(-1, *row) for row in others]
    reached, most = {}, -math.inf
    for i, _, psnr in sorted(points, key=lambda point: (point[1], -point[2])):
        if psnr > most:
            most = reached[i] = psnr
    reached.pop(-1, None)
    chosen = sorted(reached, key=reached.__getitem__, reverse=True)[:LINES]
    return [items[i] for i in sorted(chosen)]


def learners(results: Results, settings: Compare) -> Figure | None:
    """Test error of supervised learners against the number of labels, on raw values, PCA and codes."""
    sizes = uses.budgets(results)
    if not sizes:
        return None
    known = results.baselines["learners"]["test"]
    title = "Features for a supervised learner: raw values (black) against codes, with few labels and more"
    figure, axes = chart(1, len(LEARNERS), size=(9.2, 3.6), title=title)
    for place, (learner, words) in zip(axes[0], LEARNERS.items(), strict=True):
        for kind, label, style in (("raw", "raw values", "-"), ("pca", "PCA", ":")):
            points = [(n, known.get(f"learner_error/{n}/{learner}/{kind}", math.nan)) for n in sizes]
            place.plot(*zip(*points, strict=True), color="black", ls=style, marker="o", ms=3, label=label)
        for i, item in enumerate(_learned(results, sizes[0])):
            points = []
            for n in sizes:
                points.append((n, item.mean(uses.chosen(item, f"learner_error/{n}/{learner}"))))
            place.plot(*zip(*points, strict=True), color=COLOURS[i], marker=MARKERS[i], ms=4, label=item.name)
        place.set_xscale("log")
        place.set_xticks(sizes, [f"{n:,}" for n in sizes])
        place.minorticks_off()
        place.set(title=words, xlabel="labels", ylabel="wrong test labels, %")
        place.yaxis.set_major_formatter(lambda value, _: number(value, "learner_error"))
        place.set_ylim(0, None)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=7, fontsize=8)
    return figure


def _learned(results: Results, labels: int) -> list[Item]:
    """The models with the best features on validation images."""
    metric = f"learner_error/{labels}"
    able = [i for i in results.models if metric in i.validation and not i.is_baseline and not i.uses_labels]
    return sorted(able, key=lambda item: float(np.mean(item.validation[metric])))[:5]
