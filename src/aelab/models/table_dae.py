"""Denoising autoencoders of tables (Jahrer 2017, winner of Porto Seguro's competition): swap noise, wide layers, and
as features the activations of ALL layers.

    h_1 = relu(W_1 x~ + b_1), h_2 = relu(W_2 h_1 + b_2), ..., x_hat = V h_L + c;   code: [h_1, h_2, ..., h_L]

x~ is x with a share of the cells taken from other rows (`noise: [swap 0.15]`), which keeps every column's distribution,
unlike masking. The code has more numbers than the row: what forbids a copy is the noise. With `mask_weight` a second
head predicts which cells the noise has changed (as in Kaggle's Tabular Playground Series of 2021): its cross-entropy,
summed over cells, times the weight is added to the loss.

Expect: a better supervised learner on few labels than from the raw columns where columns depend on each other; a larger
error on clean rows than a plain net of these widths.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.data.layout import on
from aelab.models.common import (
    Activation,
    Autoencoder,
    Batch,
    Losses,
    Spec,
    dense,
    initialise,
    require,
    require_widths,
)

KINDS = ("table", "series")


@dataclass(frozen=True)
class Config:
    """widths: of the hidden layers; mask_weight: of the head that predicts which cells were changed, 0: there is
    none."""

    widths: tuple[int, ...]
    activation: Activation = "relu"
    mask_weight: float = 0.0

    def __post_init__(self) -> None:
        require_widths("widths", self.widths)
        require(self.mask_weight >= 0, "mask_weight", self.mask_weight, "0 or more")


class AllLayers(nn.Module):
    """Rows [B, ...] -> the activations of all layers side by side [B, sum of widths]."""

    def __init__(self, inputs: int, config: Config) -> None:
        super().__init__()
        sizes = [inputs, *config.widths]
        self.layers = nn.ModuleList(dense(a, b, config.activation) for a, b in itertools.pairwise(sizes))

    def forward(self, x: Tensor) -> Tensor:
        hidden = [x.flatten(1)]
        for layer in self.layers:
            hidden.append(layer(hidden[-1]))
        return torch.cat(hidden[1:], 1)


class FromLast(nn.Module):
    """The activations of all layers [B, K] -> raw outputs [B, *shape], from the last layer's alone."""

    def __init__(self, width: int, shape: tuple[int, ...], pixels: int) -> None:
        super().__init__()
        self.width, self.shape = width, shape
        self.out = nn.Linear(width, pixels)

    def forward(self, z: Tensor) -> Tensor:
        return self.out(z[:, -self.width :]).unflatten(1, self.shape)


class TableAutoencoder(Autoencoder):
    """Overrides the loss where a second head predicts the changed cells."""

    def __init__(self, config: Config, spec: Spec) -> None:
        last, layout = config.widths[-1], spec.layout
        assert layout is not None
        decoder = FromLast(last, spec.shape, spec.pixels)
        output = spec.output("linear", "mse", "sum")
        super().__init__(spec, nn.Sequential(AllLayers(spec.pixels, config)), decoder, output)
        self.layout, self.last, self.mask_weight = layout, last, config.mask_weight
        cells = spec.pixels // len(layout.cells) * layout.count
        self.mask_head = nn.Linear(last, cells) if config.mask_weight else None

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        losses = super().loss(batch, generator)
        if self.mask_head is None:
            return losses
        logits = self.mask_head(self.encoder(batch.noisy)[:, -self.last :])
        cells = on(self.layout.cells, logits.device)
        empty = logits.new_zeros(*batch.clean.shape[:-1], self.layout.count)
        changed = empty.index_add(-1, cells, (batch.clean != batch.noisy).to(logits.dtype)).clamp(max=1).flatten(1)
        mask = F.binary_cross_entropy_with_logits(logits, changed, reduction="sum") / len(changed)
        return Losses(losses.total + self.mask_weight * mask, losses.terms | {"mask": mask})


def build(config: Config, spec: Spec, generator: Generator) -> Autoencoder:
    model = TableAutoencoder(config, spec)
    initialise(model, generator)
    return model
