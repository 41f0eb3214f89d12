"""Stacked convolutional autoencoders (Masci, Meier, Ciresan & Schmidhuber 2011).

A layer: h = sigmoid(conv(v, W) + c), pooled over 2 x 2, and v_hat = sigmoid(convt(h', W) + b) with flipped kernels. h'
is h with all but the maximum of each pool set to zero (max pooling, the only kind that gave Masci et al. useful
filters), or with the pool's mean at all its places (average pooling, the control). Each layer is trained by itself, on
the pooled maps of the layers below it, by cross-entropy; the pooled layers are the encoder that fine-tuning starts
from. decode() does not know the places: a maximum is spread over its pool.

Masci et al. use tanh units, 5x5 kernels and 100-150-200 maps: MNIST test error 0.71%, 0.79% without pretraining.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.common import (
    Batch,
    GreedyStack,
    Losses,
    Output,
    Spec,
    cross_entropy,
    initialise,
    require,
    require_widths,
    widen,
)

POOL = 2

KINDS = ("image",)


@dataclass(frozen=True)
class Config:
    """channels: maps per layer from the bottom; kernel: its side; layer: how each is pretrained."""

    channels: tuple[int, ...]
    kernel: int = 5
    pool: Literal["max", "average"] = "max"
    layer: Literal["autoencoder", "random"] = "autoencoder"
    dropout: float = 0.0  # dropout of each layer in fine-tuning

    def __post_init__(self) -> None:
        require_widths("channels", self.channels)
        require(self.kernel > 0, "kernel", self.kernel, "1 or more")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "0 up to, without, 1")


class TransposedConv(nn.Module):
    """The transposed convolution with another's kernels and its own bias: [B, out, ...] -> [B, in, ...]."""

    def __init__(self, source: nn.Conv2d) -> None:
        super().__init__()
        self._source = (source,)  # in a tuple, so that the weight is registered, saved and updated once
        self.bias = nn.Parameter(torch.zeros(source.in_channels))

    def forward(self, h: Tensor) -> Tensor:
        return F.conv_transpose2d(h, self._source[0].weight, self.bias)


class Layer:
    """One convolution and its reconstruction."""

    def __init__(self, forth: nn.Sequential, back: TransposedConv, pool: str) -> None:
        self.forth, self.back, self.thin = forth[:2], back, maxima if pool == "max" else means

    def parameters(self) -> list[nn.Parameter]:
        return [*self.forth.parameters(), *self.back.parameters()]

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """Cross-entropy of v_hat against v [B, C, H, W], in nats per image."""
        error = cross_entropy(self.back(self.thin(self.forth(batch.noisy))), batch.clean) / len(batch.clean)
        return Losses(error, {"reconstruction": error})


def maxima(h: Tensor) -> Tensor:
    """Maps [B, C, H, W] with zeros in place of all but the maximum of each pool; of equal values the first stays."""
    pooled, places = F.max_pool2d(h, POOL, return_indices=True)
    return torch.zeros_like(h).flatten(2).scatter(2, places.flatten(2), pooled.flatten(2)).view_as(h)


def means(h: Tensor) -> Tensor:
    """Maps [B, C, H, W] with each value replaced by the mean of its pool."""
    return F.interpolate(F.avg_pool2d(h, POOL), scale_factor=POOL, mode="nearest")


class Spread(nn.Module):
    """Pooled maps [B, C, h, w] repeated over their pools, times `share`: [B, C, 2 h, 2 w]."""

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, pooled: Tensor) -> Tensor:
        return self.share * F.interpolate(pooled, scale_factor=POOL, mode="nearest")


class ConvStack(GreedyStack):
    """Convolution, sigmoid, pooling, layer by layer; the code is the last pooled maps, flattened."""

    def __init__(self, config: Config, spec: Spec) -> None:
        forth: list[nn.Module] = []
        back: list[nn.Module] = []
        layers = []
        height, width = spec.shape[1:]
        for inputs, outputs in itertools.pairwise([spec.shape[0], *config.channels]):
            height, width = height - config.kernel + 1, width - config.kernel + 1
            fits = height > 0 < width and height % POOL == 0 == width % POOL
            require(fits, "kernel", f"{config.kernel} leaves {height} x {width} to pool", f"multiples of {POOL}")
            conv = nn.Conv2d(inputs, outputs, config.kernel)
            pool = nn.MaxPool2d(POOL) if config.pool == "max" else nn.AvgPool2d(POOL)
            block, flipped = nn.Sequential(conv, nn.Sigmoid(), pool), TransposedConv(conv)
            forth.append(block)
            back = [Spread(1 / POOL**2 if config.pool == "max" else 1.0), flipped, nn.Sigmoid(), *back]
            layers.append(Layer(block, flipped, config.pool))
            height, width = height // POOL, width // POOL
        code = nn.Unflatten(1, (config.channels[-1], height, width))
        super().__init__(spec, nn.Sequential(*forth), nn.Sequential(code, *back[:-1]), Output("sigmoid", "bce", "sum"))
        self.tuned_dropout = config.dropout
        self.layers = layers if config.layer == "autoencoder" else ()


def build(config: Config, spec: Spec, generator: Generator) -> ConvStack:
    model = ConvStack(config, spec)
    initialise(model, generator)
    widen(model.encoder)
    return model
