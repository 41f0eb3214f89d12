"""Further sections of comparison.md, each left out if no entry has its metrics."""

from __future__ import annotations

from collections.abc import Sequence

from aelab.report.formatting import cell, given, grid, name, number, ranked, title
from aelab.report.metric_specs import spec
from aelab.report.results import Item, Results, spoken


def ink(results: Results) -> list[str]:
    """PSNR of foreground and background apart, and Keras' "accuracy"."""
    items = having(results, "psnr_foreground")
    if not items:
        return []
    columns = ("psnr_foreground", "psnr_background", "keras_accuracy")
    black = number(results.baselines["keras_accuracy"], "keras_accuracy")
    return [
        "### Foreground and background",
        "psnr in dB over the pixels above 0.5 in the clean image (foreground), and over the others (background). "
        "“accuracy”: the share in % of pixels with round(output) == input, as Keras prints it. It misleads: a black "
        f"image has {black}, and a grey pixel is never correct.",
        table(results, items, columns, (), [["*a black image*", "", "", black]]),
    ]


def restored(results: Results) -> list[str]:
    """Errors of the cells that a noise changed, of tables and series."""
    measured = results.baselines["denoising"]
    names = [
        f"{metric}/{noise}"
        for metric in ("restored_mse", "restored_error")
        for noise in results.noises
        if metric in measured[noise]["noisy"]
    ]
    if not names:
        return []
    rows = []
    for baseline in ("noisy", *results.filters):
        words = "the noisy image" if baseline == "noisy" else spoken(baseline)
        found = [measured[name.partition("/")[2]][baseline].get(name.partition("/")[0]) for name in names]
        rows.append([f"*{words}*", *("" if v is None else number(v, n) for v, n in zip(found, names, strict=True))])
    items = results.rebuilding
    rows += [[name(results, item), *cells] for item, cells in zip(items, ranked(items, names), strict=True)]
    return [
        "### Cells that the noise changed",
        "Squared error of numbers (1: as their mean) and wrong categories in %, over the changed cells alone. Where "
        "noise hides cells, those are filled and all others stay.",
        grid(["model", *(title(name) for name in names)], rows),
    ]


def forecasts(results: Results) -> list[str]:
    """The next step of series."""
    items = having(results, "next_step_mse")
    if not items:
        return []
    rows = [[f"*{name}*", number(value, "next_step_mse")] for name, value in results.baselines["next_step"].items()]
    return [
        "### The next step",
        "Squared error of the next step, predicted from those before it, from the ninth on. last value: the step "
        "before again; ridge AR(8): linear regression on the last 8 steps.",
        table(results, items, ("next_step_mse",), (), rows),
    ]


def ood(results: Results) -> list[str]:
    """Out-of-distribution images."""
    items = having(results, "ood_sse")
    if not items:
        return []
    rows = [
        [name(results, item), cell(item, "sse"), *cells, f"{results.pca(item, 'pca_ood_sse'):.2f}"]
        for item, cells in zip(items, ranked(items, ("ood_sse", "ood_ratio")), strict=True)
    ]
    ood = results.data["ood"]
    return [
        "## Out-of-distribution images",
        f"sse on {ood}, never seen in training, and on the test images. A ratio near 1: the model copies "
        f"any image. PCA: sse of PCA of the same latent dimension on {ood}.",
        grid(["model", "test images", ood, "ratio", "PCA"], rows),
    ]


def codes(results: Results) -> list[str]:
    """Few labels, no labels, pairs."""
    columns = ("few_labels_accuracy", "cluster_accuracy", "cluster_nmi", "cluster_ari")
    columns += ("infomax_accuracy", "same_class_accuracy")
    items = having(results, columns[0])
    if not items:
        return []
    baselines = [
        [f"*{baseline}*", *(number(result[column], column) for column in columns)]
        for baseline, result in results.baselines["probes"].items()
    ]
    sizes = results.baselines["sizes"]
    return [
        "### Few labels, clusters, pairs",
        f"In %. few labels: the linear probe with {sizes['labels']} images per class, mean over "
        f"{sizes['few_shot_repeats']} draws; clusters: accuracy of k-means, each cluster assigned a class by training "
        "labels; NMI, ARI: agreement of clusters and classes, 0 to 1. infomax: a small net distinguishes an image's "
        "own code from another's; same class: two codes of one class from two of different classes; 50 is chance.",
        table(results, items, columns, ("representation",), baselines),
    ]


