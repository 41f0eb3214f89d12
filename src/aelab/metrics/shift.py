"""Images unlike those of training: drawn shapes. A model that has only learnt to copy rebuilds them as well as its own.

They are drawn for every data set, instead of taking clothes for digits and digits for clothes: the other set's files
need not be at hand, and a number must not depend on what lies on a disk. This file is no part of aelab.data, on which
learning depends.
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


def shapes(n: int, shape: tuple[int, int, int], generator: Generator) -> Tensor:
    """n images [n, C, H, W] in [0, 1], white on black, edges one pixel soft: discs, bars and crosses by turns.

    Centres lie within the middle half, sizes between 1/8 and 3/8 of the shorter side, bars at any angle.
    """
    channels, height, width = shape
    side, device = min(height, width), generator.device
    u = torch.rand(5, n, 1, 1, generator=generator, device=device)
    rows = torch.arange(height, device=device)[:, None] - (height - 1) * (0.25 + 0.5 * u[0])  # [n, H, 1]
    columns = torch.arange(width, device=device) - (width - 1) * (0.25 + 0.5 * u[1])  # [n, 1, W]
    size, thickness, angle = side * (1 + 2 * u[2]) / 8, side * (1 + u[3]) / 28, math.pi * u[4]
    along = (rows * angle.sin() + columns * angle.cos()).abs()
    across = (rows * angle.cos() - columns * angle.sin()).abs()
    disc = (rows.square() + columns.square()).sqrt() - size  # distance to the edge, below 0 inside
    bar = torch.maximum(along - size, across - thickness)
    cross = torch.minimum(bar, torch.maximum(across - size, along - thickness))
    kind = (torch.arange(n, device=device) % 3)[:, None, None]
    distance = torch.where(kind == 0, disc, torch.where(kind == 1, bar, cross))
    return (0.5 - distance).clamp(0, 1)[:, None].expand(n, channels, height, width).contiguous()
