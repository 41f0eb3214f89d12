"""The cost of a model: parameters and arithmetic."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode


def parameters(model: nn.Module) -> int:
    """The number of learned values, shared ones once: parameters, and the buffers that the model lists as learned."""
    buffers = (model.get_buffer(name) for name in getattr(model, "learned_buffers", ()))
    return sum(tensor.numel() for tensor in (*model.parameters(), *buffers))


def flops(model: nn.Module, x: Tensor, condition: Tensor | None = None) -> int:
    """Floating-point operations to reconstruct x [1, C, H, W]: matrix products and convolutions, a multiply-add is two.

    condition: its label [1], for models that need labels. Bias additions, activations, pooling, upsampling and
    normalisation are not counted.
    """
    with torch.no_grad(), _unfused(), FlopCounterMode(display=False) as counter:
        model.reconstruct(x, condition)  # type: ignore[operator]
    return counter.get_total_flops()


@contextmanager
def _unfused() -> Iterator[None]:
    """Compute attention and recurrent layers from single products: of their fused kernels torch counts nothing."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with (
            warnings.catch_warnings(action="ignore"),  # about TF32
            torch.backends.mkldnn.flags(enabled=False),
            torch.backends.cudnn.flags(enabled=False),
        ):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
