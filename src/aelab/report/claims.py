"""Claims of tutorials and papers about autoencoders, each tested on the metrics of two entries."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from aelab.report.formatting import gap, grid, title
from aelab.report.metric_specs import number, spec
from aelab.report.results import Results
from aelab.report.statistics import Estimate, difference, exact, of_seeds, of_shares

ALL_NOISES = "psnr/*"  # the mean over all test noises
EACH_NOISE = "psnr/"  # a row per test noise
FILTERS, PCA = "the best filters", "PCA"  # baselines that may take the place of an entry
CLEAR = ("holds", "does not hold")
OUTCOMES = (*CLEAR, "not decided")
WORDS = (
    "What tutorials say, with these parameters, on this data set: mean ± standard error over seeds (of test errors: "
    "over test images too). The difference of the two means, its 95% interval and degrees of freedom (df) are those of "
    "Welch's t; against filters and closed forms, which have no spread, of the one-sample t. Not decided: the interval "
    "contains 0, or a single seed does not say how far seeds differ. ↑ higher is better, ↓ lower."
)


@dataclass(frozen=True)
class Claim:
    """The claim that `better` is better than `worse` by `metric`: names of entries or baselines.

    words: the text; {ood} stands for the data set's OOD images.
    """

    words: str
    metric: str
    better: str
    worse: str


CLAIMS = (
    Claim("Trained with noise, the same net rebuilds {ood} better", "ood_sse", "dae_gaussian", "deep_ae_2d"),
    Claim("Trained with noise, the same net rebuilds {ood} better", "ood_sse", "dae_masking", "dae_0"),
    Claim("Trained with noise, the same net removes noise better", ALL_NOISES, "dae_masking", "dae_0"),
    Claim("A learnt denoiser beats classical filters on every noise", EACH_NOISE, "conv_dae", FILTERS),
    Claim("Sparse units denoise better than dense ones", ALL_NOISES, "sparse_kl", "dense_sigmoid"),
    Claim("ReLU rebuilds better than tanh", "sse", "conv", "conv_t1_tanh"),
    Claim("More numbers in the code, a better picture", "sse", "conv_bottleneck10", "conv_bottleneck4"),
    Claim("A deep net beats PCA with as many numbers", "sse", "hinton_ae", PCA),
    Claim("Without the KL term a variational net makes worse samples", "frechet_distance", "vae", "vae_no_kl"),
    Claim("Random codes of a plain net decode to worse images than a prior's", "frechet_distance", "vae", "ae"),
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
    """One side of a claim."""

    name: str
    value: Estimate


@dataclass(frozen=True)
class Verdict:
    """The result of testing a claim: `outcome` is one of OUTCOMES, `reason` why it is undecided, if not for the
    interval."""

    claim: str
    metric: str
    better: str
    worse: str
    difference: str
    df: str
    outcome: str
    reason: str


def section(results: Results) -> list[str]:
    """The claims whose entries exist; empty without any."""
    result = verdicts(results)
    if not result:
        return []
    rows = [
        [
            item.claim,
            item.metric,
            item.better,
            item.worse,
            item.difference,
            item.df,
            f"**{item.outcome}**" if item.outcome in CLEAR else ": ".join(filter(None, (item.outcome, item.reason))),
        ]
        for item in result
    ]
    head = ["claim", "by", "claimed to be better", "than", "difference (95% interval)", "df", "verdict"]
    return ["## Claims", WORDS, grid(head, rows)]


def verdicts(results: Results) -> list[Verdict]:
    """A verdict on each claim whose entries exist; one per test noise if the claim is about each noise."""
    result = []
    every = [
        replace(claim, metric=metric)
        for claim in CLAIMS
        for metric in ([f"psnr/{n}" for n in results.noises] if claim.metric == EACH_NOISE else [claim.metric])
    ]
    for claim in every:
        better, worse = side(results, claim.better, claim), side(results, claim.worse, claim)
        if better and worse:
            result.append(verdict(results, claim, better, worse))
    return result


def verdict(results: Results, claim: Claim, better: Side, worse: Side) -> Verdict:
    """Test one claim on two sides."""
    result, row = difference(better.value, worse.value), spec(claim.metric)
    gain = result.sign * {"higher": 1, "lower": -1}[row.direction]
    single = [item.name for item in (better, worse) if math.isnan(item.value.error)]
    text, df = gap(result, claim.metric)
    return Verdict(
        claim=claim.words.format(ood=results.data["ood"]),
        metric="psnr, all noises, dB ↑" if claim.metric == ALL_NOISES else f"{title(claim.metric)} {row.arrow}",
        better=f"{better.name} {shown(better.value, claim.metric)}",
        worse=f"{worse.name} {shown(worse.value, claim.metric)}",
        difference=text,
        df=df,
        outcome={1: "holds", -1: "does not hold", 0: "not decided"}[gain],
        reason=f"one seed of {' and '.join(single)}" if single else "",
    )


def side(results: Results, name: str, claim: Claim) -> Side | None:
    """The values of an entry or baseline; None if it does not exist or lacks the metric."""
    if name == FILTERS:
        noises = results.noises if claim.metric == ALL_NOISES else [claim.metric.removeprefix("psnr/")]
        return Side(name, exact(float(np.mean([results.best_filter(noise)[1] for noise in noises]))))
    item = results.items.get(claim.better if name == PCA else name)
    if item is None:
        return None
    if name == PCA:
        return Side(name, exact(results.pca(item)))
    every = claim.metric == ALL_NOISES
    values = results.over_noises(item.metrics) if every else item.metrics.get(claim.metric)
    if not values:
        return None
    if item.is_baseline:
        return Side(name, exact(float(np.mean(values))))
    if spec(claim.metric).name == "test_error":
        return Side(name, of_shares(values, results.baselines["test_images"]))
    return Side(name, of_seeds(values))


def shown(value: Estimate, metric: str) -> str:
    """mean ± standard error, as the tables print the metric."""
    text = number(value.mean, metric)
    return f"{text} ± {number(value.error, metric)}" if value.error > 0 else text
