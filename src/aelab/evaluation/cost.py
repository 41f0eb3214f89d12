"""The cost of a model: parameters and arithmetic."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def parameters(model: nn.Module) -> int:
    """The number of learned values, shared ones once: parameters, and the buffers that the model lists as learned."""
    buffers = (model.get_buffer(name) for name in getattr(model, "learned_buffers", ()))
    return sum(tensor.numel() for tensor in (*model.parameters(), *buffers))


def flops(model: nn.Module, x: Tensor, condition: Tensor | None = None) -> int:
    """Floating-point operations to reconstruct x [1, C, H, W]: matrix products and convolutions, a multiply-add is two.

    condition: its label [1], for models that need labels. Bias additions, activations, pooling, upsampling and
    normalisation are not counted. torch's own FlopCounterMode counts the same (a test compares them) but takes seconds
    to import.
    """
    with torch.no_grad(), _Counter() as counter:
        model.reconstruct(x, condition)  # type: ignore[operator]
    return counter.total


class _Counter(TorchFunctionMode):
    """Counts operations of the few functions that do the arithmetic."""

    total = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if func in _COUNTS:
            self.total += _COUNTS[func](out, *args[:2])
        return out


def _product(out: Tensor, x: Tensor, *_: Any) -> int:
    return 2 * out.numel() * x.shape[-1]


_COUNTS: dict[Any, Callable[..., int]] = {
    F.linear: _product,
    torch.matmul: _product,
    Tensor.matmul: _product,
    Tensor.__matmul__: _product,
    torch.addmm: lambda out, added, x: _product(out, x),
    F.conv2d: lambda out, x, weight: 2 * out.numel() * math.prod(weight.shape[1:]),
    F.conv_transpose2d: lambda out, x, weight: 2 * x.numel() * math.prod(weight.shape[1:]),
}
