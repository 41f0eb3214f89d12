"""The comparison as a table: CSV for machines, Markdown for people, a small JSON for `dvc exp show`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from aelab.report.results import FILTERS, Item, Results

HIGHER = ("psnr", "ssim", "probe_accuracy", "knn_accuracy")
HEADLINES = ("sse", "psnr", "probe_accuracy", "knn_accuracy", "negative_elbo", "test_error")
FORMATS = {
    "mse": ".4f",
    "ssim": ".3f",
    "parameters": ",.0f",
    "flops": ",.0f",
    "code_numbers": ".0f",
    "code_bytes": ".0f",
}
FORMATS |= {"active_latents": ".1f", "dead_units": ".1f", "hoyer": ".2f", "active_share": ".2f"}
SHARES = ("probe_accuracy", "knn_accuracy", "test_error")


def frame(results: Results) -> pd.DataFrame:
    """One row per model and stack: name, family, replicates, flags, then each metric's mean and (`_std`) spread."""
    rows = []
    for item in results.items.values():
        row: dict[str, Any] = {"name": item.name, "family": item.about["family"], "device": item.about["device"]}
        row |= {"replicates": item.about["replicates"], "flags": "; ".join(results.flags(item).values())}
        for metric in item.metrics:
            row |= {metric: item.mean(metric), f"{metric}_std": item.spread(metric)}
        rows.append(row)
    return pd.DataFrame(rows)


def summary(results: Results) -> dict[str, dict[str, float]]:
    """A few headline numbers per item, rounded to what the spread leaves of them."""
    return {
        item.name: {metric: round(item.mean(metric), 4) for metric in HEADLINES if metric in item.metrics}
        for item in results.items.values()
    }


def markdown(results: Results) -> str:
    """All tables, one group of measures each, with the floors among the rows."""
    models = results.models
    parts = [
        f"# Comparison on {results.data['title']}",
        "Test images, mean ± standard deviation over seeds; the best of a column is bold. "
        "¹ marks a model beaten by its floor; the last section says by which.",
        "## Reconstruction",
        _table(results, models, ("sse", "mse", "bce", "psnr", "ssim", "code_numbers"), "reconstruction"),
        "sse: squared error per image; mse: per pixel; bce: nats per image; psnr: dB; numbers: per code.",
        "## Denoising: psnr in dB of the noisy test image rebuilt",
        _denoising(results),
        "## Representation: what a code is worth",
        _table(
            results,
            models,
            ("probe_accuracy", "knn_accuracy", "hoyer", "active_share", "dead_units"),
            "representation",
            _probes(results),
        ),
        "probe, knn: accuracy in % of a linear classifier and of nearest neighbours on the codes; hoyer: sparsity, "
        "0 dense to 1 one-hot; active: share of numbers that are not zero; dead: units that never are.",
    ]
    likely = [item for item in models if "negative_elbo" in item.metrics]
    if likely:
        columns = ("negative_elbo", "distortion", "rate", "active_latents")
        parts += ["## Likelihood: nats per image, grey targets", _table(results, likely, columns, "likelihood")]
    if results.stacks:
        parts += ["## Stacks: test error in % after fine-tuning", _stacks(results)]
    everything = list(results.items.values())
    parts += ["## Cost", _table(results, everything, ("parameters", "flops", "code_bytes"), "cost")]
    parts.append("## Flags: where a model is beaten by its floor")
    for group in ("reconstruction", "denoising", "representation", "likelihood"):
        flagged = [f"{item.name}: {results.flags(item)[group]}" for item in models if group in results.flags(item)]
        if group == "representation":
            flagged = [line.partition(":")[0] for line in flagged]
            parts.append(f"**{group}** (a linear probe does better on raw pixels): {', '.join(flagged) or 'none'}.")
        else:
            parts.append(f"**{group}**: " + ("\n\n- " + "\n- ".join(flagged) if flagged else "none."))
    return "\n\n".join(parts) + "\n"


TITLES = {
    "code_numbers": "numbers",
    "probe_accuracy": "probe",
    "knn_accuracy": "knn",
    "active_share": "active",
    "dead_units": "dead",
    "negative_elbo": "negative ELBO",
    "active_latents": "active latents",
    "code_bytes": "bytes per code",
    "flops": "FLOPs per image",
    "test_error": "test error",
}


def _table(
    results: Results, items: Sequence[Item], columns: Sequence[str], group: str, floors: Sequence[list[str]] = ()
) -> str:
    best = {c: _best([item.mean(c) for item in items], c) if c in _RANKED else math.nan for c in columns}
    rows = [*floors]
    for item in items:
        rows.append([_marked(results, item, group), *(cell(item, column, best[column]) for column in columns)])
    return grid(["model", *(TITLES.get(column, column) for column in columns)], rows)


def _marked(results: Results, item: Item, group: str) -> str:
    return item.name + ("¹" if group in results.flags(item) else "")


_RANKED = {"sse", "mse", "bce", "negative_elbo", "distortion", *HIGHER}


def cell(item: Item, metric: str, best: float = math.nan) -> str:
    """mean ± spread, bold where it is the best, n/a where the metric does not apply."""
    value, spread = item.mean(metric), item.spread(metric)
    if math.isnan(value):
        return "n/a"
    text = number(value, metric)
    if not math.isnan(spread) and metric not in ("parameters", "flops", "code_numbers", "code_bytes"):
        text += f" ± {number(spread, metric)}"
    return f"**{text}**" if value == best else text


def number(value: float, metric: str) -> str:
    if metric in SHARES:
        return f"{100 * value:.2f}" if metric == "test_error" else f"{100 * value:.1f}"
    return format(value, FORMATS.get(metric, ".2f"))


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column left, the others right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])


def _best(values: list[float], metric: str) -> float:
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return math.nan
    return (max if metric.startswith(HIGHER) else min)(known)


def _probes(results: Results) -> list[list[str]]:
    found = results.floors["probes"]
    return [
        [f"*{name}*", *(number(values[m], m) for m in ("probe_accuracy", "knn_accuracy")), "", "", ""]
        for name, values in found.items()
    ]


def _denoising(results: Results) -> str:
    noises, floors = results.noises, results.floors["denoising"]
    columns = [f"psnr/{noise}" for noise in noises]
    best = {c: _best([item.mean(c) for item in results.models], c) for c in columns}
    rows = [["*noisy input*", *(f"{floors[n]['noisy']['psnr']:.2f}" for n in noises)]]
    rows += [[f"*{f.replace('_', ' ')} filter*", *(f"{floors[n][f]['psnr']:.2f}" for n in noises)] for f in FILTERS]
    rows += [
        [_marked(results, item, "denoising"), *(cell(item, c, best[c]) for c in columns)] for item in results.models
    ]
    return grid(["model", *(noise.replace("-", " ") for noise in noises)], rows)


def interval(error: float, n: int) -> float:
    """Half of the 95% interval of an error rate over n images (as metrics.representation.error_interval)."""
    return 1.96 * math.sqrt(error * (1 - error) / n)


def _stacks(results: Results) -> str:
    n = results.floors["test_images"]
    rows = []
    for item in results.stacks:
        error = item.mean("test_error")
        half = interval(error, n)
        rows.append(
            [item.name, cell(item, "test_error"), f"{100 * max(0.0, error - half):.2f} to {100 * (error + half):.2f}"]
        )
    return grid(["stack", "test error", f"95% interval, {n:,} images"], rows)
