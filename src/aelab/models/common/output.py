"""The last step of a decoder, and the reconstruction losses."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aelab.models.common.layers import ACTIVATIONS, require

OutputActivation = Literal["linear", "relu", "sigmoid", "tanh"]

ReconstructionLoss = Literal["bce", "mse"]

Reduction = Literal["sum", "mean"]


class Output(nn.Module):
    """The last step of a decoder: raw outputs to data units, and the matching reconstruction loss.

    sigmoid, tanh: bounded to [0, 1] (tanh works on data scaled to [-1, 1] and is mapped back); linear, relu: unbounded,
    never clamped. bce is computed from logits (sigmoid only), mse in the network's range. `sum` adds over pixels,
    `mean` averages over them; both average over images.
    """

    def __init__(self, activation: OutputActivation, loss: ReconstructionLoss, reduction: Reduction) -> None:
        super().__init__()
        require(
            loss != "bce" or activation == "sigmoid",
            "loss",
            f"bce with output {activation}",
            "bce with sigmoid, mse",
        )
        self.activation, self.loss, self.reduction = activation, loss, reduction
        self.bounded = activation in ("sigmoid", "tanh")

    def scale(self, x: Tensor) -> Tensor:
        """Data units -> the range of the network: [-1, 1] for tanh, else unchanged."""
        return 2 * x - 1 if self.activation == "tanh" else x

    def forward(self, raw: Tensor) -> Tensor:
        """Raw outputs -> data units."""
        if self.activation == "tanh":
            return (torch.tanh(raw) + 1) / 2
        return ACTIVATIONS[self.activation]()(raw)

    def error(self, raw: Tensor, clean: Tensor, weight: Tensor | None = None) -> Tensor:
        """The reconstruction loss (scalar) of raw outputs against clean images, each pixel times `weight`; [B, ...]."""
        if self.loss == "bce":
            total = cross_entropy(raw, clean, weight)
        else:
            out = torch.tanh(raw) if self.activation == "tanh" else self(raw)
            squares = (out - self.scale(clean)).square()
            total = (squares if weight is None else weight * squares).sum()
        return total / (len(clean) if self.reduction == "sum" else clean.numel())


def cross_entropy(raw: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """-sum of t ln s + (1 - t) ln(1 - s), s = sigmoid(raw), each times `weight`, over everything (scalar, nats).

    Logits in bfloat16 are converted to the target's dtype, because their logarithms need more digits.
    """
    return F.binary_cross_entropy_with_logits(raw.to(target.dtype), target, weight, reduction="sum")
