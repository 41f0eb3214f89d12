"""The one table of metrics: name, title, meaning, direction, unit and format.

A metric is looked up by its base name, the part before the slash: `psnr/gaussian-0.5` is a `psnr`.
"""

from __future__ import annotations

from aelab.report.metric_spec import MetricSpec, accuracy, count

TABLE = (
    count("latent_dim", "latent dimension", "reconstruction", "numbers per code", overview=True),
    MetricSpec(
        "sse",
        "squared error per image",
        "reconstruction",
        "of test images, values from 0 to 1, summed over pixels",
        "lower",
        headline=True,
        overview=True,
    ),
    MetricSpec(
        "pca",
        "PCA sse",
        "reconstruction",
        "squared error of PCA of the same latent dimension: the baseline of the column before",
        overview=True,
    ),
    MetricSpec("mse", "mse", "reconstruction", "squared error per pixel", "lower", format=".4f"),
    MetricSpec("bce", "bce", "reconstruction", "cross-entropy per image, where outputs are bounded", "lower", "nats"),
    MetricSpec(
        "psnr",
        "psnr",
        "reconstruction",
        "peak signal-to-noise ratio of the reconstruction, mean over images",
        "higher",
        "dB",
        headline=True,
        overview=True,
        noise_group="noise",
    ),
    MetricSpec(
        "ssim", "ssim", "reconstruction", "structural similarity, 1 at best", "higher", format=".3f", noise_group="more"
    ),
    MetricSpec(
        "psnr_foreground",
        "psnr, foreground",
        "reconstruction",
        "over the pixels that are bright in the clean image",
        "higher",
        "dB",
        noise_group="more",
    ),
    MetricSpec(
        "psnr_background",
        "psnr, background",
        "reconstruction",
        "over the other pixels",
        "higher",
        "dB",
        noise_group="more",
    ),
    MetricSpec(
        "keras_accuracy",
        "“accuracy”",
        "reconstruction",
        "pixels with round(output) = input; misleads, see the black image",
        unit="%",
        format=".1f",
        percent=True,
    ),
    MetricSpec(
        "restored_mse",
        "restored cells",
        "noise",
        "squared error of the numbers that the noise changed; 1: as the mean",
        "lower",
        format=".3f",
    ),
    MetricSpec(
        "restored_error",
        "restored categories",
        "noise",
        "wrong ones among the categories that the noise changed",
        "lower",
        "%",
        format=".1f",
        percent=True,
    ),
    MetricSpec(
        "category_error", "categories", "reconstruction", "wrong categories", "lower", "%", format=".1f", percent=True
    ),
    MetricSpec("ood_sse", "squared error per OOD image", "reconstruction", "of out-of-distribution images", "lower"),
    MetricSpec("ood_ratio", "OOD ratio", "reconstruction", "that over the squared error; near 1 a model only copies"),
    MetricSpec(
        "hidden_mse", "hidden pixels", "reconstruction", "squared error per hidden pixel", "lower", format=".4f"
    ),
    MetricSpec(
        "read_mse", "rows read", "reconstruction", "squared error per pixel of rows read", "lower", format=".4f"
    ),
    MetricSpec(
        "next_step_mse",
        "next step",
        "reconstruction",
        "squared error of the next step, predicted from those before",
        "lower",
        format=".4f",
    ),
    MetricSpec("predicted_mse", "rows predicted", "reconstruction", "of those below, predicted", "lower", format=".4f"),
    accuracy(
        "probe_accuracy",
        "linear probe",
        "test accuracy of a linear classifier on the codes",
        headline=True,
        overview=True,
    ),
    accuracy("knn_accuracy", "kNN", "test accuracy of the nearest training codes", overview=True),
    accuracy("few_labels_accuracy", "few labels", "of the linear probe, given few images per class"),
    MetricSpec("cluster_nmi", "NMI", "codes", "k-means clusters of codes against classes, 0 to 1", "higher"),
    MetricSpec("cluster_ari", "ARI", "codes", "the same, by the adjusted Rand index", "higher"),
    accuracy("cluster_accuracy", "clusters", "test accuracy when each cluster is given one class"),
    accuracy("infomax_accuracy", "infomax", "a small net distinguishes an image's own code from another's; chance: 50"),
    accuracy(
        "same_class_accuracy", "same class", "and two codes of one class from two of different classes; chance: 50"
    ),
    accuracy("precision_at_10", "precision at 10", "share of the image's class among the 10 nearest training codes"),
    MetricSpec(
        "mean_average_precision",
        "mean average precision",
        "codes",
        "of the ranking of all training codes by their distance, 1 at best",
        "higher",
        format=".3f",
    ),
    MetricSpec("hoyer_sparsity", "Hoyer sparsity", "codes", "sparsity of codes, 0 dense to 1 one-hot"),
    MetricSpec("active_share", "active", "codes", "share of code units that are not inactive"),
    MetricSpec("dead_units", "dead units", "codes", "inactive for every test image", format=".1f"),
    accuracy("probe_content", "probe of content", "linear probe of the part that should hold the class"),
    MetricSpec(
        "probe_style", "probe of style", "codes", "and of the part that should not", "lower", "%", ".1f", percent=True
    ),
    MetricSpec(
        "frechet_distance",
        "Fréchet distance",
        "generation",
        "distance of generated images to test images, in features of a small classifier",
        "lower",
        format=".3f",
        overview=True,
    ),
    MetricSpec(
        "fitted_frechet_distance",
        "Fréchet distance, fitted codes",
        "generation",
        "the same for decoded codes from a gaussian fitted to the codes of training images",
        "lower",
        format=".3f",
    ),
    MetricSpec(
        "precision", "precision", "generation", "share of generated images that are close to test images", "higher"
    ),
    MetricSpec("recall", "recall", "generation", "share of test images that are close to generated images", "higher"),
    MetricSpec(
        "negative_elbo",
        "negative ELBO",
        "generation",
        "distortion + rate, for the targets of training",
        "lower",
        "nats",
        headline=True,
        comparable_within="targets",
    ),
    MetricSpec(
        "distortion",
        "distortion",
        "generation",
        "reconstruction error given the code, per image",
        unit="nats",
        comparable_within="targets",
    ),
    MetricSpec("rate", "rate", "generation", "information in the code, per image", unit="nats"),
    MetricSpec(
        "active_latents", "active latents", "generation", "those whose mean varies over test images", format=".1f"
    ),
    MetricSpec(
        "nll", "nll", "generation", "of binary test images, by importance sampling: an upper bound", "lower", "nats"
    ),
    MetricSpec("ess", "ESS", "generation", "effective sample size of that sampling", "higher", format=".1f"),
    MetricSpec(
        "pseudo_likelihood",
        "pseudo-likelihood",
        "generation",
        "sum over pixels of ln p(pixel | all others)",
        "higher",
        "nats",
    ),
    MetricSpec(
        "test_error",
        "test error",
        "labels",
        "wrong test labels after fine-tuning with this number of labels",
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
    MetricSpec(
        "auroc",
        "AUROC",
        "anomalies",
        "how often an anomaly has a higher score than a normal test image; 0.5 is chance",
        "higher",
        format=".3f",
        overview=True,
    ),
    MetricSpec(
        "average_precision",
        "average precision",
        "anomalies",
        "mean share of anomalies above a threshold, over all that find one anomaly more",
        "higher",
        format=".3f",
    ),
    MetricSpec(
        "false_alarms",
        "false alarms",
        "anomalies",
        "normal test images above the threshold that 1% of validation images exceed",
        unit="%",
        percent=True,
    ),
    MetricSpec(
        "bytes_at",
        "bytes",
        "compression",
        "per image of an archive of compressed codes, at this quality or better",
        "lower",
        format=".1f",
    ),
    MetricSpec(
        "learner_error",
        "learner error",
        "learners",
        "wrong test labels of a supervised learner on codes, or on all layers",
        "lower",
        "%",
        ".1f",
        percent=True,
    ),
    count("parameters", "parameters", "health", "learned values", overview=True),
    count("flops", "FLOPs", "health", "operations to reconstruct one image"),
    count("code_bytes", "bytes per code", "health", "of one stored code"),
    count("hidden_units", "hidden units", "health", "outputs of activation layers; a channel counts once"),
    MetricSpec("dead_hidden", "of them dead", "health", "constant over the test images", format=".1f"),
    count("codes", "codebook", "health", "how many codes it holds"),
    MetricSpec("dead_codes", "unused codes", "health", "codes that no test image uses", format=".1f"),
    MetricSpec("perplexity", "perplexity", "health", "effective number of codes in use", format=".1f"),
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
