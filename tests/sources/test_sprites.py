"""Drawn data: its factors are what they are said to be."""

import numpy as np

from aelab.sources import sprites


def test_sprites_are_made_by_their_seed_and_show_one_shape_in_one_colour():
    x, y = sprites.draw(300, 0)
    assert (x.shape, x.dtype, y.dtype) == ((300, 3, 64, 64), np.uint8, np.int64)
    assert np.bincount(y).tolist() == [100, 100, 100]
    np.testing.assert_array_equal(x, sprites.draw(300, 0)[0])
    assert (x != sprites.draw(300, 1)[0]).any((1, 2, 3)).all()
    inside = x.max(1) > 200  # [n, H, W]: full colours; the background has 30% of them
    share = inside.mean((1, 2))
    assert (share > 0.02).all()
    assert (share < 0.3).all()
    for image, mask in zip(x[:50], inside[:50], strict=True):
        colours = image[:, mask].T
        _, counts = np.unique(colours, axis=0, return_counts=True)
        assert counts.max() > 0.8 * counts.sum(), "one hue, but for the edge"


def test_the_shapes_fill_their_boxes_as_they_must():
    x, y = sprites.draw(300, 0)
    inside = x.max(1) > 200
    for kind, name in enumerate(sprites.SHAPES):
        filled = [mask.sum() / (np.ptp(np.argwhere(mask), 0) + 1).prod() for mask in inside[y == kind]]
        low, high = {"disc": (0.7, 0.85), "square": (0.45, 1.0), "triangle": (0.4, 0.6)}[name]
        assert low < np.min(filled), name
        assert np.max(filled) <= high, name
