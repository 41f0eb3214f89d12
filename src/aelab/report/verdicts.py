"""Verdicts on the claims of tutorials and papers, each tested on the metrics of pairs of entries."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from aelab.report import uses
from aelab.report.claims import (
    ALL_NOISES,
    CLAIMS,
    CODEC,
    DETECTOR,
    EACH_BUDGET,
    EACH_NOISE,
    EARLY,
    FILTERS,
    PCA,
    RAW,
    Longer,
    Pair,
)
from aelab.report.formatting import gap, grid, title
from aelab.report.metric_specs import number, spec
from aelab.report.results import PREVIEW_NOISE, Results, decibels
from aelab.report.statistics import Difference, Estimate, difference, exact, interval, of_seeds, of_shares, paired

Outcome = Literal["holds", "does not hold", "not decided"]
OUTCOMES: tuple[Outcome, ...] = ("holds", "does not hold", "not decided")
MARKS = {"holds": "✓", "does not hold": "✗", "not decided": "≈"}
WORDS = (
    "What tutorials and papers say, with these parameters, on this data set. Each comparison: means ± standard error "
    "over seeds (of test errors: over test images too), their difference, its 95% interval and degrees of freedom (df) "
    "by Welch's t; against filters and closed forms, which have no spread, by the one-sample t; of test errors by a "
    "paired t over seeds and test images; of a net during training by a paired t over images. ✓ the interval is on the "
    "claimed side of 0; ✗ on the other; ≈ it contains 0, or a single seed does not say how far seeds differ. Of a "
    "claim that two are alike: ✓ the interval is in the given share of the second, ✗ outside. A claim holds if all its "
    "comparisons do, does not hold if one is ✗, and is else not decided. ↑ higher is better, ↓ lower."
)


@dataclass(frozen=True)
class Side:
    """One side of a test."""

    name: str
    value: Estimate


@dataclass(frozen=True)
class Comparison:
    """The result of one test, as printed. outcome: one of OUTCOMES; reason: what it is over, or why it is
    undecided, if that is not for the interval."""

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


def _expanded(results: Results, tests: Sequence[Pair | Longer]) -> list[Pair | Longer]:
    """The tests, one per noise or label budget where they are about each."""
    ends = {EACH_NOISE: results.noises, EACH_BUDGET: list(results.budgets)}
    result: list[Pair | Longer] = []
    for test in tests:
        if isinstance(test, Pair) and test.metric in ends:
            result += [replace(test, metric=test.metric + end) for end in ends[test.metric]]
        else:
            result.append(test)
    return result


def compare(results: Results, test: Pair | Longer) -> Comparison | None:
    """The result of one test; None if a side does not exist or lacks the metric."""
    if isinstance(test, Longer):
        return _longer(results, test)
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


def _longer(results: Results, test: Longer) -> Comparison | None:
    """The first seed's noisy validation digits, the kept weights against those after EARLY steps or more."""
    item = results.items.get(test.entry)
    drawn = item.previews("noisy-") if item else {}
    before = next((step for step in [*drawn][:-1] if step >= EARLY), None)
    if item is None or before is None:
        return None
    clean, after = item.arrays["preview/input"], [*drawn][-1]
    sides = [[decibels(*pair) for pair in zip(clean, drawn[step], strict=True)] for step in (after, before)]
    gained = difference(of_seeds([late - early for late, early in zip(*sides, strict=True)]), exact(0.0))
    text, df = gap(gained, "psnr")
    first, second = (
        f"{item.name} {when} {number(float(np.mean(side)), 'psnr')}"
        for when, side in zip(("at the end", f"after {before:,} steps"), sides, strict=True)
    )
    reason = f"{len(clean)} validation images, first seed"
    return Comparison(f"psnr, {PREVIEW_NOISE}, dB ↑", first, second, text, df, _sign(gained.sign), reason)


def _sign(sign: int) -> Outcome:
    return "holds" if sign > 0 else "does not hold" if sign < 0 else "not decided"


def _difference(results: Results, test: Pair, first: Side, second: Side) -> Difference:
    a, b = (results.items.get(name) for name in (test.first, test.second))
    if a and test.second == RAW:
        return uses.paired_gain(a.per_image[uses.chosen(a, test.metric)], results.pictures[f"{test.metric}/raw"], a)
    if a and spec(test.metric).name == "auroc":
        other = uses.ranking(results, b, test.second_metric) if b else next(iter(uses.rankings(results).values()))
        return interval((uses.ranking(results, a, test.metric) - other).area())
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
    return _sign(sign)


def side(results: Results, name: str, metric: str, test: Pair) -> Side | None:
    """The values of an entry or baseline; None if it does not exist or lacks the metric."""
    if name == FILTERS:
        noises = results.noises if metric == ALL_NOISES else [metric.removeprefix("psnr/")]
        return Side(name, exact(float(np.mean([results.best_filter(noise)[1] for noise in noises]))))
    item = results.items.get(test.first if name in (PCA, RAW, DETECTOR, CODEC) else name)
    if item is None:
        return None
    if name in (RAW, DETECTOR, CODEC):
        found = uses.without_net(results, metric)
        return Side(*found) if found else None
    if metric.startswith("learner_error") and metric.count("/") == 2:  # on the features that are best on validation
        metric = uses.chosen(item, metric) or metric
    if name == PCA:
        return Side(name, exact(results.pca(item)))
    values = results.over_noises(item.metrics) if metric == ALL_NOISES else item.metrics.get(metric)
    if not values or math.isnan(np.mean(values)):
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