def parts(results: Results) -> list[str]:
    """Probes of two-part codes, errors of hidden patches and of predicted rows."""
    result = []
    items, columns = having(results, "probe_content"), ("probe_content", "probe_style")
    if items:
        text = "Linear probe in % on each part of the code: the content should hold the class, the style should not."
        result += ["### Parts of a code", text, table(results, items, columns)]
    items = having(results, "hidden_mse")
    if items:
        mean_image = results.baselines["pca_sse"][0] / results.pixels
        text = "Squared error per hidden pixel, patches hidden at random; for the mean image, over all pixels."
        rows = [["*the mean image*", number(mean_image, "hidden_mse")]]
        result += ["### Hidden patches", text, table(results, items, ("hidden_mse",), ("reconstruction",), rows)]
    items = having(results, "predicted_mse")
    if items:
        text = "Squared error per pixel of the rows that are read, and of the rows below, which are predicted."
        result += ["### Predicted rows", text, table(results, items, ("read_mse", "predicted_mse"))]
    return result


def health(results: Results) -> list[str]:
    """Hidden units and codebooks."""
    items = [item for item in results.models if {"hidden_units", "codes"} & set(item.metrics)]
    if not items:
        return []
    columns = ("hidden_units", "dead_hidden", "codes", "dead_codes", "perplexity")
    return [
        "## Health",
        "hidden units: outputs of all activation layers, a channel counts once; dead: constant over the test images. "
        "codebook: its size; perplexity: the effective number of codes in use. Diagnoses: see [Warnings](#warnings).",
        table(results, items, columns, ("health",)),
    ]


def pseudo(results: Results) -> list[str]:
    """Pseudo-likelihoods."""
    items = having(results, "pseudo_likelihood")
    if not items:
        return []
    text = "The sum over pixels of ln p(pixel | all others), estimated, in nats per test image, rounded to 0 and 1."
    return ["### Pseudo-likelihood", text, table(results, items, ("pseudo_likelihood",), ("health",))]


def samples(results: Results) -> list[str]:
    """Metrics of generated images."""
    items, columns = (
        having(results, "frechet_distance"),
        ("frechet_distance", "precision", "recall", "fitted_frechet_distance"),
    )
    if not items:
        return []
    rows = [
        [f"*{baseline}*", "", *(given(result, column) for column in columns)]
        for baseline, result in results.baselines["generation"].items()
    ]
    for item, cells in zip(items, ranked(items, columns), strict=True):
        rows.append([name(results, item, "generation"), item.about["samples"], *cells])
    accuracy = 100 * results.baselines["feature_classifier_accuracy"]
    return [
        "### Samples",
        f"{results.baselines['sizes']['num_samples']:,} images per model against as many test images, in the features "
        f"of a small classifier of this data set ({accuracy:.1f}% accuracy). Fréchet distance: relative to the total "
        "variance of the test images; precision: the share of samples that are close to test images; recall: the share "
        "of test images that are close to samples. Models without a prior decode codes from N(0, I). Fitted codes: "
        "decoded codes from a gaussian with the mean and covariance of the codes of training images, for every model. "
        "Training images: what no sample can beat.",
        grid(["model", "from", *(spec(column).title for column in columns)], rows),
    ]


def classes(results: Results) -> list[str]:
    """Test errors of stacks by class."""
    names = results.data["classes"]
    columns = [f"class_error/{label}" for label in range(len(names))]
    stacks = [item for item in results.stacks if columns[0] in item.metrics]
    if not stacks:
        return []
    rows = [[item.name, *(f"{100 * item.mean(column):.1f}" for column in columns)] for item in stacks]
    return ["### Errors by class", "In %, with all labels, means over seeds.", grid(["stack", *names], rows)]


def having(results: Results, metric: str) -> list[Item]:
    """The models that have a metric."""
    return [item for item in results.models if metric in item.metrics]


def table(
    results: Results,
    items: Sequence[Item],
    columns: Sequence[str],
    groups: Sequence[str] = (),
    baselines: Sequence[Sequence[str]] = (),
) -> str:
    """Baselines, then a row per item; marked if it has a warning of one of `groups`."""
    rows = [[name(results, item, *groups), *cells] for item, cells in zip(items, ranked(items, columns), strict=True)]
    return grid(["model", *(spec(column).title for column in columns)], [*baselines, *rows])
