"""Figures of series: rebuilt, predicted, and with noise removed."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aelab.report.figures.style import BLUE, GREY, ORANGE, chart
from aelab.report.results import Item, Results, spoken
from aelab.report.settings import Compare

SHOWN = 4  # series
FEATURES = 3  # of each, at most


def rebuilt(results: Results, settings: Compare) -> Figure | None:
    """Test series with their reconstructions by the best model of few numbers, and predicted step by step."""
    rows: list[tuple[str, Item, str]] = []
    able = [item for item in results.rebuilding if not item.is_baseline and "sse" in item.validation]
    small = [item for item in able if item.mean("latent_dim") < results.pixels]
    if small:
        best = min(small, key=lambda item: float(np.mean(item.validation["sse"])))
        rows.append((f"rebuilt by {best.name} from {best.mean('latent_dim'):.0f} numbers", best, "reconstructions"))
    for item in results.models:
        if "predicted" in item.arrays:
            rows.append((f"each step predicted by {item.name} from those before", item, "predicted"))
    if results.kind != "series" or not rows:
        return None
    title = "Test series (grey) and what models make of them (blue), with twice their usual error"
    figure, axes = panels(len(rows), title)
    for line, (words, item, key) in zip(axes, rows, strict=True):
        for place, (n, feature) in zip(line, shown(results), strict=True):
            clean, inputs = values(results, results.pictures["clean"], n, feature), places(results)[feature]
            made, band = item.arrays[key][n, :, inputs[0]], 2 * item.arrays[f"band/{key}"][:, inputs[0]]
            steps = np.arange(len(clean) - len(made), len(clean))
            made = np.where(np.isnan(clean[steps]), np.nan, made)
            place.plot(clean, color="#999999", lw=2.4)
            place.fill_between(steps, made - band, made + band, color=BLUE, alpha=0.2, lw=0)
            place.plot(steps, made, color=BLUE, lw=1)
        line[0].set_title(words, loc="left")
    return finished(figure, axes, results)


def denoised(results: Results, settings: Compare) -> Figure | None:
    """Noisy test series, and what the best filter and the best model make of them, noise by noise."""
    if results.kind != "series":
        return None
    title = "Noise (dots) removed by the best filter (orange) and the best model (blue); grey: the clean series"
    figure, axes = panels(len(results.noises), title)
    for line, noise in zip(axes, results.noises, strict=True):
        able = [item for item in results.rebuilding if not item.is_baseline and f"psnr/{noise}" in item.validation]
        best = max(able, key=lambda item: float(np.mean(item.validation[f"psnr/{noise}"])), default=None)
        name, value = results.best_filter(noise)
        words = f"{spoken(noise)}: {spoken(name)} {value:.1f} dB"
        if best:
            words += f", {best.name} {best.mean(f'psnr/{noise}'):.1f} dB"
        for place, (n, feature) in zip(line, shown(results), strict=True):
            clean, (number, _) = values(results, results.pictures["clean"], n, feature), places(results)[feature]
            place.plot(clean, color="#BBBBBB", lw=2.4)
            place.plot(values(results, results.pictures[f"noisy/{noise}"], n, feature), ".", color=GREY, ms=2)
            made = [(results.pictures[f"{name}/{noise}"], ORANGE, 0.9)]
            made += [(best.arrays[f"denoised/{noise}"], BLUE, 1)] if best else []
            for arrays, colour, width in made:
                place.plot(np.where(np.isnan(clean), np.nan, arrays[n, :, number]), color=colour, lw=width)
        line[0].set_title(words, loc="left")
    return finished(figure, axes, results)


def shown(results: Results) -> list[tuple[int, int]]:
    """Series and feature of each panel of a row: the first series of every class in turn."""
    count, features = len(results.pictures["clean"]), min(FEATURES, len(results.data["columns"]))
    return [(n % count, n % features) for n in range(min(SHOWN, max(count, features)))]


def places(results: Results) -> list[tuple[int, int | None]]:
    """For each feature the input of its values, and the one that says whether they are known, if there is one."""
    result, place = [], 0
    for column in results.data["columns"]:
        flagged = bool(column.get("flag"))
        result.append((place, place + 1 if flagged else None))
        place += 1 + flagged
    return result


def values(results: Results, series: np.ndarray, n: int, feature: int) -> np.ndarray:
    """The values [T] of one feature of one series, NaN where they are missing or hidden."""
    number, flag = places(results)[feature]
    return series[n, :, number] if flag is None else np.where(series[n, :, flag] > 0.5, series[n, :, number], np.nan)


def panels(rows: int, title: str) -> tuple[Figure, np.ndarray]:
    return chart(rows, SHOWN, size=(11, 0.8 + 1.7 * rows), title=title)


def finished(figure: Figure, axes: np.ndarray, results: Results) -> Figure:
    """Label the axes, the same scale in a row."""
    names = [column["name"] for column in results.data["columns"]]
    classes, labels = results.data["classes"], results.pictures["labels"]
    for line in axes:
        for place, (n, feature) in zip(line, shown(results), strict=True):
            label(place, names[feature] if len(names) > 1 else "", str(classes[labels[n]]) if classes else "")
    figure.supylabel("value, in standard deviations", fontsize=9)
    for place in axes[-1]:
        place.set_xlabel("step")
    return figure


def label(axes: Axes, feature: str, name: str) -> None:
    text = ", ".join(filter(None, (name, feature)))
    axes.text(0.99, 0.99, text, transform=axes.transAxes, ha="right", va="top", fontsize=8, color=GREY)
    axes.tick_params(labelsize=8)
