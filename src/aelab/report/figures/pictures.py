"""Figures with rows of images."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from aelab.report.figures.selection import select
from aelab.report.figures.style import GREY, Page, Row, panels, strips, tile
from aelab.report.results import PREVIEW_NOISE, Item, Results, decibels, spoken
from aelab.report.settings import Compare


def reconstructions(results: Results, settings: Compare) -> Figure | None:
    """The same test images, reconstructed by every model."""
    if not results.models:
        return None
    groups: dict[str, list[Row]] = {}
    for item in sorted(results.rebuilding, key=lambda item: item.mean("sse")):
        remarks = f"{item.mean('latent_dim'):,.0f}", f"{item.mean('sse'):.1f}"
        groups.setdefault(item.about["family"], []).append(Row(item.name, item.arrays["reconstructions"], remarks))
    return strips(
        [[Row("original", results.pictures["clean"])], *groups.values()],
        "The same test images reconstructed by every model, family by family, smallest error first",
        ("numbers", "sse"),
        "numbers: per code; sse: squared error per image, mean over all\n"
        "test images and seeds; the images are the first seed's",
    )


DIGITS = 3  # per noise, in the denoising figure
BAND = 4  # noises side by side


def denoising(results: Results, settings: Compare) -> Figure | None:
    """For each noise: clean, noisy, the best filter, then the models, with their PSNR over all test images."""
    if not results.noises:
        return None
    items = select(results, settings, "denoising")
    names = ["original", "noisy", "best filter", *(item.name for item in items)]
    message = ["", "", "", *(trained(item) for item in items)]
    n = min([len(results.pictures["clean"]), *(len(item.arrays["reconstructions"]) for item in items)])
    shown = np.unique(np.linspace(0, n - 1, min(n, DIGITS) + 2).round().astype(int)[1:-1])
    bands = [results.noises[i : i + BAND] for i in range(0, len(results.noises), BAND)]
    size, labels, number, top = 0.42, 1.55, 0.42, 0.5
    block = size * len(shown) + number
    tall = 0.3 + size * len(names) + 0.15
    title = "Noisy test images, cleaned by the best classical filter and by autoencoders"
    note = (
        "psnr in dB, mean over all test images and seeds, the best in bold; filter: the best of median, gaussian and "
        "non-local means,\nits strength chosen on validation; in grey: what a model met in training; first "
        "seed's images"
    )
    page = Page(labels + block * len(bands[0]) + 0.1, top + tall * len(bands) + 0.45, title, note)
    for b, band in enumerate(bands):
        y = top + b * tall + 0.3
        for r, (name, text) in enumerate(zip(names, message, strict=True)):
            middle = y + (r + 0.5) * size
            page.text(labels - 0.08, middle - (0.07 if text else 0), name, ha="right", va="center")
            page.text(labels - 0.08, middle + 0.09, text, ha="right", va="center", fontsize=7, color=GREY)
        for c, noise in enumerate(band):
            x = labels + c * block
            page.text(x, y - 0.06, spoken(noise), va="bottom")
            column = _denoised(results, items, noise)
            best = max(psnr for _, psnr in column[1:])
            for r, (images, psnr) in enumerate(column):
                page.picture(x, y + r * size, size * len(shown), size, tile(images[shown]))
                weight = "bold" if psnr == best else "normal"
                text = f"{psnr:.1f}" if r else "psnr"
                page.text(
                    x + block - number + 0.04, y + (r + 0.5) * size, text, va="center", fontsize=8, fontweight=weight
                )
    return page.figure


def _denoised(results: Results, items: list[Item], noise: str) -> list[tuple[np.ndarray, float]]:
    """The rows of one noise: images and their PSNR in dB (clean ones: NaN)."""
    name, psnr = results.best_filter(noise)
    noisy = results.baselines["denoising"][noise]["noisy"]["psnr"]
    baselines = [("clean", float("nan")), (f"noisy/{noise}", noisy), (f"{name}/{noise}", psnr)]
    rows = [(results.pictures[key], value) for key, value in baselines]
    return rows + [(item.arrays[f"denoised/{noise}"], item.mean(f"psnr/{noise}")) for item in items]


def trained(item: Item) -> str:
    """The noise of a model's training, short enough for a label."""
    text = [spoken(entry) for entry in item.noise]
    return "clean images" if not text else text[0] if len(text) == 1 else f"{len(text)} noises mixed"


def epochs(results: Results, settings: Compare) -> Figure | None:
    """Validation digits reconstructed during training, a group of rows per model."""
    groups: list[list[Row]] = []
    for item in select(results, settings, "epochs"):
        drawn = item.previews()
        seen = Row(f"input, {trained(item)}" if item.noise else "original", item.arrays["preview/input"])
        if item.noise:
            groups.append([seen])
        elif not any(group[0].label == "original" for group in groups):
            groups.insert(0, [seen])
        labels = [f"{step:,}" for step in [*drawn][:-1]] + [f"{kept(item):,} (kept)"]
        labels[0] = f"{item.name}, step {labels[0]}"
        groups.append([Row(label, images) for label, images in zip(labels, drawn.values(), strict=True)])
    title = "Validation images reconstructed during training"
    note = "rows: after so many optimizer steps; kept: the one with\nthe smallest validation loss; first seed"
    return strips(groups, title, note=note) if groups else None


