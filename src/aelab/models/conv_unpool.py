"""A convolutional autoencoder that unpools: max pooling remembers where each maximum stood (Zeiler et al. 2010).

The encoder of `conv`; its decoder runs the same layers backwards, a transposed convolution for each convolution and for
each pooling its unpooling, which puts every value where it came from and 0 elsewhere:

    pool:    v = max over a window of x, w = the maximum's place in that window (0 .. size^2 - 1, row by row)
    unpool:  x_hat[place w of the window] = v, 0 at the other places and where no window reached

Against `conv`, whose decoder must invent the places, the code is larger: the values of the last map AND the places of
all poolings, which is why encode() puts both in one vector and latent_dim counts both (28x28, channels 16 and 8: 32
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

from aelab.models.common import (
    Autoencoder,
    Batch,
    Losses,
    OutputActivation,
    ReconstructionLoss,
    Reduction,
    Spec,
    initialise,
    require,
    require_widths,
)

KERNEL, PADDING = 3, 1

KINDS = ("image",)


@dataclass(frozen=True)
class Config:
    """channels, strides: of the 3x3 convolutions with padding 1, each followed by ReLU and pooling over pool x pool."""

    channels: tuple[int, ...]
    strides: tuple[int, ...]
    pool: int = 2
    output: OutputActivation = "sigmoid"
    loss: ReconstructionLoss = "bce"
    reduction: Reduction = "sum"

    def __post_init__(self) -> None:
        require_widths("channels", self.channels)
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
    chosen = places[..., None] == torch.arange(size * size, device=places.device)  # [B, C, h, w, size^2]
    windows = chosen * values[..., None]
    maps = windows.view(b, c, h, w, size, size).transpose(3, 4).reshape(b, c, h * size, w * size)
    return F.pad(maps, (0, shape[1] - w * size, 0, shape[0] - h * size))


class UnpoolingAutoencoder(Autoencoder):
    """Codes [B, K]: the values of the last map, then the places of the last pooling, ..., of the first.

    decode() takes any numbers as places: they are rounded and kept within their window, so that a code between two
    codes, or a random one, decodes too.
    """

    def __init__(self, config: Config, spec: Spec) -> None:
        channels, sizes = [spec.shape[0], *config.channels], [spec.shape[1:]]
        forth: list[nn.Module] = []
        back: list[nn.Module] = []
        mapped, pooled = [], []  # sizes: of what each pooling is given, shapes: of what it puts out
        for (before, after), stride in zip(itertools.pairwise(channels), config.strides, strict=True):
            reach = [n + 2 * PADDING - KERNEL for n in sizes[-1]]
            unreached = reach[0] % stride, reach[1] % stride  # rows and columns, given back by output_padding
            forth.append(nn.Sequential(nn.Conv2d(before, after, KERNEL, stride, PADDING), nn.ReLU()))
            back.append(nn.ConvTranspose2d(after, before, KERNEL, stride, PADDING, unreached))
            mapped.append((reach[0] // stride + 1, reach[1] // stride + 1))
            sizes.append((mapped[-1][0] // config.pool, mapped[-1][1] // config.pool))
            pooled.append((after, *sizes[-1]))
            require(min(sizes[-1]) > 0, "pool", config.pool, f"up to the map's {min(mapped[-1])} rows or columns")
        output = spec.output(config.output, config.loss, config.reduction)
        super().__init__(spec, nn.Sequential(*forth), nn.Sequential(*reversed(back)), output)
        self.pool, self.mapped, self.pooled = config.pool, mapped, pooled

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        maps, all_places = self.output.scale(x), []
        for block in self.encoder:
            maps, places = pool(block(maps), self.pool)
            all_places.append(places)
        return torch.cat([part.flatten(1).to(maps.dtype) for part in (maps, *reversed(all_places))], 1)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.output(self.raw(z))

    def code_bits(self, numbers: int) -> float:
        """Values as float32, places within their windows."""
        values = math.prod(self.pooled[-1])
        return 32.0 * values + (numbers - values) * math.log2(self.pool**2)

    def raw(self, z: Tensor) -> Tensor:
        """Codes [B, K] -> raw outputs [B, C, H, W]."""
        depths = [*reversed(range(len(self.pooled)))]  # as the decoder meets them
        maps, *all_places = z.split([math.prod(self.pooled[i]) for i in (depths[0], *depths)], 1)
        maps = maps.unflatten(1, self.pooled[-1])
        for depth, places, layer in zip(depths, all_places, self.decoder, strict=True):  # type: ignore[arg-type]
            where = places.round().clamp(0, self.pool**2 - 1).long().unflatten(1, self.pooled[depth])
            maps = layer(unpool(maps, where, self.pool, self.mapped[depth]))
            if depth:
                maps = maps.relu()
        return maps

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        error = self.output.error(self.raw(self.encode(batch.noisy)), batch.clean)
        return Losses(error, {"reconstruction": error})


def build(config: Config, spec: Spec, generator: Generator) -> UnpoolingAutoencoder:
    model = UnpoolingAutoencoder(config, spec)
    initialise(model, generator)
    return model
