"""The columns of the report's table: what each is called, what it means, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass

from aelab.report.cells import HIGHER, LOWER, SHARES
from aelab.report.results import Results, spoken

GROUPS = {  # key -> what a reader chooses
    "overview": "overview",
    "rebuilt": "reconstruction",
    "noise": "noise",
    "codes": "codes",
    "new": "new images",
    "labels": "stacks and labels",
    "health": "health and cost",
    "more": "noise, by ssim and ink",
}
OVERVIEW = (
    "code_numbers",
    "sse",
    "pca",
    "psnr",
    "probe_accuracy",
    "knn_accuracy",
    "frechet",
    "test_error/all",
    "parameters",
)
KNOWN = {  # metric, or what stands before its slash -> group, title, unit, meaning
    "code_numbers": ("rebuilt", "numbers", "", "how many numbers a code has"),
    "sse": ("rebuilt", "squared error", "", "per test image, values from 0 to 1, summed over pixels"),
    "pca": ("rebuilt", "PCA's", "", "squared error of PCA with as many numbers: the floor of the column before"),
    "mse": ("rebuilt", "mse", "", "squared error per pixel"),
    "bce": ("rebuilt", "bce", "nats", "cross-entropy per image, where outputs are bounded"),
    "psnr": ("rebuilt", "psnr", "dB", "peak signal to noise of the image rebuilt, mean over images"),
    "ssim": ("rebuilt", "ssim", "", "structural similarity, 1 at best"),
    "psnr_stroke": ("rebuilt", "psnr of strokes", "dB", "over the pixels that are bright in the clean image"),
    "psnr_blank": ("rebuilt", "psnr of blanks", "dB", "over the other pixels"),
    "keras_accuracy": (
        "rebuilt",
        "“accuracy”",
        "%",
        "pixels with round(output) = input; misleads, see the black image",
    ),
    "shift_sse": ("rebuilt", "strange images", "", "squared error on images of another kind, which nobody learnt"),
    "shift_ratio": ("rebuilt", "strange ratio", "", "that over the squared error; near 1 a model only copies"),
    "hidden_mse": ("rebuilt", "hidden pixels", "", "squared error per pixel of hidden patches"),
    "read_mse": ("rebuilt", "rows read", "", "squared error per pixel of the rows that are read"),
    "predicted_mse": ("rebuilt", "rows predicted", "", "of those below, which are predicted"),
    "probe_accuracy": ("codes", "linear probe", "%", "test accuracy of a linear classifier on the codes"),
    "knn_accuracy": ("codes", "kNN", "%", "test accuracy of the nearest training codes"),
    "few_labels_accuracy": ("codes", "few labels", "%", "of the linear probe, given few images per class"),
    "cluster_nmi": ("codes", "NMI", "", "k-means clusters of codes against classes, 0 to 1"),
    "cluster_ari": ("codes", "ARI", "", "the same, by the adjusted Rand index"),
    "cluster_accuracy": ("codes", "clusters", "%", "test accuracy when each cluster is given one class"),
    "pair_accuracy": (
        "codes",
        "image and code",
        "%",
        "a small net tells an image's own code from another's; chance: 50",
    ),
    "same_class_accuracy": ("codes", "same class", "%", "and two codes of one class from those of two; chance: 50"),
    "hoyer": ("codes", "hoyer", "", "sparsity of codes, 0 dense to 1 one-hot"),
    "active_share": ("codes", "active", "", "share of a code's numbers that are not at rest"),
    "dead_units": ("codes", "dead numbers", "", "at rest for every test image"),
    "probe_content": ("codes", "probe of content", "%", "linear probe on the part that is to hold the class"),
    "probe_style": ("codes", "probe of style", "%", "and on the part that is to miss it"),
    "frechet": ("new", "frechet", "", "distance of new images to test images, in features of a small classifier"),
    "precision": ("new", "precision", "", "share of new images that look like test images"),
    "recall": ("new", "recall", "", "share of test images that look like new images"),
    "negative_elbo": ("new", "negative ELBO", "nats", "distortion + rate, of the targets learnt on"),
    "distortion": ("new", "distortion", "nats", "what the code leaves unsaid, per image"),
    "rate": ("new", "rate", "nats", "what the code costs, per image"),
    "active_latents": ("new", "active latents", "", "those whose mean varies over test images"),
    "nll": ("new", "nll", "nats", "of binary test images, by importance sampling: an upper bound"),
    "nll_draws": ("new", "effective draws", "", "how many of that sampling's draws count"),
    "pseudo_likelihood": ("new", "pseudo-likelihood", "nats", "sum over pixels of ln p(pixel | all others)"),
    "test_error": ("labels", "test error", "%", "wrong test labels after fine-tuning with so many labels"),
    "class_error": ("labels", "wrong", "%", "test images of one class with a wrong label, all labels known"),
    "parameters": ("health", "parameters", "", "numbers learned"),
    "flops": ("health", "FLOPs", "", "operations to rebuild one image"),
    "code_bytes": ("health", "bytes", "", "of one code as it would be stored"),
    "hidden_units": ("health", "hidden units", "", "outputs of activation layers; a channel counts once"),
    "dead_hidden": ("health", "of them dead", "", "the same for every test image"),
    "codes": ("health", "codebook", "", "how many codes it holds"),
    "dead_codes": ("health", "never taken", "", "codes that no test image takes"),
    "perplexity": ("health", "perplexity", "", "how many codes are in even use"),
}


@dataclass(frozen=True)
class Column:
    """One metric. groups: keys of GROUPS that show it; better: higher, lower, or neither."""

    metric: str
    title: str
    meaning: str
    groups: tuple[str, ...]
    better: str


def columns(results: Results) -> list[Column]:
    """A column for every metric that some entry has, group by group."""
    metrics = dict.fromkeys(metric for item in results.items.values() for metric in item.metrics)
    names = [*KNOWN]
    if "sse" in metrics:
        metrics["pca"] = None

    def place(metric: str) -> tuple[int, int, int]:
        base, group = metric.partition("/")[0], _group(metric)
        return [*GROUPS].index(group), metric not in OVERVIEW, names.index(base) if base in names else len(names)

    return [_column(results, metric) for metric in sorted(metrics, key=place)]


def _group(metric: str) -> str:
    base, _, rest = metric.partition("/")
    if base.startswith(("psnr", "ssim")) and rest:
        return "noise" if base == "psnr" else "more"
    return KNOWN[base][0] if base in KNOWN else "health"


def _column(results: Results, metric: str) -> Column:
    base, _, rest = metric.partition("/")
    _, words, unit, meaning = KNOWN.get(base, ("", base.replace("_", " "), "%" if base in SHARES else "", ""))
    if base == "test_error":
        rest = "all labels" if rest == "all" else f"{results.budgets[rest]:,} labels"
    elif base == "class_error":
        rest = str(results.data["classes"][int(rest)])
    title = ", ".join(filter(None, (words, spoken(rest), unit)))
    better = "higher" if metric.startswith(HIGHER) else "lower" if metric.startswith(LOWER) else ""
    groups = (_group(metric), *(["overview"] if metric in OVERVIEW else []))
    return Column(metric, title, meaning, groups, better)
