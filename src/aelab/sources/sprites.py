"""Drawn sprites, with known factors: no download, no licence."""

from __future__ import annotations

import numpy as np

SHAPES = ("disc", "square", "triangle")
SIDE = 64  # pixels
CHUNK = 250  # images at a time


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n images uint8 [n, 3, SIDE, SIDE] of one shape each, and which, int64 [n]: SHAPES in turn.

    A shape has a hue, a size (half: 9 to 18 pixels), an angle and a place (centre in the middle half), all independent
    and uniform, in front of one dark colour. Edges are one pixel soft.
    """
    rng = np.random.default_rng(seed)
    parts = [_drawn(np.arange(start, min(start + CHUNK, n)) % len(SHAPES), rng) for start in range(0, n, CHUNK)]
    return np.concatenate(parts), np.arange(n) % len(SHAPES)


def _drawn(kinds: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Images of shapes [n] (rows of SHAPES), uint8 [n, 3, SIDE, SIDE]."""
    u = rng.random((6, len(kinds), 1, 1))
    place = np.arange(SIDE) - (SIDE - 1) / 2
    down, right = place[:, None] - SIDE * (u[0] - 0.5) / 2, place - SIDE * (u[1] - 0.5) / 2  # [n, SIDE, SIDE]
    half, angle = 9 + 9 * u[2], 2 * np.pi * u[3]
    a, b = right * np.cos(angle) + down * np.sin(angle), down * np.cos(angle) - right * np.sin(angle)
    disc = np.hypot(a, b) - half  # distance to the edge, negative inside
    square = np.maximum(abs(a), abs(b)) - 0.87 * half
    triangle = np.maximum(abs(a) * 3**0.5 / 2 + b / 2, -b) - 0.6 * half
    cover = (0.5 - np.choose(kinds[:, None, None], [disc, square, triangle])).clip(0, 1)[:, None]  # [n, 1, SIDE, SIDE]
    front, back = _colour(u[4]), 0.3 * _colour(u[5])
    return (255 * (cover * front + (1 - cover) * back)).round().astype(np.uint8)


def _colour(hue: np.ndarray) -> np.ndarray:
    """Full colours of hues [n, 1, 1] in [0, 1): [n, 3, 1, 1]."""
    return (abs((6 * hue[:, None] + np.array([0, 4, 2]).reshape(3, 1, 1)) % 6 - 3) - 1).clip(0, 1)
