"""What a model costs."""

from __future__ import annotations

from torch import Tensor, nn


def parameters(model: nn.Module) -> int:
    """Numbers that were learned, shared ones once; a closed-form model's buffers count too."""
    learned = sum(parameter.numel() for parameter in model.parameters())
    return learned or sum(buffer.numel() for buffer in model.buffers())


def flops(model: nn.Module, x: Tensor) -> int:
    """Floating-point operations to rebuild x [1, C, H, W]: matrix products and convolutions, a multiply-add is two."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.reconstruct(x)  # type: ignore[operator]
    return counter.get_total_flops()


def code_bytes(numbers: int) -> int:
    """Bytes of one code as it comes: float32."""
    return 4 * numbers
