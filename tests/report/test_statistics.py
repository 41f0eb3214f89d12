"""Differences and intervals, against scipy's own tests and numbers worked out by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from aelab.report.statistics import difference, exact, of_seeds, of_shares, share_interval

A, B = [13.2, 12.1, 14.9], [15.0, 15.3, 15.1, 15.4]


def test_two_sets_of_seeds_are_welch_s_t():
    found, theirs = difference(of_seeds(A), of_seeds(B)), stats.ttest_ind(A, B, equal_var=False)
    assert found.df == pytest.approx(theirs.df)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))
    assert found.value == pytest.approx(np.mean(A) - np.mean(B))
    assert found.sign == 0, "2 degrees of freedom, not 5: the old test called this a difference"


def test_seeds_against_an_exact_number_are_the_one_sample_t():
    found, theirs = difference(of_seeds(A), exact(15.0)), stats.ttest_1samp(A, 15.0)
    assert found.df == pytest.approx(2)
    low, high = theirs.confidence_interval(0.95)
    assert found.interval == pytest.approx((low - 15, high - 15))
    assert difference(exact(15.0), of_seeds(A)).interval == pytest.approx((15 - high, 15 - low))


def test_test_images_are_a_sample_too():
    wrong = np.repeat([1, 0], [12, 88]), np.repeat([1, 0], [21, 79])  # 100 images each, whatever the seed
    mine, other = (of_shares([float(each.mean())] * 3, 100) for each in wrong)
    theirs = stats.ttest_ind(*wrong, equal_var=False)
    found = difference(mine, other)
    assert found.df == pytest.approx(theirs.df)
    assert found.interval == pytest.approx(tuple(theirs.confidence_interval(0.95)))


def test_seeds_and_test_images_add_up():
    # a: seeds 0.10, 0.12, 0.14: v = 0.0004 / 3 (df 2); images: 0.12 * 0.88 / 100 = 0.001056 (df 100)
    # b: seeds 0.20, 0.20, 0.23: v = 0.0003 / 3 (df 2); images: 0.21 * 0.79 / 100 = 0.001659 (df 100)
    # sum 0.00294833; df = 0.00294833^2 / (1.3333e-4^2/2 + 1e-4^2/2 + 0.001056^2/100 + 0.001659^2/100) = 165.38
    found = difference(of_shares([0.10, 0.12, 0.14], 101), of_shares([0.20, 0.20, 0.23], 101))
    assert found.value == pytest.approx(-0.09)
    assert found.df == pytest.approx(165.38, abs=0.01)
    assert found.margin == pytest.approx(1.97445 * math.sqrt(0.00294833), rel=1e-4)
    assert found.sign == 0


@pytest.mark.parametrize(("a", "sign"), [([2.0, 2.0], 1), ([1.0, 1.0], 0), ([0.5, 0.5], -1)])
def test_without_any_spread_the_numbers_decide(a, sign):
    for other in (of_seeds([1.0, 1.0, 1.0]), exact(1.0)):
        found = difference(of_seeds(a), other)
        assert (found.margin, found.sign) == (0, sign)
        assert math.isnan(found.df)
    assert difference(of_shares([0.0, 0.0], 100), of_shares([0.0, 0.0], 100)).sign == 0


@pytest.mark.parametrize("one", [of_seeds([5.0]), of_shares([0.5], 1000), of_shares([0.5, 0.5], 1)])
def test_one_draw_does_not_say_how_far_draws_differ(one):
    found = difference(one, of_seeds([9.0, 9.1, 9.2]))
    assert math.isnan(found.margin)
    assert math.isnan(one.error)
    assert found.sign == 0


def test_standard_errors():
    assert of_seeds([9.0, 10.0, 11.0]).error == pytest.approx(1 / math.sqrt(3))
    assert exact(3.0).error == 0


def test_wilson_s_interval_of_a_share():
    # (p + z^2/2n +- z sqrt(p (1 - p) / n + z^2/4n^2)) / (1 + z^2/n) with p = 0.5, n = 100, z = 1.95996
    assert share_interval(0.5, 100) == pytest.approx((0.40383, 0.59617), abs=1e-5)
    low, high = share_interval(0.0, 100)
    assert low == pytest.approx(0.0, abs=1e-12)
    assert high == pytest.approx(0.03699, abs=1e-5), "no errors among 100 images does not mean none at all"
