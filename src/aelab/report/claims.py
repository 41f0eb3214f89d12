"""Claims of tutorials and papers about autoencoders, each tested on the metrics of pairs of entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from aelab.report.formatting import gap, grid, title
from aelab.report.metric_specs import number, spec
from aelab.report.results import Results
from aelab.report.statistics import Difference, Estimate, difference, exact, of_seeds, of_shares, paired

ALL_NOISES = "psnr/*"  # the mean over all test noises
EACH_NOISE = "psnr/"  # a comparison per test noise
EACH_BUDGET = "test_error/"  # a comparison per number of labels
FILTERS, PCA = "the best filters", "PCA"  # baselines that may take the place of an entry
Outcome = Literal["holds", "does not hold", "not decided"]
OUTCOMES: tuple[Outcome, ...] = ("holds", "does not hold", "not decided")
MARKS = {"holds": "✓", "does not hold": "✗", "not decided": "≈"}
WORDS = (
    "What tutorials and papers say, with these parameters, on this data set. Each comparison: means ± standard error "
    "over seeds (of test errors: over test images too), their difference, its 95% interval and degrees of freedom (df) "
    "by Welch's t; against filters and closed forms, which have no spread, by the one-sample t; of test errors by a "
    "paired t over seeds and test images. ✓ the interval is on the claimed side of 0; ✗ on the other; ≈ it contains "
    "0, or a single seed does not say how far seeds differ. Of a claim that two are alike: ✓ the interval is in the "
    "given share of the second, ✗ outside. A claim holds if all its comparisons do, does not hold if one is ✗, and is "
    "else not decided. ↑ higher is better, ↓ lower."
)


@dataclass(frozen=True)
class Pair:
    """The test that `first` is better than `second` by `metric`: names of entries or baselines.

    within: that they are alike instead, up to this share of the second. higher: that the first is higher, of a metric
    that has no better side. second_metric: of the second, if it is another one.
    """

    metric: str
    first: str
    second: str
    within: float = 0.0
    higher: bool = False
    second_metric: str = ""


@dataclass(frozen=True)
class Claim:
    """A claim, who makes it, the figure that shows it, and the tests that decide it.

    words: {ood} stands for the data set's OOD images.
    """

    words: str
    source: str
    figure: str
    tests: tuple[Pair, ...]


DEZEMING = "Dezeming 2021"
NOTES = "Autoencoder notes 2018"
PRINCIPLES = "Several AutoEncoder principles 2019"
HANDBOOK = "The Deep Learning Architect's Handbook"
DEEP = ("hinton_ae", "tied_ae", "hinton_ae_best", "deep_ae", "deep_ae_2d", "unrolled_rbm", "unrolled_ae")
CLAIMS = (
    Claim(
        "A deep net rebuilds better than PCA with as many numbers",
        "Hinton & Salakhutdinov 2006",
        "pca",
        tuple(Pair("sse", name, PCA) for name in DEEP),
    ),
    Claim(
        "At 2 numbers, a deep net rebuilds better than a shallow one",
        f"{NOTES}, 2.5",
        "codes",
        (Pair("sse", "deep_ae_2d", "ae_2d"), Pair("sse", "unrolled_rbm_2", "ae_2d")),
    ),
    Claim(
        "A linear autoencoder is PCA",
        "Baldi & Hornik 1989",
        "pca",
        (Pair("sse", "linear_ae", PCA, within=0.02),),
    ),
    Claim(
        "Tied weights rebuild as well as free ones",
        f"{PRINCIPLES}, 1",
        "reconstructions",
        (Pair("sse", "tied_ae", "hinton_ae", within=0.05),),
    ),
    Claim(
        "A deep net no longer needs to start from RBMs",
        "Martens 2010",
        "curves",
        (Pair("sse", "unrolled_random", "unrolled_rbm", within=0.05),),
    ),
    Claim(
        "Convolutions rebuild better than a dense net from as many numbers",
        "Learn deep learning with PyTorch",
        "quality",
        (Pair("sse", "conv32", "ae"),),
    ),
    Claim("ReLU rebuilds better than tanh", f"{DEZEMING}, 2.2", "curves", (Pair("sse", "conv", "conv_t1_tanh"),)),
    Claim(
        "More numbers in the code, a better picture",
        HANDBOOK,
        "capacity",
        (Pair("sse", "conv_bottleneck10", "conv_bottleneck4"),),
    ),
    Claim(
        "Trained with a noise, the same net removes it better",
        f"{NOTES}, 5.4",
        "denoising",
        (
            Pair("psnr/masking-0.25", "dae_masking", "dae_0"),
            Pair("psnr/salt_pepper-0.1", "dae_salt_pepper", "dae_0"),
            Pair("psnr/gaussian-0.5", "dae_gaussian", "deep_ae_2d"),
            Pair(ALL_NOISES, "conv_dae", "conv_ae"),
        ),
    ),
    Claim(
        "A learned denoiser beats classical filters on every noise",
        f"{DEZEMING}, 1.3",
        "denoising",
        (Pair(EACH_NOISE, "conv_dae", FILTERS),),
    ),
    Claim(
        "Trained with noise, the same net rebuilds {ood} better",
        f"{NOTES}, 5.5",
        "noise-transfer",
        (
            Pair("ood_sse", "dae_masking", "dae_0"),
            Pair("ood_sse", "dae_gaussian", "deep_ae_2d"),
            Pair("ood_sse", "conv_dae", "conv_ae"),
        ),
    ),
    Claim(
        "Noise in training makes better codes",
        "Vincent et al. 2008",
        "filters",
        (
            Pair("probe_accuracy", "dae_masking", "dae_0"),
            Pair("probe_accuracy", "overcomplete_dae", "overcomplete_ae"),
        ),
    ),
    Claim(
        "A net wide enough to copy does; noise and weight decay stop it (error on {ood} over its own error)",
        f"{NOTES}, 1.4 and 5.5",
        "reconstructions",
        (
            Pair("ood_ratio", "overcomplete_dae", "overcomplete_ae", higher=True),
            Pair("ood_ratio", "ae_weight_decay", "overcomplete_ae", higher=True),
        ),
    ),
    Claim(
        "Weight decay and dropout make better codes of a net wide enough to copy",
        f"{NOTES}, 4.4 and 5.2",
        "reconstructions",
        (
            Pair("probe_accuracy", "ae_weight_decay", "overcomplete_ae"),
            Pair("probe_accuracy", "ae_dropout", "overcomplete_ae"),
        ),
    ),
    Claim(
        "Sparse codes tell classes apart better than dense ones",
        f"{PRINCIPLES}, 3",
        "units",
        (
            Pair("probe_accuracy", "sparse_kl", "dense_sigmoid"),
            Pair("probe_accuracy", "sparse_kl_patches", "dense_patches"),
        ),
    ),
    Claim(
        "Trained with the same noise, sparse units denoise better than dense ones, strokes above all",
        f"{PRINCIPLES}, 3, figures 13 and 14",
        "units",
        (
            Pair("psnr/salt-0.1", "sparse_noisy", "dense_noisy"),
            Pair("psnr_foreground/salt-0.1", "sparse_noisy", "dense_noisy"),
        ),
    ),
    Claim(
        "An L1 penalty on activations adds little to a deep net",
        f"{NOTES}, 4.6",
        "curves",
        (Pair("sse", "sparse_l1", "deep_ae_2d", within=0.05),),
    ),
    Claim(
        "Without the KL term a variational net makes worse samples",
        f"{PRINCIPLES}, 4",
        "samples",
        (Pair("frechet_distance", "vae", "vae_no_kl"),),
    ),
    Claim(
        "Codes from N(0, I) decode to worse images through a plain net than through a variational one",
        "Learn deep learning with PyTorch",
        "samples",
        (Pair("frechet_distance", "vae", "ae"),),
    ),
    Claim(
        "So do codes from a gaussian that is fitted to the plain net's",
        "Ghosh et al. 2020",
        "samples",
        (Pair("frechet_distance", "vae", "ae", second_metric="fitted_frechet_distance"),),
    ),
    Claim(
        "Pretraining helps",
        f"{DEZEMING}, 1.2; Hinton et al. 2006",
        "labels",
        (Pair(EACH_BUDGET, "stack_ae", "stack_random"), Pair(EACH_BUDGET, "stack_rbm", "stack_random")),
    ),
    Claim(
        "Pretraining with noise helps more",
        "Vincent et al. 2008",
        "labels",
        (Pair(EACH_BUDGET, "stack_dae", "stack_ae"),),
    ),
    Claim(
        "Max pooling learns better convolutional features than average pooling",
        "Masci et al. 2011",
        "labels",
        (Pair(EACH_BUDGET, "stack_conv", "stack_conv_average"),),
    ),
)


@dataclass(frozen=True)
class Side:
    """One side of a test."""

    name: str
    value: Estimate


@dataclass(frozen=True)
class Comparison:
    """The result of one test, as printed. outcome: one of OUTCOMES; reason: why it is undecided, if not for the
    interval."""

    metric: str
    first: str
    second: str
    difference: str
    df: str
    outcome: Outcome
    reason: str

    @property
    def text(self) -> str:
        """One line: mark, sides, difference."""
        df = "" if self.df == "n/a" else f", df {self.df}"
        why = f" ({self.reason})" if self.reason else ""
        return f"{MARKS[self.outcome]} {self.first} against {self.second}, {self.metric}: {self.difference}{df}{why}"


@dataclass(frozen=True)
class Verdict:
    """The result of a claim."""

    claim: str
    source: str
    figure: str
    comparisons: tuple[Comparison, ...]

    @property
    def outcome(self) -> Outcome:
        found = {comparison.outcome for comparison in self.comparisons}
        return next(word for word in ("does not hold", "not decided", "holds") if word in found)

    @property
    def count(self) -> str:
        """In how many comparisons it holds, of several."""
        holds = sum(comparison.outcome == "holds" for comparison in self.comparisons)
        return f"{holds} of {len(self.comparisons)}" if len(self.comparisons) > 1 else ""


def section(results: Results) -> list[str]:
    """The claims whose entries exist, one row each; empty without any."""
    result = verdicts(results)
    if not result:
        return []
    rows = [
        [
            item.claim,
            item.source,
            f"**{item.outcome}**" + (f", {item.count}" if item.count else ""),
            "<br>".join(comparison.text for comparison in item.comparisons),
        ]
        for item in result
    ]
    return ["## Claims", WORDS, grid(["claim", "source", "verdict", "comparisons"], rows)]


def verdicts(results: Results) -> list[Verdict]:
    """A verdict on each claim of which some test's entries exist."""
    result = []
    for claim in CLAIMS:
        found = [compare(results, test) for test in _expanded(results, claim.tests)]
        if comparisons := tuple(item for item in found if item):
            words = claim.words.format(ood=results.data["ood"])
            result.append(Verdict(words, claim.source, claim.figure, comparisons))
    return result


