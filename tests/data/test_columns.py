"""Columns: raw values become inputs of a net and come back, missing ones are marked."""

import dataclasses
import json

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from aelab.data.columns import Column, decode, encode, fit, from_json
from aelab.data.layout import Layout

NAMES, CATEGORIES = ["height", "colour", "weight"], [(), ("blue", "green", "red"), ()]


def raw() -> np.ndarray:
    """Heights, colours (green never), weights of which one is missing."""
    return np.array([[1.0, 0, 5.0], [2.0, 2, np.nan], [3.0, 0, 7.0], [4.0, 2, 11.0]])


def test_inputs_are_numbers_flags_and_one_hot_blocks():
    columns = fit(NAMES, CATEGORIES, raw(), "standard")
    assert [column.width for column in columns] == [1, 3, 2]
    assert columns[1].categories == ("blue", "red")
    x = encode(columns, raw(), CATEGORIES)
    heights = (raw()[:, 0] - 2.5) / np.std(raw()[:, 0])
    np.testing.assert_allclose(x[:, 0], heights, rtol=1e-6)
    np.testing.assert_array_equal(x[:, 1:4], [[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 1, 0]])
    np.testing.assert_array_equal(x[:, 5], [1, 0, 1, 1])
    assert x[1, 4] == 0
    layout = Layout.of(columns)
    assert layout == Layout((0, 1, 1, 1, 2, 2), (0, 4), (-1, 5), ((1, 4),))


def test_a_category_unseen_in_training_and_a_missing_one():
    columns = fit(NAMES, CATEGORIES, raw(), "rank")
    x = encode(columns, np.array([[2.5, 1, 6.0], [np.nan, np.nan, np.nan]]), CATEGORIES)
    np.testing.assert_array_equal(x[0, 1:4], [0, 0, 1])
    np.testing.assert_array_equal(x[1], 0)
    known = Layout.of(columns).known(torch.from_numpy(x))
    np.testing.assert_array_equal(known, [[1, 1, 1, 1, 1, 0], [1, 0, 0, 0, 0, 0]])  # no flag: height counts as known
    cells = Layout.of(columns).known_cells(torch.from_numpy(x))
    assert cells.tolist() == [[True, True, True], [True, False, False]]


@given(
    arrays.arrays(np.float64, st.integers(2, 60), elements=st.floats(-1e6, 1e6)), st.sampled_from(["rank", "standard"])
)
def test_scaled_training_numbers_have_mean_0_and_deviation_1_and_come_back(values, scaling):
    if np.ptp(values) < 1e-3:
        return
    (column,) = fit(["x"], [()], values[:, None], scaling)
    scaled = column.scaled(values)
    assert abs(scaled.mean()) < 1e-6
    assert scaled.std() == pytest.approx(1, abs=1e-6)
    np.testing.assert_allclose(column.unscaled(scaled), values, rtol=1e-6, atol=1e-6 * np.ptp(values))


def test_ranks_tame_outliers_and_keep_the_order():
    values = np.concatenate([np.random.default_rng(0).normal(size=2000), [1e6]])
    (column,) = fit(["x"], [()], values[:, None], "rank")
    scaled = column.scaled(values)
    assert len(column.knots) <= 200
    assert scaled.max() < 4
    assert (np.diff(scaled[np.argsort(values)]) >= 0).all()
    assert abs(scaled.mean()) < 0.01
    assert scaled.std() == pytest.approx(1, abs=0.01)
    assert column.scaled(np.array([1e9, -1e9, np.nan]))[:2].tolist() == [scaled.max(), scaled.min()]
    np.testing.assert_allclose(np.median(column.unscaled(scaled)), np.median(values), atol=0.01)


def test_a_column_of_one_value_stays_0():
    (column,) = fit(["x"], [()], np.array([[3.0], [3.0], [np.nan]]), "rank")
    x = encode([column], np.array([[3.0], [np.nan]]), [()])
    np.testing.assert_array_equal(x, [[0, 1], [0, 0]])


def test_series_have_columns_on_their_last_axis():
    x = np.random.default_rng(0).normal(3, 2, (6, 10, 2))
    columns = fit(["a", "b"], [(), ()], x, "standard")
    found = encode(columns, x, [(), ()])
    assert found.shape == (6, 10, 2)
    np.testing.assert_allclose(found.reshape(-1, 2).mean(0), 0, atol=1e-6)
    np.testing.assert_allclose(decode(columns, found), x, rtol=1e-5)


def test_decoded_categories_are_the_most_likely_that_were_seen():
    columns = fit(NAMES, CATEGORIES, raw(), "rank")
    x = np.array([[0.0, 0.2, 0.3, 0.5, 0.0, 1.0]])  # others are most likely, but none that could be named
    assert decode(columns, x)[0, 1] == 1


def test_columns_survive_json():
    columns = fit(NAMES, CATEGORIES, raw(), "rank")
    assert from_json(json.loads(json.dumps([dataclasses.asdict(column) for column in columns]))) == tuple(columns)
    assert Column("x", ("a",)).width == 2
