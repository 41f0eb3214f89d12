"""comparison.md: narrow tables of models and baselines, warnings explained below."""

from __future__ import annotations

import numpy as np

from aelab.report import best_models, columns, one_class, pretraining, sections, uses, verdicts, warnings
from aelab.report.formatting import cell, given, grid, kind, name, ranked
from aelab.report.metric_specs import spec
from aelab.report.results import Item, Results, span, spoken
from aelab.report.wording import said

NOISES_PER_TABLE = 4


def markdown(results: Results) -> str:
    """The whole file."""
    devices = sorted({item.about["device"] for item in results.items.values()})
    parts = [
        f"# Comparison: {results.data['title']}",
        f"All numbers on the {results.baselines['test_images']:,} test images: mean ± sample standard deviation over "
        "seeds. **Bold**: the best of the comparable rows. *Italic*: untrained baselines. ¹: below a baseline, see "
        "[Warnings](#warnings). ²: uses labels. n/a: does not apply. "
        f"Made on {', '.join(devices)}. All columns: `comparison.csv`.",
        *best_models.section(results),
        *_reconstruction(results),
        *sections.ink(results),
        *sections.ood(results),
        *_denoising(results),
        *sections.restored(results),
        *columns.section(results),
        *sections.forecasts(results),
        *_representation(results),
        *sections.codes(results),
        *sections.parts(results),
        *uses.section(results),
        *one_class.section(results),
        *sections.health(results),
        *_generation(results),
        *sections.pseudo(results),
        *sections.samples(results),
        *pretraining.section(results),
        *sections.classes(results),
        *verdicts.section(results),
        *_cost(results),
        *_warnings(results),
    ]
    return said("\n\n".join(parts), results.kind) + "\n"


def _reconstruction(results: Results) -> list[str]:
    if not results.rebuilding:
        return []
    parts = [
        "## Reconstruction",
        "By latent dimension: a larger one is an easier task. sse: squared error per image; PCA: sse of PCA of the "
        "same latent dimension; bce: nats per image (only for bounded outputs); psnr: dB.",
    ]
    shown = ("sse", "bce", "psnr", "ssim") if results.kind == "image" else ("sse", "psnr", "mse", "category_error")
    shown = tuple(name for name in shown if any(name in item.metrics for item in results.rebuilding))
    heads = [name if results.kind == "image" else spec(name).title for name in shown]
    for size, items in results.by_size(results.rebuilding).items():
        rows = [
            [name(results, item, "reconstruction"), cell(item, "latent_dim"), f"{results.pca(item):.2f}", *cells]
            for item, cells in zip(items, ranked(items, shown), strict=True)
        ]
        parts += [f"### {size}", grid(["model", "latent dim", "PCA", *heads], rows)]
    return parts


def _denoising(results: Results) -> list[str]:
    if not results.noises:
        return []
    baselines, parts = (
        results.baselines["denoising"],
        ["## Denoising", "psnr in dB of reconstructions of noisy test images."],
    )
    for start in range(0, len(results.noises), NOISES_PER_TABLE):
        noises = results.noises[start : start + NOISES_PER_TABLE]
        rows = [["*the noisy image*", *(f"{baselines[n]['noisy']['psnr']:.2f}" for n in noises)]]
        rows += [[f"*{spoken(f)}*", *(f"{baselines[n][f]['psnr']:.2f}" for n in noises)] for f in results.filters]
        items = results.rebuilding
        for item, cells in zip(items, ranked(items, [f"psnr/{noise}" for noise in noises]), strict=True):
            warned = {warning.noise for warning in warnings.of(results, item)}
            marked = [text + "¹" * (noise in warned) for noise, text in zip(noises, cells, strict=True)]
            rows.append([name(results, item), *marked])
        parts.append(grid(["model", *map(spoken, noises)], rows))
    trained = [f"{item.name} ({', '.join(map(spoken, item.noise))})" for item in results.models if item.noise]
    return [*parts, f"Trained with noise: {'; '.join(trained) or 'none'}."]


