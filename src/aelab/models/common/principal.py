"""Principal components (Pearson 1901) of a data set that may be larger than the memory."""

from __future__ import annotations

import torch
from torch import Tensor

ROWS = 10_000  # rows at a time: all of them in float64 may not fit into memory
WIDE = 2_000  # values of a row; above it, the covariance costs too much
MOST = 256  # components of wider rows
SOME = 5_000  # rows, evenly chosen, from which these are found


def principal_components(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean [D], variances [K] and directions [D, K] of rows x [N, D], by decreasing variance, in float64.

    K is D, for rows of more than WIDE values at most MOST. The largest entry of each direction is positive.
    """
    mean = x.mean(0, dtype=torch.float64)
    if x.shape[1] > WIDE:
        return (mean, *first_components(x, mean))
    covariance = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64, device=x.device)
    for rows in x.split(ROWS):
        centred = rows.double() - mean
        covariance += centred.T @ centred
    values, vectors = torch.linalg.eigh(covariance / max(1, len(x) - 1))
    return mean, values.flip(0).clamp_min(0), upright(vectors.flip(1))


def first_components(x: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """Variances [K] and directions [D, K] of at most SOME rows (Halko, Martinsson & Tropp 2011, by scikit-learn)."""
    from sklearn.utils.extmath import randomized_svd

    chosen = torch.linspace(0, len(x) - 1, min(SOME, len(x)), dtype=torch.float64).round().long()
    rows = (x[chosen.to(x.device)] - mean.to(x.dtype)).cpu().numpy()
    most = min(MOST, len(rows) - 1)
    _, values, directions = randomized_svd(rows, most, n_iter=4, random_state=0)  # pyright: ignore[reportArgumentType]
    variances = torch.from_numpy(values).double().square() / max(1, len(rows) - 1)
    return variances.to(x.device), upright(torch.from_numpy(directions.T.copy()).double().to(x.device))


def upright(vectors: Tensor) -> Tensor:
    """Columns [D, K], each with its largest entry positive."""
    return vectors * vectors.gather(0, vectors.abs().argmax(0, keepdim=True)).sign()
