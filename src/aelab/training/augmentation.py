"""Data augmentation: training images rotated, scaled and shifted at random (Simard et al. 2003).

Every other image of a batch is transformed and the rest stay as they are, because interpolation blurs and the model
should see sharp images too. Unlike noise, augmentation changes the target as well as the input.

One grid transforms every image by its own angle, scale and shift. torchvision's `functional.affine` takes one of each
per call: called image by image, with the same draws, it makes the training of hinton_ae_best 20% (batches of 64) and
13% (batches of 128, nets twice as wide) slower on a CPU core.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Generator, Tensor
from torch.nn import functional as F

MOST = {"rotate": 180.0, "scale": 0.9, "shift": 100.0}


def parse(words: Sequence[str]) -> dict[str, float]:
    """["rotate 7", "scale 0.05"] -> {"rotate": 7.0, "scale": 0.05}. Raises ValueError with what is allowed."""
    result: dict[str, float] = {}
    for word in words:
        kind, _, level = word.partition(" ")
        if kind not in MOST or kind in result:
            raise ValueError(f"augment: {word!r} is wrong; allowed: one each of {', '.join(MOST)}")
        try:
            result[kind] = float(level)
        except ValueError:
            result[kind] = math.nan
        if not 0 < result[kind] <= MOST[kind]:
            raise ValueError(f"augment: {word!r} is out of range; allowed: above 0 up to {MOST[kind]:g}")
    return result


def augment(x: Tensor, most: dict[str, float], generator: Generator) -> Tensor:
    """Images [B, C, H, W], every other one transformed at random, uniformly up to `most`, on a black background.

    rotate: degrees either way; scale: share, larger or smaller; shift: pixels along rows and along columns.
    """
    if not most or len(x) < 2:
        return x
    moved = x[::2]
    angle, scale, right, down = torch.rand(4, len(moved), generator=generator, device=x.device) * 2 - 1
    angle = angle * math.radians(most.get("rotate", 0.0))
    scale = 1 + scale * most.get("scale", 0.0)
    rows, columns = x.shape[2:]
    shift = most.get("shift", 0.0)
    affine = torch.stack(
        [
            torch.stack([scale * angle.cos(), -scale * angle.sin() * rows / columns, right * shift * 2 / columns], 1),
            torch.stack([scale * angle.sin() * columns / rows, scale * angle.cos(), down * shift * 2 / rows], 1),
        ],
        1,
    )
    grid = F.affine_grid(affine, list(moved.shape), align_corners=False)
    result = x.clone()
    result[::2] = F.grid_sample(moved, grid, align_corners=False)
    return result
