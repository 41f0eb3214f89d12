"""Stacked networks for greedy layer-wise pretraining (Hinton 2006, Bengio 2007, Vincent 2008).

Each layer learns alone, as a one-layer autoencoder with tied weights, on the codes of the layers below it, which stay
fixed; the layers together are the encoder that fine-tuning starts from. With noise (`noise:`) a layer sees a corrupted
copy of its own input only: no layer is trained on corrupted codes of the layer below (Vincent 2008).
MNIST 50,000/10,000/10,000, 3 layers, test error: denoising 1.28%, plain 1.40% (Vincent 2010).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

from torch import Generator, Tensor, nn

from aelab.models.base import (
    Autoencoder,
    Batch,
    DenseConfig,
    Losses,
    Output,
    Phase,
    Spec,
    dense_parts,
    initialise,
    require,
)


@dataclass(frozen=True)
class Config:
    """widths: units per layer from the bottom; layer: how each learns before fine-tuning ("random": not at all)."""

    widths: tuple[int, ...]
    layer: Literal["autoencoder", "random"]

    def __post_init__(self) -> None:
        require(
            len(self.widths) > 0 and min(self.widths) > 0,
            "widths",
            list(self.widths),
            "one or more positive numbers",
        )


class Stack(Autoencoder):
    """Sigmoid layers with tied weights: x_hat = g1(g2(...f2(f1(x)))), one phase per layer."""

    def __init__(self, config: Config, spec: Spec) -> None:
        net = DenseConfig(config.widths, activation="sigmoid", code="sigmoid", tied=True)
        super().__init__(spec, *dense_parts(net, spec))
        self.learns = config.layer != "random"
        self.layer_output = Output("sigmoid", "bce", "sum")

    def phases(self) -> list[Phase]:
        """One phase per layer, bottom first; none where the stack stays random."""
        backs = [module for module in self.decoder if not isinstance(module, (nn.Sigmoid, nn.Unflatten))]  # type: ignore[union-attr]
        pairs = list(zip(self.encoder, reversed(backs), strict=True)) if self.learns else []
        return [
            Phase(
                f"layer{depth}",
                [*forth.parameters(), *back.parameters()],
                partial(self.layer_loss, forth, back),
                "reconstruction",
                partial(self.below, depth) if depth else None,
            )
            for depth, (forth, back) in enumerate(pairs)
        ]

    def below(self, depth: int, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> what layer `depth` learns on: the codes [B, K] of the layers under it."""
        return self.encoder[:depth](x)

    def layer_loss(
        self,
        forth: Callable[[Tensor], Tensor],
        back: Callable[[Tensor], Tensor],
        batch: Batch,
        generator: Generator,
    ) -> Losses:
        """Cross-entropy of one layer's reconstruction of its own input, in nats per image (Vincent 2008, eq. 2)."""
        error = self.layer_output.error(back(forth(batch.noisy)), batch.clean.flatten(1))
        return Losses(error, {"reconstruction": error})


def build(config: Config, spec: Spec, generator: Generator) -> Stack:
    model = Stack(config, spec)
    initialise(model, generator)
    return model
