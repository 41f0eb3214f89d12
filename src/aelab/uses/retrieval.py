"""Nearest neighbours: which known items look most like a new one?"""

from __future__ import annotations

import torch
from torch import Tensor

CHUNK = 500  # queries at a time


def nearest(gallery: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The k nearest of the codes `gallery` [G, K] to each query [Q, K], nearest first: their rows int64 [Q, k] and
    Euclidean distances [Q, k]; the first of equals."""
    found = [_sorted(gallery, part, k) for part in queries.split(CHUNK)]
    rows, distances = zip(*found, strict=True)
    return torch.cat(rows), torch.cat(distances)


def _sorted(gallery: Tensor, queries: Tensor, k: int) -> tuple[Tensor, Tensor]:
    distances = torch.cdist(queries, gallery)
    ordered, rows = distances.sort(dim=1, stable=True)
    return rows[:, :k], ordered[:, :k]
