"""Digits turned and set before backgrounds: the five variations of MNIST of Larochelle & others 2007.

"An empirical evaluation of deep architectures on problems with many factors of variation", ICML 2007. Their files are
gone from the web; these are drawn anew as their authors describe them. Where they say nothing: pixels between those of
a turned digit are interpolated linearly, a digit lies before a background as the brighter of both, and the photographs
are those of photographs.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.ndimage import rotate

from aelab.data.splits import Part
from aelab.sources import photographs

TEST = 50_000


@dataclass(frozen=True)
class Variation:
    """turned: by any angle; background: of noise, each pixel 0 to 255, or patches of photographs."""

    turned: bool = False
    background: Literal["black", "noise", "photographs"] = "black"


def draw(variation: Variation, digits: dict[str, Part], train: int, seed: int) -> dict[str, Part]:
    """A train part of `train` and a test part of TEST digits, drawn from all parts of MNIST: images uint8
    [N, 1, 28, 28], labels int64 [N]."""
    x, y = (np.concatenate(arrays) for arrays in zip(*digits.values(), strict=True))
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(y))[: train + TEST]
    x, y = x[rows, 0], y[rows]
    if variation.turned:
        angles = rng.uniform(0, 360, len(x))
        x = np.stack([turned(image, angle) for image, angle in zip(x, angles, strict=True)])
    if variation.background == "noise":
        x = np.maximum(x, rng.integers(0, 256, x.shape, dtype=np.uint8))
    if variation.background == "photographs":
        x = np.maximum(x, photographs.patches(len(x), x.shape[1:], rng))
    x = x[:, None]
    return {"train": (x[:train], y[:train]), "test": (x[train:], y[train:])}


def turned(image: np.ndarray, degrees: float) -> np.ndarray:
    """An image uint8 [H, W], turned about its centre."""
    return rotate(image.astype(np.float64), degrees, reshape=False, order=1).round().astype(np.uint8)
