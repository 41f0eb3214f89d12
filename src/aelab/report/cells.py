"""How a number, a row and a table look: what the sections of the comparison share."""

from __future__ import annotations

import math
from collections.abc import Sequence

from aelab.report import flags
from aelab.report.results import Item, Results
from aelab.report.table import COUNTS

HIGHER = (
    "psnr",
    "ssim",
    "probe_accuracy",
    "knn_accuracy",
    "few_labels_accuracy",
    "cluster_",
    "pair_accuracy",
    "same_class_accuracy",
    "probe_content",
    "pseudo_likelihood",
)  # is better
LOWER = (
    "sse",
    "mse",
    "bce",
    "negative_elbo",
    "nll",
    "test_error",
    "shift_sse",
    "frechet",
    "hidden_mse",
    "read_mse",
    "predicted_mse",
)
SHARES = {  # shown in percent
    **dict.fromkeys(("probe_accuracy", "knn_accuracy", "few_labels_accuracy", "cluster_accuracy"), ".1f"),
    **dict.fromkeys(("pair_accuracy", "same_class_accuracy", "probe_content", "probe_style", "keras_accuracy"), ".1f"),
    "test_error": ".2f",
    "class_error": ".1f",
}
FORMATS = {
    "ssim": ".3f",
    **dict.fromkeys(("mse", "hidden_mse", "read_mse", "predicted_mse"), ".4f"),
    **dict.fromkeys(("active_latents", "dead_units", "dead_hidden", "dead_codes", "perplexity"), ".1f"),
    "frechet": ".3f",
    "nll_draws": ".1f",
    **dict.fromkeys(COUNTS, ",.0f"),
}
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
    "psnr_stroke": "strokes",
    "psnr_blank": "blanks",
    "keras_accuracy": '"accuracy"',
    "few_labels_accuracy": "few labels",
    "cluster_nmi": "NMI",
    "cluster_ari": "ARI",
    "cluster_accuracy": "clusters",
    "pair_accuracy": "image & code",
    "same_class_accuracy": "same class",
    "probe_content": "content",
    "probe_style": "style",
    "hidden_mse": "hidden pixels",
    "read_mse": "read",
    "predicted_mse": "predicted",
    "pseudo_likelihood": "pseudo-likelihood",
    "hidden_units": "hidden units",
    "dead_hidden": "of them dead",
    "dead_codes": "never taken",
    "nll_draws": "effective",
}


def name(results: Results, item: Item, *groups: str) -> str:
    """A row's first cell: floors in italics, ¹ where a flag of these groups is set, ² where the model saw labels."""
    mark = "¹" if any(flag.group in groups for flag in flags.of(results, item)) else ""
    return (f"*{item.name}*" if item.is_floor else item.name + mark) + "²" * item.saw_labels


def ranked(items: Sequence[Item], metrics: Sequence[str]) -> list[list[str]]:
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
    metric = metric.partition("/")[0]  # test_error/100 is a test error
    if metric in SHARES:
        return format(100 * value, SHARES[metric])
    return format(value, FORMATS.get(metric, ".2f"))


def grid(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table, first column left, the others right."""
    lines = ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    return "\n".join([*lines, *("| " + " | ".join(row) + " |" for row in rows)])
