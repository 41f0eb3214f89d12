"""Heat maps: every model on every noise, with baselines on top, and every stack on every class."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.colors import Colormap
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from aelab.report.figures.pictures import trained
from aelab.report.figures.style import chart
from aelab.report.results import Results, spoken
from aelab.report.settings import Compare

MODELS = 30  # rows of models in the noise map
SHADES = 33
CLIP = 8.0  # dB: larger differences have the same colour


def noise_map(results: Results, settings: Compare) -> Figure | None:
    """PSNR of the noisy image, the filters and the models on every noise, relative to the best filter: models that met
    noise in training, and the best of the others."""
    noises, baselines = results.noises, results.baselines["denoising"]
    if not noises:
        return None
    ranked = sorted(results.rebuilding, key=lambda item: -np.mean([item.mean(f"psnr/{n}") for n in noises]))
    met = [item for item in ranked if item.noise]
    kept = [*met, *[item for item in ranked if not item.noise][: max(0, MODELS - len(met))]]
    items = [item for item in ranked if item in kept]
    names = ["the noisy image", *map(spoken, results.filters), *(f"{item.name}, {trained(item)}" for item in items)]
    values = np.array(
        [[baselines[n][entry]["psnr"] for n in noises] for entry in ("noisy", *results.filters)]
        + [[item.mean(f"psnr/{n}") for n in noises] for item in items]
    )
    gain = values - [results.best_filter(n)[1] for n in noises]
    title = "Noisy test images rebuilt, psnr in dB: bold beats the best filter"
    if len(items) < len(ranked):
        title += f" (models that met noise, and the best others of {len(ranked)})"
    figure, axes = chart(size=(max(8.0, 3.8 + 0.86 * len(noises)), 1.7 + 0.25 * len(names)), title=title)
    axes = axes[0, 0]
    image = axes.imshow(gain, cmap=_shades("RdBu"), vmin=-CLIP, vmax=CLIP, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        colour = "white" if abs(gain[i, j]) > 0.55 * CLIP else "black"
        weight = "bold" if gain[i, j] > 0 else "normal"
        axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=8, color=colour, fontweight=weight)
    for i, item in enumerate(items, len(names) - len(items)):
        for noise in results.trained_on(item):
            axes.add_patch(Rectangle((noises.index(noise) - 0.46, i - 0.4), 0.92, 0.8, fill=False, lw=1.2, zorder=3))
    axes.axhline(len(results.filters) + 0.5, color="white", lw=3, zorder=1)
    axes.set_xticks(range(len(noises)), [spoken(noise).replace(" 0", "\n0") for noise in noises], fontsize=8)
    axes.set_yticks(range(len(names)), names)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("test noise; framed: the nearest to what the model met in training")
    axes.set_ylabel("baselines, then models and what they learned from, from best to worst mean")
    figure.colorbar(image, label="psnr above the best filter, dB", shrink=0.6, extend="both")
    return figure


def noise_transfer(results: Results, settings: Compare) -> Figure | None:
    """One net trained on each noise, tested on every noise: PSNR in dB, mean over seeds."""
    if not results.noise_transfer:
        return None
    trained_on, tried_on = list(results.noise_transfer), list(next(iter(results.noise_transfer.values()))[0])
    values = np.array(
        [[np.mean([seed[name] for seed in seeds]) for name in tried_on] for seeds in results.noise_transfer.values()]
    )
    title = "Noise transfer: one net, trained on each noise and tried on all of them (bold: the best of a column)"
    figure, axes = chart(size=(2.6 + 0.8 * len(tried_on), 1.6 + 0.34 * len(trained_on)), title=title)
    axes = axes[0, 0]
    behind = values - values.max(0)  # relative to the column: noises are not equally hard
    image = axes.imshow(behind, cmap=_shades("Blues"), vmin=-CLIP, vmax=0, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        weight = "bold" if behind[i, j] == 0 else "normal"
        colour = "white" if behind[i, j] > -0.4 * CLIP else "black"
        axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=8, color=colour, fontweight=weight)
    axes.set_xticks(range(len(tried_on)), [spoken(name).replace(" 0", "\n0") for name in tried_on], fontsize=8)
    axes.set_yticks(range(len(trained_on)), [spoken(name) for name in trained_on])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_xlabel("noise of the validation images; psnr in dB, mean over seeds")
    axes.set_ylabel("noise in training")
    figure.colorbar(image, label="psnr below the best of the column, dB", extend="min")
    return figure


def class_errors(results: Results, settings: Compare) -> Figure | None:
    """Test error of the stacks by class, fine-tuned with all labels, mean over seeds."""
    names = results.data["classes"]
    metrics = [f"class_error/{label}" for label in range(len(names))]
    items = [item for item in results.stacks if metrics[0] in item.metrics]
    if not items:
        return None
    values = np.array([[100 * item.mean(metric) for metric in metrics] for item in items])
    title = "Which classes do the fine-tuned stacks get wrong? Test error by class, %"
    figure, axes = chart(size=(max(6.8, 2.6 + 0.62 * len(names)), 1.5 + 0.3 * len(items)), title=title)
    axes = axes[0, 0]
    top = max(1.0, float(np.nanmax(values)))
    image = axes.imshow(values, cmap=_shades("Blues"), vmin=0, vmax=top, aspect="auto")
    for (i, j), value in np.ndenumerate(values):
        colour = "white" if value > 0.55 * top else "black"
        axes.text(j, i, f"{value:.1f}", ha="center", va="center", fontsize=8, color=colour)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(items)), [item.name for item in items])
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_ylabel("stack")
    axes.set_xlabel("class of the test image; with all labels, mean over seeds")
    figure.colorbar(image, label="test error, %")
    return figure


def _shades(name: str) -> Colormap:
    """A colour map in SHADES steps: as many as an eye tells apart, and few enough for the 256 colours of a file."""
    return colormaps[name].resampled(SHADES)
