"""The last step of a decoder, and the reconstruction losses."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch._C._functorch import is_batchedtensor
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
        if self.loss == "bce" and weight is None:
            total = cross_entropy(raw, clean)
        elif self.loss == "bce":
            total = F.binary_cross_entropy_with_logits(raw, clean, weight, reduction="sum")
        else:
            out = torch.tanh(raw) if self.activation == "tanh" else self(raw)
            squares = (out - self.scale(clean)).square()
            total = (squares if weight is None else weight * squares).sum()
        return total / (len(clean) if self.reduction == "sum" else clean.numel())


def cross_entropy(raw: Tensor, target: Tensor) -> Tensor:
    """-sum of t ln s + (1 - t) ln(1 - s), s = sigmoid(raw), over everything (scalar, nats); no gradient for the target.

    Like F.binary_cross_entropy_with_logits with reduction="sum", in less than half the time on a CPU; that function has
    one kernel on a GPU, and a rule for vmap (training/vectorized.py). Logits in bfloat16 are converted to the target's
    dtype, because their logarithms need more digits.
    """
    raw = raw.to(target.dtype)
    if raw.device.type != "cpu" or is_batchedtensor(raw):
        return F.binary_cross_entropy_with_logits(raw, target, reduction="sum")
    return _CrossEntropy.apply(raw, target)  # type: ignore[return-value]


class _CrossEntropy(torch.autograd.Function):
    """ln(1 + e^raw) - t raw, with ln(1 + e^raw) = max(raw, 0) - ln max(s, 1 - s).

    max(s, 1 - s) lies in [1/2, 1], so eight of them are multiplied before one logarithm is taken, where eight divides
    their number. No torch.dot: runtime.rounding would round its factors.
    """

    @staticmethod
    def forward(ctx, raw: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        s = torch.sigmoid(raw)
        ctx.save_for_backward(s, target)
        room = torch.rsub(s, 1)
        larger = torch.maximum(s, room, out=room).flatten()
        products = larger.view(8, -1).prod(0) if larger.numel() % 8 == 0 else larger
        logs = products.log_().sum()
        return torch.clamp_min(raw, 0, out=room).sum() - logs - torch.mul(raw, target, out=room).sum()

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        s, target = ctx.saved_tensors
        return (s - target).mul_(gradient), None
