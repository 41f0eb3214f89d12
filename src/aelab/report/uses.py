"""Which model for which use: anomalies, search, compression, features for a supervised learner; each beside what an
engineer tries first, with the 95% interval of the difference."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from aelab.report.formatting import FEATURES, LEARNERS, NA, SCORES, cell, gap, grid, name, ranked
from aelab.report.metric_specs import number, spec
from aelab.report.results import Item, Results
from aelab.report.statistics import Difference, Estimate, Ranking, crossed, exact, interval

MARKS = {1: "✓", -1: "✗", 0: "≈"}
WEIGHT = 4  # bytes of one learned value
WORDS = (
    "Differences with their 95% intervals: over test images (normal ones and anomalies apart), seeds, and samples of "
    "labels, on the same images and samples. ✓ better, ✗ worse, ≈ the interval contains 0 or one seed does not say how "
    "far seeds differ."
)


def section(results: Results) -> list[str]:
    """All uses that were measured."""
    found = [*anomalies(results), *search(results), *compression(results), *learners(results)]
    return ["## Uses", WORDS, *found] if found else []


def anomalies_are(results: Results) -> str:
    """What the anomalies are."""
    normal = results.data.get("normal")
    return f"test images that are not of class {', '.join(normal)}" if normal else results.data["ood"]


def rankings(results: Results) -> dict[str, Ranking]:
    """How the baselines rank the test items, by name, the best on validation first."""
    found = results.baselines.get("anomaly", {})
    names = sorted(found, key=lambda each: -found[each]["validation"]["auroc"])
    return {each: Ranking.of(results.pictures[f"anomaly/{each}"], results.baselines["test_images"]) for each in names}


def ranking(results: Results, item: Item, metric: str) -> Ranking:
    """How a score of a model, of the metric auroc or auroc/<score>, ranks the test items."""
    return Ranking.of(item.per_image[metric.replace("auroc", "anomaly")], results.baselines["test_images"])


def without_net(results: Results, metric: str) -> tuple[str, Estimate] | None:
    """What an engineer tries first: its name, and its value of a metric of a use; None without any."""
    if metric == "auroc":
        areas = {who: found.area(trained=False) for who, found in rankings(results).items()}
        return next(iter(areas.items()), None)
    if metric.startswith("bytes_at"):
        who, size = cheapest(results, metric)
        return (who, exact(size)) if who else None
    value = results.baselines.get("learners", {}).get("test", {}).get(f"{metric}/raw")
    return None if value is None else ("raw values", exact(value))


def chosen(item: Item, metric: str) -> str:
    """learner_error/<labels>/<learner> with the features of the model that are best on validation; "" without any."""
    names = [name for name in item.validation if name.startswith(f"{metric}/")]
    return min(names, key=lambda name: float(np.mean(item.validation[name])), default="")


def best_score(item: Item) -> str:
    """The score of anomalies that the seeds find best on validation images, on average."""
    scores = [metric.partition("/")[2] for metric in item.validation if metric.startswith("auroc/")]
    return max(scores, key=lambda score: float(np.mean(item.validation[f"auroc/{score}"])))


def anomalies(results: Results) -> list[str]:
    """AUROC of every model and baseline."""
    items, baselines = [item for item in results.models if "auroc" in item.metrics], rankings(results)
    if not items:
        return []
    first, normal = next(iter(baselines)), results.baselines["test_images"]
    rows = []
    for who, other in baselines.items():
        measured = results.baselines["anomaly"][who]
        alarms = number(measured["false_alarms"], "false_alarms") if "false_alarms" in measured else NA
        shown = text(interval(other.area(trained=False)), "auroc")
        rows.append([f"*{who}*", "", shown, "", number(measured["average_precision"], "average_precision"), alarms])
    for item in sorted(items, key=lambda item: -item.mean("auroc")):
        own, trained = ranking(results, item, "auroc"), not item.is_baseline
        gained = interval((own - baselines[first]).area(trained))
        rows.append(
            [
                name(results, item),
                SCORES[best_score(item)],
                text(interval(own.area(trained)), "auroc"),
                f"{MARKS[gained.sign]} {gap(gained, 'auroc')[0]}",
                cell(item, "average_precision"),
                cell(item, "false_alarms"),
            ]
        )
    each = [f"auroc/{score}" for score in SCORES if any(f"auroc/{score}" in item.metrics for item in items)]
    by_score = [[name(results, item), *cells] for item, cells in zip(items, ranked(items, each), strict=True)]
    return [
        "### Anomalies",
        f"Normal: {normal:,} test images; anomalies: {anomalies_are(results)}. AUROC: how often an anomaly has the "
        "higher score; 0.5 is chance. Each seed's score is the one that is best on validation images. Difference: to "
        f"{first}, the best baseline on validation images. False alarms in %: normal test images above the threshold "
        "that 1% of validation images exceed.",
        grid(["model", "score", "AUROC", "difference", "average precision", "false alarms"], rows),
        "AUROC by score; SAP and NAP: Kim et al. 2020, RaPP.",
        grid(["model", *(SCORES[metric.partition("/")[2]] for metric in each)], by_score),
    ]


def search(results: Results) -> list[str]:
    """The nearest training items of a query."""
    items = [item for item in results.models if "precision_at_10" in item.metrics]
    probes = results.baselines["probes"]
    if not items:
        return []
    metric, others = "precision_at_10", [who for who in probes if not who.startswith("random")]
    rows = []
    for who in others:
        values = [number(probes[who][m], m) for m in (metric, "mean_average_precision")]
        rows.append([f"*{who}*", values[0], *[""] * len(others), values[1]])
    for item in sorted(items, key=lambda item: -item.mean(metric)):
        gains = [against(item.per_image[metric], results.pictures[f"{metric}/{who}"], item, metric) for who in others]
        rows.append([name(results, item), cell(item, metric), *gains, cell(item, "mean_average_precision")])
    return [
        "### Search",
        "Nearest codes of training images, Euclidean. precision at 10: the share, in %, of the query's class among the "
        "10 nearest; mean average precision: over the whole ranking.",
        grid(["model", "precision at 10", *(f"against {who}" for who in others), "mean average precision"], rows),
    ]


def against(values: np.ndarray, baseline: np.ndarray, item: Item, metric: str) -> str:
    """The difference of a model's values [S, N] to a baseline's [N], of the same items, with its interval."""
    gained = paired_gain(values, baseline, item)
    sign = {"higher": 1, "lower": -1}[spec(metric).direction] * gained.sign
    return f"{MARKS[sign]} {gap(gained, metric)[0]}"


def paired_gain(values: np.ndarray, baseline: np.ndarray, item: Item) -> Difference:
    """values [S, ..., N] less baseline [..., N], of items that both have; one draw alone is no source of variance."""
    differences = values.astype(np.float64) - baseline
    differences = differences[..., ~np.isnan(differences).any(tuple(range(differences.ndim - 1)))]
    if differences.ndim > 2 and differences.shape[1] == 1:
        differences = differences[:, 0]
    return interval(crossed(differences[0] if item.is_baseline else differences))


def targets(results: Results) -> list[str]:
    """The metrics bytes_at/<dB> that something reaches."""
    names = dict.fromkeys(metric for item in results.models for metric in item.metrics if metric.startswith("bytes_at"))
    return [metric for metric in names if any(not math.isnan(item.mean(metric)) for item in results.models)]


def cheapest(results: Results, metric: str, pca: bool = False) -> tuple[str, float]:
    """What needs the fewest bytes for this quality without a learned model, or with PCA: its name and bytes; "" and NaN
    without any."""
    found = {
        who: curve[metric]
        for who, curve in results.baselines.get("compression", {}).items()
        if who.startswith("PCA") == pca and not math.isnan(curve[metric])
    }
    return min(found.items(), key=lambda each: each[1]) if found else ("", math.nan)


def breakeven(results: Results, item: Item) -> str:
    """The number of images from which a model pays, where it saves most over what is cheapest without one; its learned
    values count as bytes too."""
    saved = {metric: cheapest(results, metric)[1] - item.mean(metric) for metric in targets(results)}
    wins = {metric: value for metric, value in saved.items() if value > 0}
    if not wins:
        return "never"
    metric = max(wins, key=wins.__getitem__)
    images = WEIGHT * item.mean("parameters") / wins[metric]
    return f"{float(f'{images:.2g}'):,.0f} at {metric.partition('/')[2]} dB"


def alone(item: Item, metrics: Sequence[str]) -> str:
    """The bytes of an archive of one image by itself, of the first seed, at the lowest of the qualities that the model
    reaches."""
    points = item.arrays.get("rate/test", np.empty((0, 3)))
    for metric in metrics:
        enough = points[points[:, 2] >= float(metric.partition("/")[2])]
        if not math.isnan(item.mean(metric)) and len(enough):
            return f"{enough[enough[:, 0].argmin(), 1]:.0f}"
    return NA


def compression(results: Results) -> list[str]:
    """Bytes per item at some qualities."""
    metrics = targets(results)
    items = [item for item in results.models if any(not math.isnan(item.mean(metric)) for metric in metrics)]
    if not items:
        return []
    rows = []
    for who, curve in results.baselines["compression"].items():
        values = [number(curve[m], m) if not math.isnan(curve[m]) else NA for m in metrics]
        if any(value != NA for value in values):
            rows.append([f"*{who}*", *values, "", "", ""])
    for item, cells in zip(items, ranked(items, metrics), strict=True):
        marked = [
            text + (" ✓" if item.mean(metric) < cheapest(results, metric)[1] else "")
            for metric, text in zip(metrics, cells, strict=True)
        ]
        size = f"{WEIGHT * item.mean('parameters') / 1000:,.0f}"
        rows.append([name(results, item), *marked, alone(item, metrics), size, breakeven(results, item)])
    raw = "JPEG, WebP and lossless WebP" if results.kind == "image" else "the raw values, rounded and coded like codes"
    return [
        "### Compression",
        "Bytes per image, at this psnr or a better one, of codes that are rounded and entropy-coded: one archive of "
        f"all test images, divided by their number. Beside it {raw}; ✓: fewer bytes than all of them. alone: "
        "of an archive of one image, at the lowest quality reached, to be compared with files. kB: of the learned "
        "values, 4 bytes each; pays from: the number of images whose saved bytes make up for these.",
        grid(["model", *(f"{metric.partition('/')[2]} dB" for metric in metrics), "alone", "kB", "pays from"], rows),
    ]


def budgets(results: Results) -> list[int]:
    """The numbers of labels that learners got."""
    found = {key.split("/")[1] for key in results.baselines.get("learners", {}).get("test", {})}
    return sorted(map(int, found))


def learners(results: Results) -> list[str]:
    """Errors of supervised learners on codes, beside raw values and PCA."""
    result: list[str] = []
    known = results.baselines.get("learners", {}).get("test", {})
    for n in budgets(results):
        items = [item for item in results.models if f"learner_error/{n}" in item.metrics]
        if not items:
            continue
        used = [each for each in LEARNERS if any(f"learner_error/{n}/{each}/" in key for key in known)]
        rows = [
            [f"*{FEATURES[kind]}*", *_errors(known, n, kind, used), *[""] * (len(used) + 2)] for kind in ("raw", "pca")
        ]
        raw = results.pictures.get(f"learner_error/{n}/logistic/raw")
        best = results.pictures[f"learner_error/{n}"]
        for item in items:
            means = {metric: item.mean(metric) for metric in item.metrics}
            own = [text for kind in ("code", "layers") for text in _errors(means, n, kind, used)]
            own_best, metric = chosen(item, f"learner_error/{n}/logistic"), f"learner_error/{n}"
            rows.append(
                [
                    name(results, item),
                    *own,
                    against(item.per_image[own_best], raw, item, metric) if raw is not None else NA,
                    against(item.per_image[metric], best, item, metric),
                ]
            )
        heads = [f"{LEARNERS[each]}{end}" for end in ("", ", all layers") for each in used]
        heads += ["logistic regression against raw values", "best against best"]
        result += [f"#### {n:,} labels", grid(["features", *heads], rows)]
    if not result:
        return []
    return [
        "### Features for a supervised learner",
        "Wrong test labels in %, of learners that got codes (or the activations of all hidden layers) instead of raw "
        "values. Logistic regression: on the better of the two by validation; best: of all learners and features by "
        "validation, against the best on raw values and PCA. Boosting is left out where it takes minutes.",
        *result,
    ]


def _errors(values: Mapping[str, float], labels: int, kind: str, used: Sequence[str]) -> list[str]:
    names = [f"learner_error/{labels}/{learner}/{kind}" for learner in used]
    return [number(values[each], each) if each in values else "" for each in names]


def text(found: Difference, metric: str) -> str:
    """A value with its 95% interval."""
    low, high = found.interval
    shown = [number(each, metric) for each in (found.value, low, min(high, spec(metric).most))]
    return shown[0] if math.isnan(found.margin) else f"{shown[0]} ({shown[1]} to {shown[2]})"
