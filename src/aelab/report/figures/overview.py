"""The first figure: what autoencoders do, with the best model of each task."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from aelab.report.best_models import Best, best_models
from aelab.report.figures.style import Row, strips
from aelab.report.results import Item, Results, spoken
from aelab.report.settings import Compare

SMALL = 4  # numbers: fewer rebuild too badly to be shown first


def overview(results: Results, settings: Compare) -> Figure | None:
    """What autoencoders do, in a handful of rows: rebuild from few numbers, remove noise, make new images."""
    best = best_models(results)
    if not best:
        return None
    clean = results.pictures["clean"]
    groups = [
        group for group in (_rebuilt(results, best, clean), _cleaned(results, best), _made(results, best)) if group
    ]
    title = "Rebuild from few numbers, remove noise, make new images: baselines, and the best autoencoder of each task"
    note = (
        "squared error and dB: means over all test images and seeds; Fréchet distance: to test images, relative to\n"
        "their variance; the best is chosen on validation images; first seed's images, none picked by hand"
    )
    return strips([[Row("test images", clean)], *groups], title, ("",), note)


def _rebuilt(results: Results, best: Sequence[Best], clean: np.ndarray) -> list[Row]:
    """PCA, the plain net with one hidden layer and the best one of up to MIDDLE numbers."""
    found = [each for each in best if each.task.name == "rebuilder"]
    chosen = next(
        (each.item for each in found if each.item.mean("latent_dim") > SMALL), found[-1].item if found else None
    )
    if chosen is None:
        return []
    numbers = round(chosen.mean("latent_dim"))
    rows = []
    if f"pca/{numbers}" in results.pictures:
        error = results.baselines["pca_sse"][numbers]
        rows.append(Row(f"PCA, {numbers} numbers", results.pictures[f"pca/{numbers}"], (f"error {error:.1f}",)))
    plain = [item for item in results.pick(["ae"]) if item is not chosen]
    for item in (*plain, chosen):
        words = f"{item.name}, {item.mean('latent_dim'):.0f} numbers"
        rows.append(Row(words, item.arrays["reconstructions"], (f"error {item.mean('sse'):.1f}",)))
    return rows


def _cleaned(results: Results, best: Sequence[Best]) -> list[Row]:
    """The hardest noise by PSNR, the best filter on it, and the best denoiser."""
    denoiser = next((each.item for each in best if each.task.name == "denoiser"), None)
    if denoiser is None:
        return []
    measured = results.baselines["denoising"]
    noise = min(results.noises, key=lambda each: measured[each]["noisy"]["psnr"])
    name, psnr = results.best_filter(noise)
    return [
        Row(
            f"with {spoken(noise)}", results.pictures[f"noisy/{noise}"], (f"{measured[noise]['noisy']['psnr']:.1f} dB",)
        ),
        Row(spoken(name), results.pictures[f"{name}/{noise}"], (f"{psnr:.1f} dB",)),
        Row(denoiser.name, denoiser.arrays[f"denoised/{noise}"], (f"{denoiser.mean(f'psnr/{noise}'):.1f} dB",)),
    ]


def _made(results: Results, best: Sequence[Best]) -> list[Row]:
    """Codes from N(0, I) through the plain net, a gaussian of PCA's codes, and the best generator."""
    generator = next((each.item for each in best if each.task.name == "generator"), None)
    if generator is None:
        return []
    rows = [
        Row(f"{item.name}, codes from N(0, I)", item.arrays["random_codes"], (_frechet(item),))
        for item in results.pick(["ae"])
        if "random_codes" in item.arrays
    ]
    baselines = [item for item in results.pick(["pca"]) if "samples" in item.arrays]
    rows += [Row(f"{item.name}, gaussian codes", item.arrays["samples"], (_frechet(item),)) for item in baselines]
    return [*rows, Row(f"{generator.name}, from its prior", generator.arrays["samples"], (_frechet(generator),))]


def _frechet(item: Item) -> str:
    return f"distance {item.mean('frechet_distance'):.2f}"
