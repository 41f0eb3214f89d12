"""The one table of metrics: name, title, meaning, direction, unit and format.

A metric is looked up by its base name, the part before the slash: `psnr/gaussian-0.5` is a `psnr`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class MetricSpec:
    """One metric.

    group: of the report's columns (see html/table_columns.py); noise_group: that of `<name>/<noise>`, if it differs.
    direction: which values are better; none if neither, or if the number alone does not say. format: of the printed
    value, which for `percent` is 100 times the value. count: a whole number, the same for every replicate. headline: in
    metrics/summary.json. overview: in the first view of the report's table. comparable_within: the key of metrics.json
    that two models must share to be ranked.
    """

    name: str
    title: str
    group: str
    meaning: str
    direction: Literal["higher", "lower", "none"] = "none"
    unit: str = ""
    format: str = ".2f"
    percent: bool = False
    count: bool = False
    headline: bool = False
    overview: bool = False
    comparable_within: str = ""
    noise_group: str = ""

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", "none": ""}[self.direction]


def _count(name: str, title: str, group: str, meaning: str, overview: bool = False) -> MetricSpec:
    return MetricSpec(name, title, group, meaning, format=",.0f", count=True, overview=overview)


def _accuracy(name: str, title: str, meaning: str, headline: bool = False, overview: bool = False) -> MetricSpec:
    return MetricSpec(
        name, title, "codes", meaning, "higher", "%", ".1f", percent=True, headline=headline, overview=overview
    )


TABLE = (
    _count("latent_dim", "numbers per code", "rebuilt", "how many numbers a code has", overview=True),
    MetricSpec(
        "sse",
        "squared error per image",
        "rebuilt",
        "of test images, values from 0 to 1, summed over pixels",
        "lower",
        headline=True,
        overview=True,
    ),
    MetricSpec(
        "pca",
        "PCA's",
        "rebuilt",
        "squared error of PCA with as many numbers: the baseline of the column before",
        overview=True,
    ),
    MetricSpec("mse", "mse", "rebuilt", "squared error per pixel", "lower", format=".4f"),
    MetricSpec("bce", "bce", "rebuilt", "cross-entropy per image, where outputs are bounded", "lower", "nats"),
    MetricSpec(
        "psnr",
        "psnr",
        "rebuilt",
        "peak signal to noise ratio of the rebuilt image, mean over images",
        "higher",
        "dB",
        headline=True,
        overview=True,
        noise_group="noise",
    ),
    MetricSpec(
        "ssim", "ssim", "rebuilt", "structural similarity, 1 at best", "higher", format=".3f", noise_group="more"
    ),
    MetricSpec(
        "psnr_foreground",
        "psnr of strokes",
        "rebuilt",
        "over the pixels that are bright in the clean image",
        "higher",
        "dB",
        noise_group="more",
    ),
    MetricSpec(
        "psnr_background", "psnr of blanks", "rebuilt", "over the other pixels", "higher", "dB", noise_group="more"
    ),
    MetricSpec(
        "keras_accuracy",
        "“accuracy”",
        "rebuilt",
        "pixels with round(output) = input; misleads, see the black image",
        unit="%",
        format=".1f",
        percent=True,
    ),
    MetricSpec("ood_sse", "squared error per ood image", "rebuilt", "of images of another kind", "lower"),
    MetricSpec("ood_ratio", "ood ratio", "rebuilt", "that over the squared error; near 1 a model only copies"),
    MetricSpec("hidden_mse", "hidden pixels", "rebuilt", "squared error per hidden pixel", "lower", format=".4f"),
    MetricSpec("read_mse", "rows read", "rebuilt", "squared error per pixel of rows read", "lower", format=".4f"),
    MetricSpec("predicted_mse", "rows predicted", "rebuilt", "of those below, predicted", "lower", format=".4f"),
    _accuracy(
        "probe_accuracy",
        "linear probe",
        "test accuracy of a linear classifier on the codes",
        headline=True,
        overview=True,
    ),
    _accuracy("knn_accuracy", "kNN", "test accuracy of the nearest training codes", overview=True),
    _accuracy("few_labels_accuracy", "few labels", "of the linear probe, given few images per class"),
    MetricSpec("cluster_nmi", "NMI", "codes", "k-means clusters of codes against classes, 0 to 1", "higher"),
    MetricSpec("cluster_ari", "ARI", "codes", "the same, by the adjusted Rand index", "higher"),
    _accuracy("cluster_accuracy", "clusters", "test accuracy when each cluster is given one class"),
    _accuracy(
        "infomax_accuracy",
        "image and code",
        "a small net tells an image's own code from another's; chance: 50",
    ),
    _accuracy("same_class_accuracy", "same class", "and two codes of one class from those of two; chance: 50"),
    MetricSpec("hoyer_sparsity", "hoyer_sparsity", "codes", "sparsity of codes, 0 dense to 1 one-hot"),
    MetricSpec("active_share", "active", "codes", "share of a code's numbers that are not at rest"),
    MetricSpec("dead_units", "dead numbers", "codes", "at rest for every test image", format=".1f"),
    _accuracy("probe_content", "probe of content", "linear probe on the part that is to hold the class"),
    MetricSpec(
        "probe_style",
        "probe of style",
        "codes",
        "and on the part that is to miss it",
        "lower",
        "%",
        ".1f",
        percent=True,
    ),
    MetricSpec(
        "frechet_distance",
        "frechet_distance",
        "new",
        "distance of new images to test images, in features of a small classifier",
        "lower",
        format=".3f",
        overview=True,
    ),
    MetricSpec("precision", "precision", "new", "share of new images that look like test images", "higher"),
    MetricSpec("recall", "recall", "new", "share of test images that look like new images", "higher"),
    MetricSpec(
        "negative_elbo",
        "negative ELBO",
        "new",
        "distortion + rate, of the targets learnt on",
        "lower",
        "nats",
        headline=True,
        comparable_within="targets",
    ),
    MetricSpec(
        "distortion",
        "distortion",
        "new",
        "what the code leaves unsaid, per image",
        unit="nats",
        comparable_within="targets",
    ),
    MetricSpec("rate", "rate", "new", "what the code costs, per image", unit="nats"),
    MetricSpec("active_latents", "active latents", "new", "those whose mean varies over test images", format=".1f"),
    MetricSpec("nll", "nll", "new", "of binary test images, by importance sampling: an upper bound", "lower", "nats"),
    MetricSpec(
        "ess",
        "effective draws",
        "new",
        "effective sample size: how many of that sampling's draws count",
        "higher",
        format=".1f",
    ),
    MetricSpec(
        "pseudo_likelihood",
        "pseudo-likelihood",
        "new",
        "sum over pixels of ln p(pixel | all others)",
        "higher",
        "nats",
    ),
    MetricSpec(
        "test_error",
        "test error",
        "labels",
        "wrong test labels after fine-tuning with so many labels",
        "lower",
        "%",
        percent=True,
        headline=True,
        overview=True,
    ),
    MetricSpec(
        "class_error",
        "wrong",
        "labels",
        "test images of one class with a wrong label, all labels known",
        "lower",
        "%",
        ".1f",
        percent=True,
    ),
    _count("parameters", "parameters", "health", "numbers learned", overview=True),
    _count("flops", "FLOPs", "health", "operations to rebuild one image"),
    _count("code_bytes", "bytes per code", "health", "of one code as it would be stored"),
    _count("hidden_units", "hidden units", "health", "outputs of activation layers; a channel counts once"),
    MetricSpec("dead_hidden", "of them dead", "health", "the same for every test image", format=".1f"),
    _count("codes", "codebook", "health", "how many codes it holds"),
    MetricSpec("dead_codes", "never taken", "health", "codes that no test image takes", format=".1f"),
    MetricSpec("perplexity", "perplexity", "health", "how many codes are in even use", format=".1f"),
)
SPECS = {row.name: row for row in TABLE}


def spec(metric: str) -> MetricSpec:
    """The spec of a metric such as "psnr/gaussian-0.5". Raises ValueError for an unknown one."""
    base = metric.partition("/")[0]
    if base not in SPECS:
        raise ValueError(f"metric {metric!r}: no line {base!r} in the table of aelab/report/metric_specs.py")
    return SPECS[base]


def headline(metric: str) -> bool:
    """Whether a metric is in metrics/summary.json: without noise, with any number of labels."""
    return spec(metric).headline and ("/" not in metric or metric.startswith("test_error/"))


def number(value: float, metric: str, sign: str = "") -> str:
    """A value as printed. sign "+": with a sign for positive ones too."""
    row = spec(metric)
    return format(100 * value if row.percent else value, sign + row.format)
