"""Images as they are drawn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor


def shown(x: Tensor) -> np.ndarray:
    """Images [n, C, H, W] in [0, 1] -> uint8 [n, H, W], in colour [n, H, W, 3]; values outside clipped."""
    return drawn(in_bytes(x))


def in_bytes(x: Tensor) -> np.ndarray:
    """Values in [0, 1] -> uint8 of the same shape, values outside clipped."""
    return x.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()


def drawn(images: np.ndarray) -> np.ndarray:
    """Images [n, C, H, W] -> [n, H, W], in colour [n, H, W, 3]."""
    return images[:, 0] if images.shape[1] == 1 else np.ascontiguousarray(images.transpose(0, 2, 3, 1))
