"""Drawn shapes."""

import numpy as np
import pytest

from aelab.data.synthetic import shapes


def test_shapes_are_white_on_black_and_all_different():
    x, y = shapes(60, (1, 28, 28), 7, seed=0)
    assert (x.shape, x.dtype) == ((60, 1, 28, 28), np.uint8)
    assert (x.min(), x.max()) == (0, 255)
    assert len(np.unique(x, axis=0)) == 60
    assert (x.sum((1, 2, 3)) > 10 * 255).all()
    assert (y.dtype, y.tolist()) == (np.int64, [i % 7 for i in range(60)])


def test_areas_are_those_of_discs_bars_and_crosses():
    """The same numbers drawn as each kind, large enough to lie within the image."""
    u = np.random.default_rng(0).random((5, 30, 1, 1))[:, :, 0, 0]
    side = 200
    area = shapes(30, (1, side, side), 10, seed=0)[0].sum((1, 2, 3)) / 255
    size, thick = side * (1 + 2 * u[2]) / 8, side * (1 + u[3]) / 28
    inside = (u[:2] * 0.5 + 0.25) * side
    whole = np.flatnonzero(np.minimum(inside, side - inside).min(0) > size + thick + 2)
    assert {i % 3 for i in whole} == {0, 1, 2}
    for i in whole:
        expected = [np.pi * size[i] ** 2, 4 * size[i] * thick[i], 8 * size[i] * thick[i] - 4 * thick[i] ** 2][i % 3]
        assert area[i] == pytest.approx(expected, rel=0.02)


def test_a_seed_gives_the_same_shapes_and_another_others():
    first, again, other = (shapes(6, (3, 20, 30), 10, seed)[0] for seed in (3, 3, 4))
    assert first.shape == (6, 3, 20, 30)
    assert (first == first[:, :1]).all(), "grey also among colours"
    assert first.tobytes() == again.tobytes()
    assert not np.array_equal(first, other)