def noisy_epochs(results: Results, settings: Compare) -> Figure | None:
    """Noisy validation digits reconstructed by models trained on clean ones, during training."""
    groups: list[list[Row]] = []
    for item in select(results, settings, "noisy_epochs"):
        drawn = item.previews("noisy-")
        clean, noisy = item.arrays["preview/input"], item.arrays["preview/noisy-input"]
        if not groups:
            groups.append([Row("clean", clean), Row("noisy, the input", noisy, (f"{decibels(clean, noisy):.1f}",))])
        labels = [f"step {step:,}" for step in [*drawn][:-1]] + [f"step {kept(item):,} (kept)"]
        labels[0] = f"{item.name}, {labels[0]}"
        rows = zip(labels, drawn.values(), strict=True)
        groups.append([Row(label, x, (f"{decibels(clean, x):.1f}",)) for label, x in rows])
    title = "Trained on clean images, tested on noisy ones: does the model learn to copy the noise?"
    note = (
        f"noise: {PREVIEW_NOISE}, a tenth of the pixels become random; psnr: of the row against\n"
        "the clean images, dB; kept: the step with the smallest validation loss; first seed"
    )
    return strips(groups, title, ("psnr",), note) if groups else None


def pca(results: Results, settings: Compare) -> Figure | None:
    """By latent dimension: test digits reconstructed by PCA, and by models of the same latent dimension."""
    by_size: dict[int, list[Item]] = {}
    for item in select(results, settings, "pca"):
        by_size.setdefault(round(item.mean("latent_dim")), []).append(item)
    groups = [[Row("original", results.pictures["clean"])]]
    for k in sorted(size for size in by_size if f"pca/{size}" in results.pictures):
        rows = [
            Row(
                f"PCA, {k} number{'s' * (k > 1)}",
                results.pictures[f"pca/{k}"],
                (f"{results.baselines['pca_sse'][k]:.1f}",),
            )
        ]
        items = sorted(by_size[k], key=lambda item: item.mean("sse"))
        rows += [Row(item.name, item.arrays["reconstructions"], (f"{item.mean('sse'):.1f}",)) for item in items]
        groups.append(rows)
    title = "Test images reconstructed by PCA and by autoencoders of the same latent dimension"
    note = "sse: squared error per image, mean over all test images and seeds;\nthe images are the first seed's"
    return strips(groups, title, ("sse",), note) if len(groups) > 1 else None


def kept(item: Item) -> int:
    """The optimizer step, counted over all phases, whose weights the first seed kept; its preview is the last one."""
    curves = item.curves()
    return int(sum(phase.steps[np.isfinite(phase.validation[0])][-1] for phase in curves[:-1]) + curves[-1].kept[0])


def interpolations(results: Results, settings: Compare) -> Figure | None:
    """Images decoded along lines between two codes, beside mixtures of the pixels; a group of rows per pair."""
    items, digits = select(results, settings, "interpolations"), results.pictures["clean"].astype(np.float64)
    if not items or len(digits) < 2:
        return None
    pairs, steps = items[0].arrays["interpolation"].shape[:2]
    groups = []
    for pair in range(min(pairs, len(digits) // 2)):
        first, last = digits[2 * pair : 2 * pair + 2]
        blend = np.stack([(1 - share) * first + share * last for share in np.linspace(0, 1, steps)])
        blend = blend.round().astype(np.uint8)
        groups.append([Row("pixels", blend), *(Row(item.name, item.arrays["interpolation"][pair]) for item in items)])
    title = "From one test image to another: mixed as pixels, and as codes"
    note = "equal steps; a useful code passes through images, not through a double exposure"
    return strips(groups, title, note=note)


DRAWN = {"rbm": "by Gibbs sampling"}  # family -> how samples are drawn, if not from a prior


def samples(results: Results, settings: Compare) -> Figure | None:
    """Test images and a gaussian of PCA's codes; samples of generative models from their prior; of a plain autoencoder,
    decoded codes from N(0, I) and from a fitted gaussian."""
    result = [("test images", tile(results.pictures["clean"], 5))]
    result += [
        (f"{item.name}: gaussian codes", tile(item.arrays["samples"], 5))
        for item in results.pick(["pca"])
        if "samples" in item.arrays
    ]
    result += [
        (f"{item.name}: {DRAWN.get(item.about['family'], 'from its prior')}", tile(item.arrays["samples"], 5))
        for item in select(results, settings, "samples")
    ]
    result += [
        (f"{item.name}: {words}", tile(item.arrays[key], 5))
        for item in select(results, settings, "plain")
        for key, words in (("random_codes", "codes from N(0, I)"), ("fitted_codes", "from a fitted gaussian"))
    ]
    title = "New images: from a trained prior, and from random codes of a plain autoencoder"
    note = "fitted gaussian: with mean and covariance of the training images' codes; none was picked by hand"
    return panels(result, title, note, dots=62, columns=4) if len(result) > 1 else None
