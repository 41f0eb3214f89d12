"""What tutorials claim of autoencoders, each claim held against the numbers of two entries."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from aelab.report.cells import HIGHER, grid, number
from aelab.report.results import Item, Results

T = 2.78  # Student's t, 95%, of three seeds on either side
ALL_NOISES = "psnr/*"  # the mean over all test noises
EACH_NOISE = "psnr/"  # a row per test noise
FILTERS, PCA = "the best filters", "PCA"  # floors that stand in for an entry
CLEAR = ("holds", "does not hold")
OUTCOMES = (*CLEAR, "within noise", "one seed: not known")
WORDS = (
    "What tutorials say, with these parameters, on this data set: mean ± standard error over seeds. Within noise: "
    f"the means differ by less than {T} standard errors of their difference (three seeds a side, 95%)."
)


@dataclass(frozen=True)
class Claim:
    """`better` is said to be better than `worse` by `metric`: names of entries, or a floor.

    words: {strange} stands for what is strange to the data set.
    """

    words: str
    metric: str
    better: str
    worse: str


CLAIMS = (
    Claim("Trained with noise, the same net rebuilds {strange} better", "shift_sse", "dae_gaussian", "stacked_ae"),
    Claim("Trained with noise, the same net rebuilds {strange} better", "shift_sse", "dae_masking", "dae_0"),
    Claim("Trained with noise, the same net removes noise better", ALL_NOISES, "dae_masking", "dae_0"),
    Claim("A learnt denoiser beats classical filters on every noise", EACH_NOISE, "conv_dae", FILTERS),
    Claim("Sparse units denoise better than dense ones", ALL_NOISES, "sparse_kl", "dense_sigmoid"),
    Claim("ReLU rebuilds better than tanh", "sse", "conv", "conv_t1_tanh"),
    Claim("More numbers in the code, a better picture", "sse", "conv_bottleneck10", "conv_bottleneck4"),
    Claim("A deep net beats PCA with as many numbers", "sse", "hinton_ae", PCA),
    Claim("Without the KL term a variational net makes worse samples", "frechet", "vae", "vae_no_kl"),
    Claim("Random codes of a plain net decode to worse images than a prior's", "frechet", "vae", "ae"),
    Claim(
        "Weight decay makes better codes of a net wide enough to copy",
        "probe_accuracy",
        "ae_weight_decay",
        "overcomplete_ae",
    ),
    Claim("Dropout makes better codes of a net wide enough to copy", "probe_accuracy", "ae_dropout", "overcomplete_ae"),
    Claim("Noise in training makes better codes", "probe_accuracy", "dae_masking", "dae_0"),
    Claim("Pretraining helps", "test_error/all", "stack_ae", "stack_random"),
    Claim("Pretraining with noise helps more", "test_error/all", "stack_dae", "stack_ae"),
)


@dataclass(frozen=True)
class Side:
    """One side of a claim: a mean, its standard error (NaN where a single seed hides it)."""

    name: str
    mean: float
    error: float


@dataclass(frozen=True)
class Verdict:
    """A claim held against the numbers, in words; `outcome` is one of OUTCOMES."""

    claim: str
    metric: str
    better: str
    worse: str
    outcome: str


def section(results: Results) -> list[str]:
    """The claims whose entries are there; none, no section."""
    found = verdicts(results)
    if not found:
        return []
    rows = [
        [
            each.claim,
            each.metric,
            each.better,
            each.worse,
            f"**{each.outcome}**" if each.outcome in CLEAR else each.outcome,
        ]
        for each in found
    ]
    return ["## Claims", WORDS, grid(["claim", "by", "said to be better", "than", "verdict"], rows)]


def verdicts(results: Results) -> list[Verdict]:
    """A verdict on each claim whose entries are there; one per test noise where the claim is about each."""
    found = []
    every = [
        replace(claim, metric=metric)
        for claim in CLAIMS
        for metric in ([f"psnr/{n}" for n in results.noises] if claim.metric == EACH_NOISE else [claim.metric])
    ]
    for claim in every:
        better, worse = side(results, claim.better, claim), side(results, claim.worse, claim)
        if better and worse:
            metric = "psnr, all noises" if claim.metric == ALL_NOISES else claim.metric.replace("/", ", ")
            metric = metric.replace("salt_pepper", "salt & pepper").replace("_", " ")
            left, right = (f"{each.name} {shown(each, claim.metric)}" for each in (better, worse))
            words = claim.words.format(strange=results.data["strange"])
            found.append(Verdict(words, metric, left, right, outcome(claim, better, worse)))
    return found


def side(results: Results, name: str, claim: Claim) -> Side | None:
    """The numbers of an entry or floor; None where it is missing or lacks the metric."""
    if name == FILTERS:
        noises = results.noises if claim.metric == ALL_NOISES else [claim.metric.removeprefix("psnr/")]
        return Side(name, float(np.mean([results.best_filter(noise)[1] for noise in noises])), 0.0)
    item = results.items.get(claim.better if name == PCA else name)
    if item is None:
        return None
    if name == PCA:
        return Side(name, results.pca(item), 0.0)
    found = values(results, item, claim.metric)
    if found is None:
        return None
    error = math.nan if len(found) == 1 else float(np.std(found, ddof=1)) / math.sqrt(len(found))
    if claim.metric.startswith("test_error/"):  # also another draw of test images
        share = float(np.mean(found))
        error = math.hypot(error, math.sqrt(share * (1 - share) / results.floors["test_images"]))
    return Side(name, float(np.mean(found)), 0.0 if item.is_floor else error)


def values(results: Results, item: Item, metric: str) -> list[float] | None:
    """A value per replicate, or None."""
    if metric == ALL_NOISES:
        columns = [item.metrics.get(f"psnr/{noise}") for noise in results.noises]
        return None if not columns or None in columns else np.mean(columns, 0).tolist()  # type: ignore[arg-type]
    return item.metrics.get(metric)


def outcome(claim: Claim, better: Side, worse: Side) -> str:
    """One of OUTCOMES; with one seed nothing can be said."""
    gain = (better.mean - worse.mean) * (1 if claim.metric.startswith(HIGHER) else -1)
    margin = T * math.hypot(better.error, worse.error)
    if math.isnan(margin):
        return "one seed: not known"
    return "within noise" if abs(gain) <= margin else "holds" if gain > 0 else "does not hold"


def shown(side: Side, metric: str) -> str:
    """mean ± standard error, as the tables print the metric."""
    text = number(side.mean, metric)
    return text if not side.error > 0 else f"{text} ± {number(side.error, metric)}"
