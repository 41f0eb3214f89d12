"""Patches of photographs that come with scikit-image and scikit-learn."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

# scikit-image: CC0 or in the public domain
FREE = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "rocket")
# scikit-learn: CC BY 2.0, by danielbuechele (china) and vultilion (flower), flickr
ATTRIBUTED = ("china.jpg", "flower.jpg")
LICENCE = "photographs: public domain, CC0, and CC BY 2.0 (china by danielbuechele, flower by vultilion)"
# standard deviation of a patch, in grey levels: with it, an SVM errs as often on digits before these photographs as it
# did before those of 2007 (22.6%)
LEAST = 50.0


@cache
def grey() -> tuple[np.ndarray, ...]:
    """The photographs, uint8 [H, W]."""
    from skimage import data
    from skimage.color import rgb2gray
    from sklearn.datasets import load_sample_image

    library: Any = data
    images = [*(getattr(library, name)() for name in FREE), *map(load_sample_image, ATTRIBUTED)]
    flat = [image if image.ndim == 2 else 255 * rgb2gray(image) for image in images]
    return tuple(image.round().astype(np.uint8) for image in flat)


def patches(n: int, shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    """n patches uint8 [n, *shape] of photographs and places drawn at random; those with little texture are drawn anew.

    Larochelle & others 2007 took theirs so from 20 photographs of the web, and left out those of low variance.
    """
    result = np.empty((n, *shape), np.uint8)
    todo = np.arange(n)
    while len(todo):
        result[todo] = [_patch(shape, rng) for _ in todo]
        todo = todo[result[todo].std(axis=(1, 2)) < LEAST]
    return result


def _patch(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    image = grey()[rng.integers(len(grey()))]
    top, left = (rng.integers(whole - part + 1) for whole, part in zip(image.shape, shape, strict=True))
    return image[top : top + shape[0], left : left + shape[1]]
