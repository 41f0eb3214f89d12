"""Differences of means and their 95% intervals: Welch's t with Satterthwaite's degrees of freedom."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean, and the independent variances that add up to its variance.

    variances: (variance of the mean, degrees of freedom) of each source, such as seeds and test images; empty for an
    exact number. NaN: a source with one sample only.
    """

    mean: float
    variances: tuple[tuple[float, int], ...] = ()

    @property
    def error(self) -> float:
        """The standard error of the mean; 0 for an exact number, NaN if unknown."""
        return math.sqrt(sum(variance for variance, _ in self.variances))


@dataclass(frozen=True)
class Difference:
    """A difference of two means. margin: half of its 95% interval, NaN if unknown; df: Satterthwaite's degrees of
    freedom, NaN for exact numbers."""

    value: float
    margin: float
    df: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.value - self.margin, self.value + self.margin

    @property
    def sign(self) -> int:
        """1 or -1 if the interval is on one side of 0; else, or if unknown, 0."""
        return int(math.copysign(1, self.value)) if abs(self.value) > self.margin else 0


def exact(value: float) -> Estimate:
    """An exact number, such as a filter's or PCA's."""
    return Estimate(value)


def of_seeds(values: Sequence[float]) -> Estimate:
    """The mean over seeds; for one seed the variance is unknown."""
    n = len(values)
    return Estimate(float(np.mean(values)), ((float(np.var(values, ddof=1)) / n if n > 1 else math.nan, n - 1),))


def of_shares(values: Sequence[float], images: int) -> Estimate:
    """The mean over seeds of a share of `images` test images, which are a sample too (binomial, images - 1 degrees)."""
    seeds = of_seeds(values)
    binomial = seeds.mean * (1 - seeds.mean) / (images - 1) if images > 1 else math.nan
    return Estimate(seeds.mean, (*seeds.variances, (binomial, images - 1)))


def difference(a: Estimate, b: Estimate) -> Difference:
    """a - b, with all sources of variance independent.

    Two sets of seeds: Welch's t; seeds against an exact number: the one-sample t; in general df = (sum v)^2 / sum(v^2 /
    df) over all variances v (Satterthwaite 1946).
    """
    value, variances = a.mean - b.mean, [*a.variances, *b.variances]
    total = sum(variance for variance, _ in variances)
    if math.isnan(total):
        return Difference(value, math.nan, math.nan)
    if total == 0:
        return Difference(value, 0.0, math.nan)
    from scipy import stats  # takes a second, and the command line seldom needs it

    df = total**2 / sum(variance**2 / df for variance, df in variances)
    return Difference(value, float(stats.t.ppf((1 + CONFIDENCE) / 2, df)) * math.sqrt(total), df)


def paired(a: np.ndarray, b: np.ndarray) -> Difference:
    """The mean of a - b, both [seeds, images]: the same test images, and seeds that share what they drew.

    Two sources of variance: seeds (of the differences of their means) and images (of the differences of the means over
    seeds), with Satterthwaite's degrees of freedom. Seeds beyond the fewer of the two sides are left out.
    """
    n = min(len(a), len(b))
    return interval(crossed(a[:n].astype(np.float64) - b[:n]))


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share of n images, such as an error rate, in [0, 1]."""
    from scipy import stats

    interval = stats.binomtest(round(share * n), n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def crossed(values: np.ndarray) -> Estimate:
    """The mean of values whose axes are independent samples, such as seeds, draws of labels, and images.

    Each axis is a source of variance: that of the means over all others, so that their sum is no smaller than the
    variance of the mean (Owen 2007, "The pigeonhole bootstrap"). NaN for an axis of one.
    """
    variances = []
    for axis, n in enumerate(values.shape):
        means = values.mean(tuple(i for i in range(values.ndim) if i != axis), dtype=np.float64)
        variances.append((float(np.var(means, ddof=1)) / n if n > 1 else math.nan, n - 1))
    return Estimate(float(values.mean(dtype=np.float64)), tuple(variances))


@dataclass(frozen=True)
class Ranking:
    """How scores rank anomalies above normal items, for each seed.

    normal [S, N]: the share of anomalies above each normal item; anomalous [S, A]: of normal items below each anomaly;
    ties count half.
    """

    normal: np.ndarray
    anomalous: np.ndarray

    @classmethod
    def of(cls, scores: np.ndarray, normal: int) -> Ranking:
        """scores [S, N + A], or [N + A] of a baseline; the first N = normal are of normal items."""
        rows = scores.reshape(-1, scores.shape[-1])
        sides = [(row[:normal], row[normal:]) for row in rows]
        return cls(np.stack([1 - _below(b, a) for a, b in sides]), np.stack([_below(a, b) for a, b in sides]))

    def __sub__(self, other: Ranking) -> Ranking:
        """The differences; `other` is a baseline, of one seed."""
        return Ranking(self.normal - other.normal, self.anomalous - other.anomalous)

    def area(self, trained: bool = True) -> Estimate:
        """The AUROC, mean over seeds, or a difference of two: normal items and anomalies are samples (DeLong, DeLong &
        Clarke-Pearson 1988), and so are the seeds of trained nets."""
        sides = [part.mean(0, dtype=np.float64) for part in (self.normal, self.anomalous)]
        samples = [source for part in sides for source in crossed(part).variances]
        seeds = of_seeds(self.anomalous.mean(1, dtype=np.float64).tolist())
        return Estimate(seeds.mean, (*samples, *(seeds.variances if trained else ())))


def _below(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """The share of `low` below each of `high`, ties count half."""
    ordered = np.sort(low)
    return (np.searchsorted(ordered, high, "left") + np.searchsorted(ordered, high, "right")) / (2 * len(low))


def interval(estimate: Estimate) -> Difference:
    """The estimate with its 95% interval."""
    return difference(estimate, exact(0.0))
