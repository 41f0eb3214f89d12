"""Sparse autoencoders: a dense autoencoder whose units are mostly inactive.

l1: weight * sum over units of |h| on the first layer's activations, mean over images. l1_weights: weight * sum of |w|
over the weights of all layers, a control: small weights are no sparse activations. kl: weight * mean (or sum) over
units of KL(rho || rho_hat), where rho_hat is a unit's mean activation over the batch (Ng, "Sparse autoencoder", CS294A
2011) or, with `memory`, a running mean over batches:

    KL(rho || rho_hat) = rho log(rho / rho_hat) + (1 - rho) log((1 - rho) / (1 - rho_hat)).

An inactive tanh unit is -1, so its activation is (1 + h) / 2. With `patch` the net sees small square crops: one at
random per image and step during training, afterwards a grid of overlapping ones that covers the image; overlapping
reconstructions are averaged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Generator, Tensor

from aelab.models.common import (
    Autoencoder,
    Batch,
    DenseConfig,
    Losses,
    Reduction,
    Spec,
    bernoulli_kl,
    dense_parts,
    initialise,
    require,
)


@dataclass(frozen=True)
class Config(DenseConfig):
    """penalty: l1, kl or l1_weights; weight: its factor in the loss (beta); rho: the target mean activation of kl.

    units: whether kl is averaged or summed over units; memory: weight of the running mean in rho_hat, 0: the batch
    only; patch: rows and columns of the crops, null: whole images.
    """

    penalty: Literal["l1", "kl", "l1_weights"] = "kl"
    weight: float = 0.0
    rho: float = 0.05
    units: Reduction = "mean"
    memory: float = 0.0
    patch: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.weight >= 0, "weight", self.weight, "0 or more")
        require(0 < self.rho < 1, "rho", self.rho, "between 0 and 1")
        require(0 <= self.memory < 1, "memory", self.memory, "0 up to, without, 1")
        fits = self.penalty != "kl" or self.first in ("sigmoid", "tanh")
        require(fits, "penalty", f"kl on {self.first} units", "kl on sigmoid or tanh units, l1, l1_weights")

    @property
    def first(self) -> str:
        """The activation of the first layer, which the penalty acts on."""
        return self.code_activation if len(self.widths) == 1 else self.activation


class SparseAutoencoder(Autoencoder):
    """Overrides the penalty only; it acts on the first layer's activations, or (l1_weights) on all weights."""

    running: Tensor  # the mean activations [units] of past batches

    def __init__(self, config: Config, spec: Spec) -> None:
        super().__init__(spec, *dense_parts(config, spec))
        self.config = config
        self.inactive_value = -1.0 if config.code_activation == "tanh" else 0.0
        self.register_buffer("running", torch.full((config.widths[0],), config.rho), persistent=config.memory > 0)

    def penalty(self, hidden: list[Tensor]) -> dict[str, Tensor]:
        first, config = hidden[0], self.config  # [B, units]
        if config.penalty == "l1":
            return {"sparsity": config.weight * first.abs().sum(1).mean()}
        if config.penalty == "l1_weights":
            weights = [weight for weight in self.parameters() if weight.dim() > 1]
            return {"weights": config.weight * torch.stack([weight.abs().sum() for weight in weights]).sum()}
        rho_hat = ((1 + first) / 2 if config.first == "tanh" else first).mean(0)
        if config.memory:
            rho_hat = config.memory * self.running + (1 - config.memory) * rho_hat
            if self.training and torch.is_grad_enabled():
                self.running.copy_(rho_hat.detach())
        divergence = bernoulli_kl(config.rho, rho_hat)
        return {"sparsity": config.weight * (divergence.sum() if config.units == "sum" else divergence.mean())}


class PatchAutoencoder(SparseAutoencoder):
    """Trained on crops; the code of an image is the codes of all patches of the grid, row by row."""

    def __init__(self, config: Config, size: int, spec: Spec) -> None:
        channels, height, width = spec.shape
        require(size <= min(height, width), "patch", size, f"at most the image's {height} x {width}")
        super().__init__(config, Spec((channels, size, size), spec.classes))
        self.spec, self.size = spec, size
        self.corners = [(top, left) for top in starts(height, size) for left in starts(width, size)]

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """The loss of one crop per image, each at a random place."""
        images, rows, columns = len(batch.clean), *(n - self.size + 1 for n in self.spec.shape[1:])
        place = torch.randint(rows * columns, (images,), generator=generator, device=batch.clean.device)
        every = torch.arange(images, device=place.device)
        clean, noisy = (
            x.unfold(2, self.size, 1).unfold(3, self.size, 1)[every, :, place // columns, place % columns]
            for x in (batch.clean, batch.noisy)
        )
        return super().loss(Batch(clean, noisy, batch.label), generator)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images [B, C, H, W] -> codes [B, patches * units]."""
        crops = [x[:, :, top : top + self.size, left : left + self.size] for top, left in self.corners]
        return super().encode(torch.stack(crops, 1).flatten(0, 1)).view(x.shape[0], -1)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        patches = super().decode(z.view(z.shape[0] * len(self.corners), -1)).unflatten(0, (z.shape[0], -1))
        total, count = z.new_zeros(z.shape[0], *self.spec.shape), z.new_zeros(self.spec.shape[1:])
        for number, (top, left) in enumerate(self.corners):
            total[:, :, top : top + self.size, left : left + self.size] += patches[:, number]
            count[top : top + self.size, left : left + self.size] += 1
        return total / count


def starts(length: int, size: int) -> list[int]:
    """Start positions of patches of `size` pixels that cover `length`; neighbours overlap by 0.4 of their size or
    more."""
    steps = math.ceil((length - size) / math.ceil(0.6 * size))
    return [round(step * (length - size) / max(1, steps)) for step in range(steps + 1)]


def build(config: Config, spec: Spec, generator: Generator) -> SparseAutoencoder:
    sparse = SparseAutoencoder(config, spec) if config.patch is None else PatchAutoencoder(config, config.patch, spec)
    initialise(sparse, generator, config.init)
    return sparse