def _expanded(results: Results, tests: Sequence[Pair]) -> list[Pair]:
    """The tests, one per noise or label budget where they are about each."""
    ends = {EACH_NOISE: results.noises, EACH_BUDGET: list(results.budgets)}
    return [replace(test, metric=test.metric + end) for test in tests for end in ends.get(test.metric, [""])]


def compare(results: Results, test: Pair) -> Comparison | None:
    """The result of one test; None if a side does not exist or lacks the metric."""
    first = side(results, test.first, test.metric, test)
    second = side(results, test.second, test.second_metric or test.metric, test)
    if not first or not second:
        return None
    gained = _difference(results, test, first, second)
    single = [item.name for item in (first, second) if math.isnan(item.value.error)]
    text, df = gap(gained, test.metric)
    row = spec(test.metric)
    metric = "psnr, all noises, dB" if test.metric == ALL_NOISES else title(test.metric)
    return Comparison(
        metric=f"{metric} {'' if test.within or test.higher else row.arrow}".strip()
        + (f", within {test.within:.0%}" if test.within else ""),
        first=f"{first.name} {shown(first.value, test.metric)}",
        second=f"{second.name} {shown(second.value, test.metric)}",
        difference=text,
        df=df,
        outcome=_outcome(test, gained, second.value.mean),
        reason=f"one seed of {' and '.join(single)}" if single else "",
    )


