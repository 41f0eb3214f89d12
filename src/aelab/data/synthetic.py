"""Out-of-distribution images, rows and series for a data set that has no others."""

from __future__ import annotations

import numpy as np

from aelab.data.splits import Part

COUNT = 1000  # number of images that `prepare` makes


def shapes(n: int, shape: tuple[int, int, int], classes: int, seed: int) -> Part:
    """n images [n, *shape] of discs, bars and crosses in turn, white on black, with edges one pixel soft.

    Centres are in the middle half, sizes between 1/8 and 3/8 of the shorter side, bars at any angle. For models that
    need labels, the `classes` are assigned in turn.
    """
    (channels, height, width), side = shape, min(shape[1:])
    u = np.random.default_rng(seed).random((5, n, 1, 1))
    rows = np.arange(height)[:, None] - (height - 1) * (0.25 + 0.5 * u[0])  # [n, H, 1]
    columns = np.arange(width) - (width - 1) * (0.25 + 0.5 * u[1])  # [n, 1, W]
    half, thickness, angle = side * (1 + 2 * u[2]) / 8, side * (1 + u[3]) / 28, np.pi * u[4]
    along = abs(rows * np.sin(angle) + columns * np.cos(angle))
    across = abs(rows * np.cos(angle) - columns * np.sin(angle))
    disc = np.hypot(rows, columns) - half  # distance to the edge, negative inside
    bar = np.maximum(along - half, across - thickness)
    cross = np.minimum(bar, np.maximum(across - half, along - thickness))
    distance = np.choose((np.arange(n) % 3)[:, None, None], [disc, bar, cross])
    images = (255 * (0.5 - distance).clip(0, 1)).round().astype(np.uint8)
    return images[:, None].repeat(channels, 1), np.arange(n) % max(1, classes)


def shuffled(x: np.ndarray, seed: int) -> np.ndarray:
    """Rows x [N, C] with every column shuffled by itself, so that only what belongs together is lost; series [N, T, C]
    with their time steps shuffled."""
    rng = np.random.default_rng(seed)
    return rng.permuted(x, axis=0) if x.ndim == 2 else np.stack([rng.permutation(one) for one in x])
