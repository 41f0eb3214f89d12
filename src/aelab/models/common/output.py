"""The last step of a decoder, and the reconstruction losses."""

from __future__ import annotations

import math
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from aelab.data.layout import Layout, on
from aelab.models.common.layers import ACTIVATIONS, require

OutputActivation = Literal["linear", "relu", "sigmoid", "tanh"]

ReconstructionLoss = Literal["bce", "mse"]

Reduction = Literal["sum", "mean"]


class Output(nn.Module):
    """The last step of a decoder: raw outputs to data units, and the matching reconstruction loss.

    sigmoid, tanh: bounded to [0, 1] (tanh works on data scaled to [-1, 1] and is mapped back); linear, relu: unbounded,
    never clamped. bce is computed from logits (sigmoid only), mse in the network's range. `sum` adds over pixels,
    `mean` averages over them; both average over images. standard: (mean, deviation) of the pixels, where the network
    works on (x - mean) / deviation, tanh too, with mse.
    """

    def __init__(
        self,
        activation: OutputActivation,
        loss: ReconstructionLoss,
        reduction: Reduction,
        standard: tuple[float, float] | None = None,
    ) -> None:
        super().__init__()
        require(
            loss != "bce" or activation == "sigmoid",
            "loss",
            f"bce with output {activation}",
            "bce with sigmoid, mse",
        )
        if standard is not None:
            require(standard[1] > 0, "standard", list(standard), "a mean, and a deviation above 0")
            require(loss == "mse", "standard", f"{list(standard)} with loss {loss}", "with mse")
        self.activation, self.loss, self.reduction, self.standard = activation, loss, reduction, standard
        self.bounded = activation in ("sigmoid", "tanh") and standard is None

    def scale(self, x: Tensor) -> Tensor:
        """Data units -> the range of the network: [-1, 1] for tanh, standardised where asked for, else unchanged."""
        if self.standard:
            return (x - self.standard[0]) / self.standard[1]
        return 2 * x - 1 if self.activation == "tanh" else x

    def forward(self, raw: Tensor) -> Tensor:
        """Raw outputs -> data units."""
        out: Tensor = ACTIVATIONS[self.activation]()(raw)
        if self.standard:
            return out * self.standard[1] + self.standard[0]
        return (out + 1) / 2 if self.activation == "tanh" else out

    def error(self, raw: Tensor, clean: Tensor, weight: Tensor | None = None) -> Tensor:
        """The reconstruction loss (scalar) of raw outputs against clean images, each pixel times `weight`; [B, ...]."""
        if self.loss == "bce":
            total = cross_entropy(raw, clean, weight)
        else:
            out = ACTIVATIONS[self.activation]()(raw)
            squares = (out - self.scale(clean)).square()
            total = (squares if weight is None else weight * squares).sum()
        return total / (len(clean) if self.reduction == "sum" else clean.numel())

    def log_probability(self, x: Tensor, raw: Tensor) -> Tensor:
        """log p(x) of images [B, C, H, W], raw [..., B, C, H, W]: [..., B], in nats. Here pixels are Bernoulli."""
        return log_bernoulli(x, raw)


class CellOutput(Output):
    """The last step of a decoder for tables and series, whose columns `layout` describes.

    Numbers are linear, their error is the squared one; a category is a softmax over its inputs, its error the
    cross-entropy; missing cells count nothing. share: of the squared error; 0.5 makes the error, but for a constant,
    -log p(x) of numbers N(x_hat, 1).
    """

    def __init__(self, layout: Layout, dims: int, reduction: Reduction, share: float = 1.0) -> None:
        super().__init__("linear", "mse", reduction)
        self.layout, self.dims, self.share = layout, dims, share

    def forward(self, raw: Tensor) -> Tensor:
        result = raw.clone()
        for flag in self.layout.flags:
            if flag >= 0:
                result[..., flag] = 1
        for start, stop in self.layout.blocks:
            result[..., start:stop] = raw[..., start:stop].softmax(-1)
        return result

    def error(self, raw: Tensor, clean: Tensor, weight: Tensor | None = None) -> Tensor:
        total = self.errors(raw, clean, weight).sum()
        return total / (len(clean) if self.reduction == "sum" else clean.numel())

    def errors(self, raw: Tensor, clean: Tensor, weight: Tensor | None = None) -> Tensor:
        """The error of each row or time step: raw and clean [..., D] -> [...]."""
        counts = self.layout.known(clean) if weight is None else weight * self.layout.known(clean)
        numbers = on(self.layout.numbers, raw.device)
        squares = counts * (raw - clean).square()
        total = self.share * squares.index_select(-1, numbers).sum(-1)
        for start, stop in self.layout.blocks:
            logs = raw[..., start:stop].log_softmax(-1)
            total = total - (counts[..., start:stop] * clean[..., start:stop] * logs).sum(-1)
        return total

    def log_probability(self, x: Tensor, raw: Tensor) -> Tensor:
        """log p(x) of rows [B, D] or series [B, T, D], raw with leading axes: [..., B], in nats."""
        x = x.expand_as(raw)
        known = self.layout.known_numbers(x).flatten(-self.dims).sum(-1)
        errors = self.errors(raw, x)
        return (
            -(errors if self.dims == 1 else errors.flatten(1 - self.dims).sum(-1)) - known * math.log(2 * math.pi) / 2
        )


def log_bernoulli(x: Tensor, raw: Tensor) -> Tensor:
    """log p(x) = sum over pixels of x raw - log(1 + e^raw), for logits raw [..., C, H, W]: [...], in nats."""
    return -F.binary_cross_entropy_with_logits(raw, x.expand_as(raw), reduction="none").flatten(-3).sum(-1)


def cross_entropy(raw: Tensor, target: Tensor, weight: Tensor | None = None) -> Tensor:
    """-sum of t ln s + (1 - t) ln(1 - s), s = sigmoid(raw), each times `weight`, over everything (scalar, nats).

    Logits in bfloat16 are converted to the target's dtype, because their logarithms need more digits.
    """
    return F.binary_cross_entropy_with_logits(raw.to(target.dtype), target, weight, reduction="sum")
