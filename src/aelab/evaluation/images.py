"""Images for figures: which test images, and their reconstructions."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from aelab.data.images import shown
from aelab.data.tensors import mapped
from aelab.models.common import Autoencoder


def spread(labels: Tensor, n: int) -> Tensor:
    """Row numbers [n]: the first image of every class, then the second of every class, and so on."""
    by_class = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    depth = max(map(len, by_class))
    order = [rows[i] for i in range(depth) for rows in by_class if i < len(rows)]
    return torch.stack(order[:n])


def rebuilt(model: Autoencoder, x: Tensor, labels: Tensor) -> np.ndarray:
    """Reconstructions of x [n, C, H, W], as they are drawn."""
    return shown(mapped(model.reconstruct, x, labels))
