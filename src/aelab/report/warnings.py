"""Warnings: where a model is below a baseline, and its diagnoses."""

from __future__ import annotations

from dataclasses import dataclass

from aelab.report.results import Item, Results, spoken
from aelab.report.statistics import share_interval

SLACK = 1.01  # tolerance: a linear net that has found PCA is not below PCA
NARROW = 64  # numbers per code up to which PCA is a fair baseline: with more it copies, while noise or a penalty keeps
# a net from copying


@dataclass(frozen=True)
class ResultWarning:
    """One warning.

    group: reconstruction, denoising, representation, generation, classification or health.
    """

    group: str
    words: str
    noise: str = ""  # the test noise, in the group denoising


def of(results: Results, item: Item) -> list[ResultWarning]:
    """All warnings of one model; baselines have none."""
    if item.is_baseline:
        return []
    measures = (classification,) if item.is_stack else (reconstruction, denoising, representation, generation)
    return [flag for measure in measures for flag in measure(results, item)] + health(item)


def classification(results: Results, item: Item) -> list[ResultWarning]:
    """Whether a stack fine-tuned with all labels is worse than a linear classifier on raw pixels."""
    if not results.labelled:
        return []
    right, linear = 1 - item.mean("test_error/all"), results.baselines["probes"]["raw pixels"]["probe_accuracy"]
    text = f"{100 * right:.1f}% accuracy, a linear classifier on raw pixels {100 * linear:.1f}%"
    return [ResultWarning("classification", text)] if right < linear else []


def reconstruction(results: Results, item: Item) -> list[ResultWarning]:
    """Whether PCA of the same small latent dimension reconstructs better, and the mean image hidden patches."""
    result = []
    numbers, sse, pca = round(item.mean("latent_dim")), item.mean("sse"), results.pca(item)
    mean = results.baselines["pca_sse"][0]
    if numbers <= min(NARROW, results.pixels - 1) and sse > SLACK * pca:
        text = f"sse {sse:.2f}, PCA of dimension {numbers} has {pca:.2f}"
        result.append(text + f", the mean image {mean:.2f}" * (sse > mean))
    hidden, by_pixel = item.mean("hidden_mse"), mean / results.pixels
    if hidden > by_pixel:
        result.append(f"mse {hidden:.4f} per hidden pixel, the mean image has {by_pixel:.4f} per pixel")
    return [ResultWarning("reconstruction", text) for text in result]


def denoising(results: Results, item: Item) -> list[ResultWarning]:
    """Whether a filter, or the noisy image itself, is closer to the clean one, for noises like those of training."""
    result = []
    for noise in results.trained_on(item):
        psnr, (name, best) = item.mean(f"psnr/{noise}"), results.best_filter(noise)
        baselines = {
            "the noisy image": results.baselines["denoising"][noise]["noisy"]["psnr"],
            f"the {spoken(name)}": best,
        }
        beaten = [f"{who} has {value:.2f}" for who, value in baselines.items() if psnr < value]
        if beaten:
            result.append(ResultWarning("denoising", f"{spoken(noise)}: {psnr:.2f} dB, {' and '.join(beaten)}", noise))
    return result


def representation(results: Results, item: Item) -> list[ResultWarning]:
    """Whether a linear probe is better on an untrained code of no more numbers (raw pixels, PCA), and whether the style
    predicts the class better than chance."""
    if not results.labelled:
        return []
    result, probes = [], results.baselines["probes"]
    sizes = {name: results.pixels if name == "raw pixels" else int(name.split()[-1]) for name in probes}
    fair = {name: probes[name]["probe_accuracy"] for name, n in sizes.items() if n <= item.mean("latent_dim")}
    best = max(fair, key=fair.__getitem__, default="")
    if best and item.mean("probe_accuracy") < fair[best]:
        result.append(f"linear probe {100 * item.mean('probe_accuracy'):.1f}%, {best} {100 * fair[best]:.1f}%")
    values, chance = item.mean("probe_style"), 1 / len(results.data["classes"])
    if values > share_interval(chance, results.baselines["test_images"])[1]:
        result.append(
            f"a linear probe of the style finds the class of {100 * values:.1f}%, chance is {100 * chance:.1f}%"
        )
    return [ResultWarning("representation", text) for text in result]


def generation(results: Results, item: Item) -> list[ResultWarning]:
    """Whether decoded gaussian PCA codes are closer to real images than samples from a model's own prior."""
    if item.about.get("samples") != "prior":
        return []
    made = item.mean("frechet_distance")
    return [
        ResultWarning("generation", f"Fréchet distance {made:.3f}, {name} has {gaussian:.3f}")
        for name, gaussian in results.gaussian.items()
        if made > gaussian
    ]


def health(item: Item) -> list[ResultWarning]:
    """The diagnoses."""
    diagnoses = {name: text for name, text in item.diagnoses.items() if name != "below_baseline"}
    return [ResultWarning("health", f"{name.replace('_', ' ')}: {text}") for name, text in diagnoses.items()]
