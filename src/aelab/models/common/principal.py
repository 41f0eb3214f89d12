"""Principal components (Pearson 1901) of a data set that may be larger than the memory."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 10_000  # rows at a time: all of them in float64 may not fit into memory


def principal_components(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [D], variances [D] and directions [D, D] of rows x [N, D], by decreasing variance, in float64.

    The largest entry of each direction is positive.
    """
    mean = x.mean(0, dtype=torch.float64)
    covariance = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for rows in x.split(ROWS):
        centred = rows.double() - mean
        covariance += centred.T @ centred
    values, vectors = torch.linalg.eigh(covariance / max(1, len(x) - 1))
    vectors = vectors.flip(1)
    signs = vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
    return mean, values.flip(0).clamp_min(0), vectors * signs
