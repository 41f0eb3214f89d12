"""The comparison for readers: a few narrow tables, floors among the rows, flags explained below."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np

from aelab.report.results import FILTERS, Item, Results, interval, span, spoken
from aelab.report.table import COUNTS

HIGHER = ("psnr", "ssim", "probe_accuracy", "knn_accuracy")  # is better
LOWER = ("sse", "bce", "negative_elbo", "test_error")
SHARES = {"probe_accuracy": ".1f", "knn_accuracy": ".1f", "test_error": ".2f"}  # shown in percent
FORMATS = {"ssim": ".3f", "hoyer": ".2f", "active_latents": ".1f", "dead_units": ".1f", **dict.fromkeys(COUNTS, ",.0f")}
TITLES = {
    "code_numbers": "numbers",
    "probe_accuracy": "probe",
    "knn_accuracy": "kNN",
    "active_share": "active",
    "dead_units": "dead",
    "negative_elbo": "negative ELBO",
    "active_latents": "active latents",
    "code_bytes": "bytes per code",
    "flops": "FLOPs per image",
}
SIZES = (4, 32)  # bounds of the classes of code sizes within which errors are compared
NOISES_PER_TABLE = 4


def markdown(results: Results) -> str:
    """The whole file."""
    devices = sorted({item.about["device"] for item in results.items.values()})
    parts = [
        f"# Comparison: {results.data['title']}",
        f"All numbers on the {results.floors['test_images']:,} test images: mean ± sample standard deviation over "
        f"seeds, where there are several. **Bold**: the best of the rows that can be compared. *Italic*: floors that "
        f"nobody trained. ¹: beaten by a floor, see [Flags](#flags). n/a: does not apply. Made on {', '.join(devices)}."
        " All columns, also ssim under noise and mse: `comparison.csv`.",
        *_reconstruction(results),
        *_denoising(results),
        *_representation(results),
        *_generation(results),
        *_stacks(results),
        *_cost(results),
        *_flags(results),
    ]
    return "\n\n".join(parts) + "\n"


def _reconstruction(results: Results) -> list[str]:
    parts = [
        "## Reconstruction",
        "By size of code: a larger code is an easier task. sse: squared error per image; PCA: sse of PCA with as many "
        "numbers; bce: nats per image (only where outputs are bounded); psnr: dB.",
    ]
    bounds = (0, *SIZES, results.pixels - 1, math.inf)
    for low, high in itertools.pairwise(bounds):
        items = [item for item in results.models if low < item.mean("code_numbers") <= high]
        if not items:
            continue
        size = f"{low + 1:,} to {high:,} numbers" if high < math.inf else f"{low + 1:,} numbers or more: enough to copy"
        rows = [
            [_name(results, item, "reconstruction"), cell(item, "code_numbers"), f"{results.pca(item):.2f}", *cells]
            for item, cells in zip(items, _ranked(items, ("sse", "bce", "psnr", "ssim")), strict=True)
        ]
        parts += [f"### {size}", grid(["model", "numbers", "PCA", "sse", "bce", "psnr", "ssim"], rows)]
    return parts


def _denoising(results: Results) -> list[str]:
    floors, parts = results.floors["denoising"], ["## Denoising", "psnr in dB of the noisy test images, rebuilt."]
    for start in range(0, len(results.noises), NOISES_PER_TABLE):
        noises = results.noises[start : start + NOISES_PER_TABLE]
        rows = [["*the noisy image*", *(f"{floors[n]['noisy']['psnr']:.2f}" for n in noises)]]
        rows += [[f"*{spoken(f)}*", *(f"{floors[n][f]['psnr']:.2f}" for n in noises)] for f in FILTERS]
        for item, cells in zip(
            results.models, _ranked(results.models, [f"psnr/{noise}" for noise in noises]), strict=True
        ):
            flagged = {flag.noise for flag in results.flags(item)}
            marked = [text + "¹" * (noise in flagged) for noise, text in zip(noises, cells, strict=True)]
            rows.append([_name(results, item), *marked])
        parts.append(grid(["model", *map(spoken, noises)], rows))
    trained = [f"{item.name} ({', '.join(map(spoken, item.noise))})" for item in results.models if item.noise]
    return [*parts, f"Trained with noise: {'; '.join(trained) or 'none'}."]


def _representation(results: Results) -> list[str]:
    columns = ("probe_accuracy", "knn_accuracy", "hoyer", "active_share", "dead_units")
    rows = [
        [f"*{name}*", "", *(number(found[m], m) for m in ("probe_accuracy", "knn_accuracy")), "", "", ""]
        for name, found in results.floors["probes"].items()
    ]
    for item, cells in zip(results.models, _ranked(results.models, columns), strict=True):
        rows.append([_name(results, item, "representation", "health"), cell(item, "code_numbers"), *cells])
    return [
        "## Representation",
        "What a code is worth. probe, kNN: test accuracy in % of a linear classifier and of the nearest neighbours on "
        "the codes; hoyer: sparsity, 0 dense to 1 one-hot; active: share of numbers that are not zero; dead: numbers "
        "that are zero for every test image.",
        grid(["model", "numbers", *(TITLES.get(column, column) for column in columns)], rows),
    ]


def _generation(results: Results) -> list[str]:
    items = [item for item in results.models if "negative_elbo" in item.metrics]
    if not items:
        return []
    columns = ("negative_elbo", "distortion", "rate", "active_latents")
    rows = [
        [_name(results, item, "health"), *cells] for item, cells in zip(items, _ranked(items, columns), strict=True)
    ]
    return [
        "## Generation",
        "Models with a likelihood, in nats per image, grey targets: negative ELBO = distortion + rate (lower is "
        "better); active latents: those whose mean varies over the test images.",
        grid(["model", *(TITLES.get(column, column) for column in columns)], rows),
    ]


def _stacks(results: Results) -> list[str]:
    if not results.stacks:
        return []
    n = results.floors["test_images"]
    control = next((item for item in results.stacks if item.about["config"].get("layer") == "random"), None)
    rows = []
    for item, (text,) in zip(results.stacks, _ranked(results.stacks, ("test_error",)), strict=True):
        error = item.mean("test_error")
        half = interval(error, n)
        bounds = f"{100 * max(0.0, error - half):.2f} to {100 * min(1.0, error + half):.2f}"
        rows.append([item.name, text, bounds, verdict(item, control, n) if control else "n/a"])
    against = control.name if control else "a stack that was not pretrained"
    return [
        "## Stacks",
        f"Test error in % after fine-tuning. The interval is that of the mean error on {n:,} images; against "
        f"{against}: the difference in points, ± 1.96 standard errors (test images and seeds together).",
        grid(["stack", "test error", "95% interval", f"against {against}"], rows),
    ]


def verdict(item: Item, control: Item, n: int) -> str:
    """Is a stack better than the control? The difference of two error rates, taken as independent."""
    if item is control:
        return "the control"
    variance = 0.0
    for each in (item, control):
        error, spread = each.mean("test_error"), each.spread("test_error")
        seeds = 0.0 if math.isnan(spread) else spread**2 / len(each.metrics["test_error"])
        variance += error * (1 - error) / n + seeds
    gain, margin = control.mean("test_error") - item.mean("test_error"), 1.96 * math.sqrt(variance)
    word = "no clear difference" if abs(gain) <= margin else "better" if gain > 0 else "worse"
    return f"{word}: {-100 * gain:+.2f} ± {100 * margin:.2f}"


def _cost(results: Results) -> list[str]:
    columns = ("parameters", "flops", "code_bytes")
    rows = [
        [_name(results, item), *(cell(item, column) for column in columns), *_epochs(item)]
        for item in results.items.values()
    ]
    return [
        "## Cost",
        "epochs: run, over all phases, and kept, of the last phase: where the last epoch is kept, more epochs might "
        "do better. A range is over seeds. Stacks: fine-tuning alone.",
        grid(["model", *(TITLES.get(column, column) for column in columns), "epochs run", "kept"], rows),
    ]


def _epochs(item: Item) -> list[str]:
    curves = item.curves()
    if not curves:
        return ["0", "n/a"]
    run = np.sum([np.isfinite(phase.validation).sum(1) for phase in curves], 0)
    return [span(run.tolist()), span(curves[-1].kept.tolist())]


def _flags(results: Results) -> list[str]:
    meaning = {
        "reconstruction": "PCA with as many numbers rebuilds better",
        "denoising": "at the test noise nearest to its training noise, the noisy image or a filter is better",
        "representation": "a linear probe does better on raw pixels",
        "health": "parts of the code carry nothing; a range is over seeds",
    }
    parts = ["## Flags"]
    flagged = [(item.name, flag) for item in results.models for flag in results.flags(item)]
    for group, words in meaning.items():
        lines = [f"- {name}: {flag.words}" for name, flag in flagged if flag.group == group]
        parts += [f"**{group.capitalize()}**: {words}.", "\n".join(lines) or "- none"]
    return parts


def _name(results: Results, item: Item, *groups: str) -> str:
    mark = "¹" if any(flag.group in groups for flag in results.flags(item)) else ""
    return f"*{item.name}*" if item.is_floor else item.name + mark


def _ranked(items: Sequence[Item], metrics: Sequence[str]) -> list[list[str]]:
    """The cells of a table, item by item; what prints like a metric's best is bold where two or more are known."""
    best = {}
    for metric in metrics:
        known = [item.mean(metric) for item in items if not math.isnan(item.mean(metric))]
        if metric.startswith((*HIGHER, *LOWER)) and len(known) > 1:
            best[metric] = number((max if metric.startswith(HIGHER) else min)(known), metric)
    return [
        [
            f"**{cell(item, metric)}**" if number(item.mean(metric), metric) == best.get(metric) else cell(item, metric)
            for metric in metrics
        ]
        for item in items
    ]


def cell(item: Item, metric: str) -> str:
    """mean ± spread; n/a where the metric does not apply."""
    value, spread = item.mean(metric), item.spread(metric)
    if math.isnan(value):
        return "n/a"
    with_spread = not math.isnan(spread) and metric not in COUNTS
    return number(value, metric) + (f" ± {number(spread, metric)}" if with_spread else "")


def number(value: float, metric: str) -> str:
    """A value as the tables print it."""
    if metric in SHARES:
        return format(100 * value, SHARES[metric])
    return format(value, FORMATS.get(metric, ".2f"))


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column left, the others right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
