"""Figures that are rows of images, and weights seen as images."""

from __future__ import annotations

import numpy as np
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from aelab.report.results import FILTERS, Item, Results
from aelab.report.settings import Compare
from aelab.report.style import show, strips, tile


def reconstructions(results: Results, settings: Compare) -> Figure:
    rows = [("original", results.pictures["clean"], "numbers per code, squared error per image")]
    for item in sorted(results.models, key=lambda item: item.mean("sse")):
        remark = f"{item.mean('code_numbers'):.0f}, {item.mean('sse'):.1f}"
        rows.append((item.name, item.arrays["reconstructions"], remark))
    return strips(rows, "The same test images through every model, best first")


def denoising(noise: str, results: Results, settings: Compare) -> Figure:
    """Clean, noisy, the best classical filter, then the models, best first."""
    floors, (name, psnr) = results.floors["denoising"][noise], results.best_filter(noise)
    rows = [
        ("original", results.pictures["clean"], "psnr, dB"),
        ("noisy", results.pictures[f"noisy/{noise}"], f"{floors['noisy']['psnr']:.1f}"),
        (f"{name.replace('_', ' ')} filter", results.pictures[f"{name}/{noise}"], f"{psnr:.1f}"),
    ]
    items = sorted(results.pick(settings.denoising), key=lambda item: -item.mean(f"psnr/{noise}"))
    rows += [(item.name, item.arrays[f"denoised/{noise}"], f"{item.mean(f'psnr/{noise}'):.1f}") for item in items]
    title = f"Noisy test images rebuilt: {noise.replace('_', ' ').replace('-', ' ')}"
    return strips(rows, title, f"filter: the best of {', '.join(FILTERS).replace('_', ' ')}")


def epochs(results: Results, settings: Compare) -> Figure | None:
    """Validation digits after the epochs that were drawn, one block per model."""
    rows: list[tuple[str, np.ndarray, str]] = []
    for item in results.pick(settings.epochs):
        drawn = sorted(key for key in item.arrays if key.startswith("panel/epoch-"))
        if not drawn:
            continue
        if not rows:
            rows.append(("original", item.arrays["panel/input"], ""))
        rows += [(f"{item.name}, {int(key[-3:])}", item.arrays[key], "") for key in drawn]
    title = "Validation digits in the course of learning: model, epochs so far"
    return strips(rows, title, "the last row of a model is the epoch that was kept") if rows else None


def interpolations(results: Results, settings: Compare) -> Figure | None:
    rows = [(item.name, item.arrays["interpolation"], "") for item in results.pick(settings.interpolations)]
    return strips(rows, "From one test image's code to another's, in equal steps") if rows else None


def samples(results: Results, settings: Compare) -> Figure | None:
    """Generative models draw from their prior; a plain autoencoder's codes have none, so a gaussian is fitted."""
    found = [
        (f"{item.name}: prior", item.arrays["samples"])
        for item in results.pick(settings.samples)
        if "samples" in item.arrays
    ]
    found += [(f"{item.name}: random codes", item.arrays["random_codes"]) for item in results.pick((settings.plain,))]
    if not found:
        return None
    figure, axes = plt.subplots(1, len(found), figsize=(2.4 * len(found), 2.6), squeeze=False)
    for each, (title, images) in zip(axes[0], found, strict=True):
        show(each, tile(images, 5), title)
    figure.suptitle(
        "New images: a trained prior, and random codes through a plain autoencoder", fontsize=10, weight="bold"
    )
    return figure


def filters(results: Results, settings: Compare) -> Figure | None:
    title = "First-layer weights, one square per unit: denoising learns strokes and blobs"
    return _units(results.pick(settings.filters), title, unit_norm=False)


def units(results: Results, settings: Compare) -> Figure | None:
    title = "The input that most excites each unit, w / |w|: without and with sparsity"
    return _units(results.pick(settings.units), title, unit_norm=True)


def _units(items: list[Item], title: str, unit_norm: bool) -> Figure | None:
    items = [item for item in items if "filters" in item.arrays]
    if not items:
        return None
    figure, axes = plt.subplots(1, len(items), figsize=(4.2 * len(items), 4.7), squeeze=False)
    for each, item in zip(axes[0], items, strict=True):
        weights = item.arrays["filters"]
        # every unit on its own scale: what it looks for, not how strongly
        size = (
            np.sqrt((weights**2).sum((1, 2), keepdims=True))
            if unit_norm
            else np.abs(weights).max((1, 2), keepdims=True)
        )
        scaled = weights / np.maximum(size, 1e-12)
        bound = np.quantile(np.abs(scaled), 0.995) or 1.0
        show(each, tile(np.clip(scaled / bound, -1, 1), 10, blank=0), f"{item.name}: {_about(item)}", signed=True)
    figure.suptitle(title, fontsize=10, weight="bold")
    return figure


def _about(item: Item) -> str:
    config, noise = item.about["config"], item.about["noise"]
    if noise:
        return f"noise {', '.join(noise)}"
    if config.get("penalty"):
        return f"{config['penalty']} penalty {config['weight']:g}"
    return "no noise"
