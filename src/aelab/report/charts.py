"""Figures with axes: curves, points and bars."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from aelab.report.results import FILTERS, Item, Results
from aelab.report.settings import Compare
from aelab.report.style import COLOURS, GREY, MARKERS
from aelab.report.table import interval


def curves(results: Results, settings: Compare) -> Figure | None:
    """Loss by epoch on training and validation images, one panel per model and phase, all seeds."""
    panels = [(item, phase, rows) for item in results.models for phase, rows in _phases(item).items()]
    return (
        _curves(panels, "Learning curves: loss by epoch, in the model's own unit, all seeds", "total")
        if panels
        else None
    )


def stack_curves(results: Results, settings: Compare) -> Figure | None:
    """Error by epoch while stacks are fine-tuned."""
    panels = [(item, phase, rows) for item in results.stacks for phase, rows in _phases(item).items()]
    return _curves(panels, "Fine-tuning: share of wrong labels by epoch, all seeds", "error") if panels else None


def _phases(item: Item) -> dict[str, list[list[dict[str, Any]]]]:
    found: dict[str, list[list[dict[str, Any]]]] = {}
    for history in item.about["history"]:
        for phase in dict.fromkeys(row["phase"] for row in history):
            found.setdefault(phase, []).append([row for row in history if row["phase"] == phase])
    return found


def _curves(panels: list[tuple[Item, str, list[list[dict[str, Any]]]]], title: str, term: str) -> Figure:
    columns = min(5, len(panels))
    lines = -(-len(panels) // columns)
    figure, axes = plt.subplots(lines, columns, figsize=(max(5.0, 2.2 * columns), 1.7 * lines + 0.6), squeeze=False)
    for each in axes.flat[len(panels) :]:
        each.axis("off")
    for each, (item, phase, histories) in zip(axes.flat, panels, strict=False):
        for i, rows in enumerate(histories):
            epochs = [row["epoch"] for row in rows]
            each.plot(
                epochs, [row["train"][term] for row in rows], ":", color=COLOURS[1], label="train" if i == 0 else None
            )
            held_out = [row["validation"][term] for row in rows]
            each.plot(epochs, held_out, color=COLOURS[0], label="validation" if i == 0 else None)
            kept = max(i for i, row in enumerate(rows) if row["best"])
            each.plot(epochs[kept], held_out[kept], "o", ms=4, color=COLOURS[0], label="kept" if i == 0 else None)
        each.set_title(item.name if phase in ("all", "finetune") else f"{item.name}, {phase}")
    axes[0, 0].legend(fontsize=7)
    figure.supxlabel("epoch", fontsize=9)
    figure.suptitle(title, fontsize=10, weight="bold")
    return figure


def codes(results: Results, settings: Compare) -> Figure:
    """2-D codes of test images, coloured by class: PCA beside autoencoders."""
    found = [("PCA, 2 components", results.pictures["pca_codes"], results.pictures["pca_labels"])]
    for item in results.pick(settings.codes):
        if "codes" in item.arrays and item.arrays["codes"].shape[1] == 2:
            found.append((item.name, item.arrays["codes"], item.arrays["labels"]))
    figure, axes = plt.subplots(1, len(found), figsize=(3.6 * len(found) + 1.1, 3.7), squeeze=False)
    names = results.data["classes"]
    palette = plt.get_cmap("tab10")
    for each, (title, points, labels) in zip(axes[0], found, strict=True):
        for label, name in enumerate(names):
            mine = points[labels == label]
            each.scatter(*mine.T, s=14, color=palette(label), marker=f"${label}$", linewidths=0.2, label=name)
        each.set_title(title)
        each.set_xlabel("first number of the code")
        each.set_ylabel("second number")
    if names != [str(i) for i in range(len(names))]:
        axes[0, -1].legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.suptitle("Test images by their two numbers, each drawn as its class", fontsize=10, weight="bold")
    return figure


def quality(results: Results, settings: Compare) -> Figure:
    """Squared error against numbers per code; PCA of every size is the floor."""
    figure, axes = plt.subplots(figsize=(8.0, 5.2))
    pca = results.floors["pca_sse"]
    numbers = np.arange(1, len(pca) - 1)
    axes.plot(numbers, pca[1:-1], color=GREY, label="PCA of each size", zorder=1)
    families = list(dict.fromkeys(item.about["family"] for item in results.models))
    points = []
    for i, family in enumerate(families):
        items = [item for item in results.models if item.about["family"] == family and item.mean("code_numbers") > 0]
        x, y = [item.mean("code_numbers") for item in items], [item.mean("sse") for item in items]
        spread = [0.0 if math.isnan(item.spread("sse")) else item.spread("sse") for item in items]
        axes.errorbar(x, y, yerr=spread, fmt=MARKERS[i], ms=6, color=COLOURS[i % len(COLOURS)], label=family)
        points += [(item.name, a, b) for item, a, b in zip(items, x, y, strict=True)]
    axes.set(
        xscale="log", yscale="log", xlabel="numbers per code", ylabel="squared error per test image, mean over seeds"
    )
    low = min(b for _, _, b in points) * 0.7
    axes.set_ylim(low, max(b for _, _, b in points) * 1.3)
    _label(axes, points)
    axes.legend(loc="lower left")
    axes.set_title(
        "Quality against code size: below the grey line an autoencoder beats PCA", weight="bold", fontsize=10
    )
    return figure


def _label(axes: Any, points: list[tuple[str, float, float]]) -> None:
    """Names beside their points, one column per code size, moved apart where they would overlap."""
    low, high = (math.log(value) for value in axes.get_ylim())
    for x in {x for _, x, _ in points}:
        last = math.inf
        for name, _, y in sorted((p for p in points if p[1] == x), key=lambda p: -p[2]):
            place = min(math.log(y), last - 0.032 * (high - low))
            last = place
            axes.annotate(
                name,
                (x, y),
                (x * 1.12, math.exp(place)),
                fontsize=7,
                va="center",
                arrowprops={"arrowstyle": "-", "lw": 0.3, "color": GREY, "shrinkA": 0, "shrinkB": 2},
            )


def noise_map(results: Results, settings: Compare) -> Figure:
    """PSNR of every model under every noise, against the best filter."""
    rows = sorted(results.models, key=lambda item: -np.mean([item.mean(f"psnr/{n}") for n in results.noises]))
    values = np.array([[item.mean(f"psnr/{n}") for n in results.noises] for item in rows])
    floor = np.array([results.best_filter(n)[1] for n in results.noises])
    figure, axes = plt.subplots(figsize=(1.6 + 0.85 * len(results.noises), 1.6 + 0.27 * len(rows)))
    bound = float(np.abs(values - floor).max())
    image = axes.imshow(values - floor, cmap="RdBu", vmin=-bound, vmax=bound, aspect="auto")
    axes.set_xticks(range(len(results.noises)), [n.replace("-", "\n").replace("_", " ") for n in results.noises])
    axes.set_yticks(range(len(rows)), [item.name for item in rows])
    for i, j in np.ndindex(*values.shape):
        dark = abs(values[i, j] - floor[j]) > 0.6 * bound
        axes.text(j, i, f"{values[i, j]:.1f}", ha="center", va="center", fontsize=7, color="white" if dark else "black")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    figure.colorbar(image, label="psnr above the best filter, dB", shrink=0.8)
    axes.set_title("Noisy test images rebuilt, psnr in dB: blue beats every filter", weight="bold", fontsize=10)
    return figure


def filters_bars(results: Results, settings: Compare) -> Figure:
    """The floors alone: the noisy input and the filters, per noise."""
    names = ("noisy", *FILTERS)
    figure, axes = plt.subplots(figsize=(1.0 + 0.9 * len(results.noises), 3.2))
    for i, name in enumerate(names):
        psnr = [results.floors["denoising"][noise][name]["psnr"] for noise in results.noises]
        axes.bar(np.arange(len(psnr)) + 0.2 * (i - 1.5), psnr, 0.18, color=COLOURS[i], label=name.replace("_", " "))
    axes.set_xticks(range(len(results.noises)), [n.replace("-", "\n").replace("_", " ") for n in results.noises])
    axes.set_ylabel("psnr, dB")
    axes.legend(ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.16))
    axes.set_title("What a denoising autoencoder has to beat", weight="bold", fontsize=10)
    return figure


def stacks(results: Results, settings: Compare) -> Figure | None:
    """Test error of the fine-tuned stacks: seeds, their mean, and its 95% interval."""
    if not results.stacks:
        return None
    figure, axes = plt.subplots(figsize=(5.2, 0.9 + 0.5 * len(results.stacks)))
    for i, item in enumerate(results.stacks):
        mean = item.mean("test_error")
        axes.errorbar(
            100 * mean,
            i,
            xerr=100 * interval(mean, results.floors["test_images"]),
            fmt="o",
            color=COLOURS[0],
            capsize=3,
            label="mean and 95% interval" if i == 0 else None,
        )
        axes.plot(
            [100 * e for e in item.metrics["test_error"]],
            [i - 0.2] * len(item.metrics["test_error"]),
            "|",
            ms=8,
            color=COLOURS[1],
            label="seeds" if i == 0 else None,
        )
    axes.set_yticks(range(len(results.stacks)), [item.name for item in results.stacks])
    axes.set_ylim(len(results.stacks) - 0.5, -0.5)
    axes.set_xlabel("test error, %")
    axes.legend(fontsize=7, loc="center left", bbox_to_anchor=(1, 0.5))
    axes.set_title("Did pretraining help? Test error after fine-tuning", weight="bold", fontsize=10)
    return figure
