"""Drawn shapes."""

import math

import pytest
import torch

from aelab.metrics.shift import shapes


def random(seed=0):
    return torch.Generator().manual_seed(seed)


def test_shapes_are_white_on_black_and_all_different():
    x = shapes(60, (1, 28, 28), random())
    assert x.shape == (60, 1, 28, 28)
    assert x.min() == 0
    assert x.max() == 1
    assert len(x.unique(dim=0)) == 60
    assert (x.flatten(1).sum(1) > 10).all()


def test_areas_are_those_of_discs_bars_and_crosses():
    """The same numbers drawn as each kind, large enough to lie within the image."""
    u = torch.rand(5, 30, 1, 1, generator=random())[:, :, 0, 0]
    side = 200
    x = shapes(30, (1, side, side), random()).flatten(1).sum(1)
    size, thick = side * (1 + 2 * u[2]) / 8, side * (1 + u[3]) / 28
    inside = (torch.stack([u[0], u[1]]) * 0.5 + 0.25) * side
    whole = (torch.minimum(inside, side - inside).amin(0) > size + thick + 2).nonzero()[:, 0].tolist()
    assert len(whole) > 5
    for i in whole:
        area = [math.pi * size[i] ** 2, 4 * size[i] * thick[i], 8 * size[i] * thick[i] - 4 * thick[i] ** 2][i % 3]
        assert x[i].item() == pytest.approx(area.item() if hasattr(area, "item") else area, rel=0.02)


def test_the_same_draw_gives_the_same_shapes_on_every_channel():
    assert torch.equal(shapes(5, (1, 20, 30), random()), shapes(5, (1, 20, 30), random()))
    colour = shapes(5, (3, 20, 30), random())
    assert colour.shape == (5, 3, 20, 30)
    assert torch.equal(colour[:, 0], colour[:, 2])
