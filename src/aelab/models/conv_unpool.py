"""A convolutional autoencoder that unpools: max pooling remembers where each maximum stood (Zeiler et al. 2010).

The encoder of `conv`; its decoder runs the same layers backwards, a transposed convolution for each convolution and for
each pooling its unpooling, which puts every value where it came from and 0 elsewhere:

    pool:    v = max over a window of x, w = the maximum's place in that window (0 .. size^2 - 1, row by row)
    unpool:  x_hat[place w of the window] = v, 0 at the other places and where no window reached

Against `conv`, whose decoder must invent the places, the code is larger: the values of the last map AND the places of
all poolings, which is why encode() puts both in one vector and code_numbers counts both (28x28, channels 16 and 8: 32
values, 32 and 400 places of 2 bits each, 464 numbers). Expect: clearly below the error of `conv`, mostly bought with
the 400 places of the first pooling; not comparable with a code of 32 numbers.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.base import (
    Autoencoder,
    Batch,
    Losses,
    Output,
    OutputActivation,
    ReconstructionLoss,
    Reduction,
    Spec,
    initialise,
    require,
)

KERNEL, PADDING = 3, 1


@dataclass(frozen=True)
class Config:
    """channels, strides: of the 3x3 convolutions (padding 1), each followed by ReLU and pooling over `pool` x `pool`."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    pool: int = 2
    output: OutputActivation = "sigmoid"
    loss: ReconstructionLoss = "bce"
    reduction: Reduction = "sum"

    def __post_init__(self) -> None:
        require(
            len(self.channels) > 0 and min(self.channels) > 0,
            "channels",
            list(self.channels),
            "one or more positive numbers",
        )
        require(
            len(self.strides) == len(self.channels) and min(self.strides) > 0,
            "strides",
            list(self.strides),
            "a positive number for each of `channels`",
        )
        require(self.pool > 1, "pool", self.pool, "2 or more")


def pool(x: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Maps [B, C, H, W] -> the maxima of windows `size` x `size` and their places in them, [B, C, H/size, W/size] each.

    Rows and columns that fill no window are left out; of equal values the first counts.
    """
    values, flat = F.max_pool2d(x, size, return_indices=True)
    row, column = flat // x.shape[3], flat % x.shape[3]
    return values, row % size * size + column % size


def unpool(values: Tensor, places: Tensor, size: int, shape: tuple[int, int]) -> Tensor:
    """Maxima and their places [B, C, h, w] -> maps [B, C, *shape]: each value in its place, zeros elsewhere.

    torch's MaxUnpool2d does the same with places counted over the whole map, and refuses deterministic mode.
    """
    b, c, h, w = values.shape
    windows = F.one_hot(places, size * size) * values[..., None]  # [B, C, h, w, size^2]
    maps = windows.view(b, c, h, w, size, size).transpose(3, 4).reshape(b, c, h * size, w * size)
    return F.pad(maps, (0, shape[1] - w * size, 0, shape[0] - h * size))
