"""Stacks that are trained layer by layer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Protocol

from torch import Generator, Tensor, nn

from aelab.models.common.protocol import Autoencoder, Batch, Losses, Phase


class GreedyLayer(Protocol):
    """One layer of a stack during pretraining."""

    def parameters(self) -> list[nn.Parameter]: ...

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """The loss on the outputs of the layers below; its term `reconstruction` is the error on its own input."""
        ...


class GreedyStack(Autoencoder):
    """Trains its `layers` one by one, the lowest first, each on the codes of the fixed layers below it.

    There is one layer for each encoder block, or none at all: a stack that stays random.
    """

    layers: Sequence[GreedyLayer] = ()

    def phases(self) -> list[Phase]:
        return [
            Phase(
                f"layer{depth}",
                layer.parameters(),
                layer.loss,
                "reconstruction",
                partial(self.below, depth) if depth else None,
            )
            for depth, layer in enumerate(self.layers)
        ]

    def below(self, depth: int, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> the input of layer `depth`: the codes of the layers below it."""
        return self.encoder[:depth](x)
