"""Rectangles and convex sets: the three tasks about shapes of Larochelle & others 2007, drawn as they describe them.

"An empirical evaluation of deep architectures on problems with many factors of variation", ICML 2007. Where half-planes
lie is not said there; see `region`.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import ConvexHull, QhullError

from aelab.data.splits import Part
from aelab.sources import photographs

SIDE = 28  # pixels
TALL = ("wide", "tall")
CONVEX = ("not convex", "convex")
DIFFERENCE = {False: 3, True: 5}  # of height and width at least; with photographs or without
SHORTEST = 10  # side of a rectangle of photographs, pixels
COVERED = (0.25, 0.75)  # share of the image that a rectangle of photographs covers
TEST = 50_000
# how likely a half-plane is the last one; pixels at least; how far from their point half-planes may begin: chosen so
# that both classes cover about 345 pixels in the mean
WHOLE, PIECE = (0.195, 19, 20.0), (0.07, 10, 12.0)
_centres = np.arange(SIDE) - (SIDE - 1) / 2


def rectangles(train: int, seed: int, photographed: bool = False) -> dict[str, Part]:
    """White outlines of rectangles on black, or patches of photographs before others; label 1: taller than wide.

    uint8 [N, 1, SIDE, SIDE]; a train part of `train` images and a test part of TEST.
    """
    rng = np.random.default_rng(seed)
    x, y = zip(*(_rectangle(rng, photographed) for _ in range(train + TEST)), strict=True)
    if photographed:
        inside, outside = (photographs.patches(len(x), (SIDE, SIDE), rng) for _ in range(2))
        images = np.where(np.stack(x), inside, outside)
    else:
        images = 255 * np.stack(x).astype(np.uint8)
    return _parts(images, np.array(y), train)


def convex(train: int, seed: int) -> dict[str, Part]:
    """White sets on black, half of them convex (label 1): shapes as of `rectangles`."""
    rng = np.random.default_rng(seed)
    y = rng.permutation(np.arange(train + TEST) % 2)
    x = np.stack([region(rng, *WHOLE) if label else union(rng) for label in y])
    return _parts(255 * x.astype(np.uint8), y, train)


def region(rng: np.random.Generator, last: float, least: int, reach: float) -> np.ndarray:
    """A convex set of pixels, bool [SIDE, SIDE]: the intersection of a geometric number of half-planes.

    They contain a point drawn uniformly in the image, and begin at a distance from it that is uniform up to `reach`,
    in any direction. Sets of fewer than `least` pixels are drawn anew.
    """
    while True:
        n = rng.geometric(last)
        down, right = rng.uniform(-SIDE / 2, SIDE / 2, (2, 1))
        angle, distance = rng.uniform(0, 2 * np.pi, (n, 1)), rng.uniform(0, reach, (n, 1, 1))
        rows, columns = np.sin(angle) * (_centres - down), np.cos(angle) * (_centres - right)  # [n, SIDE]
        found: np.ndarray = (rows[:, :, None] + columns[:, None, :] >= -distance).all(0)
        if found.sum() >= least:
            return found


def union(rng: np.random.Generator) -> np.ndarray:
    """A set that is not convex, bool [SIDE, SIDE]: of two to four convex ones together."""
    while True:
        pieces = [region(rng, *PIECE) for _ in range(rng.integers(2, 5))]
        found: np.ndarray = np.any(pieces, axis=0)
        if not is_convex(found):
            return found


def is_convex(pixels: np.ndarray) -> bool:
    """Whether the convex hull of the pixels' centres holds the centre of no other pixel; pixels bool [H, W]."""
    points = np.argwhere(pixels)
    try:
        sides = ConvexHull(points).equations  # [sides, 3]
    except QhullError:  # all on one line, on which pixels may be missing
        step = points[-1] - points[0]
        return bool(len(points) == np.gcd(*step) + 1)
    everywhere = np.argwhere(np.ones_like(pixels))
    inside = (everywhere @ sides[:, :2].T + sides[:, 2] <= 1e-9).all(1)
    return int(inside.sum()) == len(points)


def _rectangle(rng: np.random.Generator, photographed: bool) -> tuple[np.ndarray, bool]:
    """A rectangle bool [SIDE, SIDE], its outline or all of it, and whether it is taller than wide."""
    least = SHORTEST if photographed else 1
    while True:
        height, width = rng.integers(least, SIDE + 1, 2)
        share = height * width / SIDE**2
        if abs(height - width) < DIFFERENCE[photographed] or (photographed and not COVERED[0] <= share <= COVERED[1]):
            continue
        top, left = rng.integers(SIDE - height + 1), rng.integers(SIDE - width + 1)
        result = np.zeros((SIDE, SIDE), bool)
        result[top : top + height, left : left + width] = True
        if not photographed:
            result[top + 1 : top + height - 1, left + 1 : left + width - 1] = False
        return result, bool(height > width)


def _parts(images: np.ndarray, y: np.ndarray, train: int) -> dict[str, Part]:
    x, y = images[:, None], y.astype(np.int64)
    return {"train": (x[:train], y[:train]), "test": (x[train:], y[train:])}
