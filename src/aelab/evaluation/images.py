"""Images for figures: which test digits, and their conversion to uint8."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from aelab.data.tensors import mapped
from aelab.models.common import Autoencoder


def spread(labels: Tensor, n: int) -> Tensor:
    """Row numbers [n]: the first image of every class, then the second of every class, and so on."""
    by_class = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    depth = max(map(len, by_class))
    order = [rows[i] for i in range(depth) for rows in by_class if i < len(rows)]
    return torch.stack(order[:n])


def rebuilt(model: Autoencoder, x: Tensor, labels: Tensor) -> np.ndarray:
    """Reconstructions of x [n, C, H, W], uint8 [n, H, W]."""
    return shown(mapped(model.reconstruct, x, labels))


def shown(x: Tensor) -> np.ndarray:
    """Images [n, C, H, W] in [0, 1] -> uint8 [n, H, W], values outside clipped."""
    return x.clamp(0, 1).mul(255).round().to(torch.uint8)[:, 0].cpu().numpy()
