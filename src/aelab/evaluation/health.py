"""Which parts of a network are unused: constant hidden units, codebook vectors that no image uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

ACTIVATIONS = (nn.ReLU, nn.Sigmoid, nn.Tanh, nn.SiLU, nn.GELU)
STILL = 1e-3  # a unit whose outputs differ by less over all images is constant


@runtime_checkable
class Codebook(Protocol):
    """A model whose codes are indices of vectors in a codebook."""

    codebook: Tensor  # [codes, depth]

    def indices(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> int64 [B, h, w]."""
        ...


def hidden(model: nn.Module, run: Callable[[], Any]) -> dict[str, float]:
    """While `run()` feeds images to `model`: hidden_units, and dead_hidden, the number of them that are constant.

    A unit is an output of an activation layer in encoder or decoder; a channel, over all its positions, counts once.
    Absent if there is no activation layer.
    """
    along_time = any(isinstance(item, nn.Conv1d) for item in model.modules())
    low: dict[nn.Module, Tensor] = {}
    high: dict[nn.Module, Tensor] = {}

    def note(module: nn.Module, given: Any, out: Tensor) -> None:
        # of [B, K], [B, C, H, W] and the maps [B, C, T] of a series the second axis; of tokens [B, T, K] the last
        units = 1 if out.dim() in (2, 4) or along_time else out.dim() - 1
        rows = out.detach().movedim(units, 0).flatten(1)
        low[module] = torch.minimum(low[module], rows.amin(1)) if module in low else rows.amin(1)
        high[module] = torch.maximum(high[module], rows.amax(1)) if module in high else rows.amax(1)

    hooks = [item.register_forward_hook(note) for item in model.modules() if isinstance(item, ACTIVATIONS)]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    if not low:
        return {}
    ranges = torch.cat([high[module] - low[module] for module in low])
    return {"hidden_units": len(ranges), "dead_hidden": float((ranges < STILL).sum())}


def codebook(model: Codebook, x: Tensor) -> dict[str, float]:
    """perplexity: exp of the entropy of the usage of codes, 1 to `codes`; dead_codes: the number of unused ones."""
    with torch.no_grad():
        taken = torch.cat([model.indices(part).flatten() for part in x.split(1000)])
    codes = len(model.codebook)
    share = torch.bincount(taken, minlength=codes).double() / len(taken)
    entropy = torch.special.entr(share).sum()
    return {"codes": codes, "perplexity": entropy.exp().item(), "dead_codes": float((share == 0).sum())}
