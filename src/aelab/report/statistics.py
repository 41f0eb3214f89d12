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
    differences = a[:n].astype(np.float64) - b[:n]
    images = differences.mean(0)
    by_image = float(np.var(images, ddof=1)) / len(images) if len(images) > 1 else math.nan
    seeds = of_seeds(differences.mean(1).tolist())
    return difference(Estimate(seeds.mean, (*seeds.variances, (by_image, len(images) - 1))), exact(0.0))


def share_interval(share: float, n: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share of n images, such as an error rate, in [0, 1]."""
    from scipy import stats

    interval = stats.binomtest(round(share * n), n).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