def _difference(results: Results, test: Pair, first: Side, second: Side) -> Difference:
    a, b = (results.items.get(name) for name in (test.first, test.second))
    if a and b and test.metric.startswith(EACH_BUDGET) and test.metric in a.per_image and test.metric in b.per_image:
        return paired(a.per_image[test.metric], b.per_image[test.metric])
    return difference(first.value, second.value)


def _outcome(test: Pair, gained: Difference, second: float) -> Outcome:
    if math.isnan(gained.margin):
        return "not decided"
    if test.within:
        low, high = gained.interval
        bound = test.within * abs(second)
        return (
            "holds"
            if -bound <= low and high <= bound
            else "does not hold"
            if low > bound or high < -bound
            else "not decided"
        )
    sign = gained.sign * (1 if test.higher else {"higher": 1, "lower": -1}[spec(test.metric).direction])
    return {1: "holds", -1: "does not hold", 0: "not decided"}[sign]  # type: ignore[return-value]


def side(results: Results, name: str, metric: str, test: Pair) -> Side | None:
    """The values of an entry or baseline; None if it does not exist or lacks the metric."""
    if name == FILTERS:
        noises = results.noises if metric == ALL_NOISES else [metric.removeprefix("psnr/")]
        return Side(name, exact(float(np.mean([results.best_filter(noise)[1] for noise in noises]))))
    item = results.items.get(test.first if name == PCA else name)
    if item is None:
        return None
    if name == PCA:
        return Side(name, exact(results.pca(item)))
    values = results.over_noises(item.metrics) if metric == ALL_NOISES else item.metrics.get(metric)
    if not values:
        return None
    if item.is_baseline:
        return Side(name, exact(float(np.mean(values))))
    if spec(metric).name == "test_error":
        return Side(name, of_shares(values, results.baselines["test_images"]))
    return Side(name, of_seeds(values))


def shown(value: Estimate, metric: str) -> str:
    """mean ± standard error, as the tables print the metric."""
    text = number(value.mean, metric)
    return f"{text} ± {number(value.error, metric)}" if value.error > 0 else text