def _representation(results: Results) -> list[str]:
    columns = ("probe_accuracy", "knn_accuracy", "hoyer_sparsity", "active_share", "dead_units")
    rows = [
        [f"*{name}*", "", *(given(result, m) for m in ("probe_accuracy", "knn_accuracy")), "", "", ""]
        for name, result in results.baselines["probes"].items()
    ]
    for item, cells in zip(results.models, ranked(results.models, columns), strict=True):
        rows.append([name(results, item, "representation", "health"), cell(item, "latent_dim"), *cells])
    if not rows:
        return []
    return [
        "## Representation",
        "Quality of the codes. linear probe, kNN: test accuracy in % of a linear classifier and of the nearest "
        "neighbours on the codes; Hoyer sparsity: 0 dense to 1 one-hot; active: share of units that are not zero; "
        "dead units: zero for every test image.",
        grid(["model", "latent dim", *(spec(column).title for column in columns)], rows),
    ]


def _generation(results: Results) -> list[str]:
    items = [item for item in results.models if "negative_elbo" in item.metrics]
    if not items:
        return []
    columns = ("negative_elbo", "distortion", "rate", "active_latents", "nll", "ess")
    sizes = next((item.about["nll"] for item in items if "nll" in item.about), {"images": 0, "draws": 0})
    rows = [
        [name(results, item, "health"), kind(item, "negative_elbo"), *cells]
        for item, cells in zip(items, ranked(items, columns), strict=True)
    ]
    return [
        "## Generation",
        "Models with a likelihood, in nats per image. Negative ELBO = distortion + rate (lower is better), of the "
        "targets of training: **bold** among models with the same kind of targets, because grey and binary "
        "ones have different likelihoods; active latents: those whose mean varies over the test images. nll: of "
        f"{sizes['images']:,} binary test images, the same for every model, by importance sampling with "
        f"{sizes['draws']:,} draws, so an upper bound; ESS: effective sample size of these draws, more is better.",
        grid(["model", "targets", *(spec(column).title for column in columns)], rows),
    ]


def _cost(results: Results) -> list[str]:
    columns = ("parameters", "flops", "code_bytes")
    rows = [
        [name(results, item), *(cell(item, column) for column in columns), *_steps(item)]
        for item in results.items.values()
    ]
    return [
        "## Cost",
        "steps: run, over all phases, and kept, of the last phase; converged: early stopping ended every phase, or its "
        "validation loss fell by less than 1% over the last fifth of its steps. A range is over seeds. Stacks: "
        "fine-tuning only, all label budgets.",
        grid(["model", *(spec(column).title for column in columns), "steps run", "kept", "converged"], rows),
    ]


def _steps(item: Item) -> list[str]:
    curves = item.curves()
    if not curves:
        return ["0", "n/a", "n/a"]
    run = np.sum([phase.steps[np.isfinite(phase.validation).sum(1) - 1] for phase in curves], 0)
    return [span(run.tolist()), span(curves[-1].kept.tolist()), "no" if "not_converged" in item.diagnoses else "yes"]


def _warnings(results: Results) -> list[str]:
    meaning = {
        "reconstruction": "PCA of the same latent dimension (for hidden patches: the mean image) reconstructs better",
        "denoising": "at the test noise nearest to its training noise, the noisy image or a filter is better",
        "representation": "a linear probe is better on PCA codes or raw pixels of no more numbers; or a style code "
        "predicts the class",
        "generation": "a gaussian of PCA codes is closer to the test images than samples from the prior",
        "classification": "with all labels, a linear classifier on raw pixels is better",
        "health": "diagnoses; a range is over seeds",
    }
    parts = ["## Warnings"]
    issued = [(item.name, warning) for item in results.items.values() for warning in warnings.of(results, item)]
    for group, text in meaning.items():
        lines = [f"- {name}: {warning.words}" for name, warning in issued if warning.group == group]
        parts += [f"**{group.capitalize()}**: {text}.", "\n".join(lines) or "- none"]
    return parts
