"""Search by example: how many of the nearest training items are of the query's class?

Codes are float32 [N, K], labels int64 [N].
"""

from __future__ import annotations

import torch
from torch import Tensor

from aelab.evaluation.representation import Coded
from aelab.uses.retrieval import nearest

FIRST = 10
GALLERY, QUERIES, AT_ONCE = 10_000, 1000, 250  # items at most


def retrieval(gallery: Coded, queries: Coded) -> dict[str, Tensor]:
    """By query, [Q]. precision_at_10: the share of its class among its 10 nearest training items;
    mean_average_precision: over the whole ranking of training items, NaN for a class that is not there."""
    codes, labels = (part[:GALLERY] for part in gallery)
    asked, truth = (part[:QUERIES] for part in queries)
    first, average = [], []
    for z, y in zip(asked.split(AT_ONCE), truth.split(AT_ONCE), strict=True):
        rows, _ = nearest(codes, z, len(codes))
        right = (labels[rows] == y[:, None]).double()
        first.append(right[:, :FIRST].mean(1))
        average.append(average_precision(right))
    return {"precision_at_10": torch.cat(first), "mean_average_precision": torch.cat(average)}


def average_precision(right: Tensor) -> Tensor:
    """The mean, over the right items of each ranking [Q, G] of ones and zeros, of the share of right ones up to there:
    [Q], NaN without any."""
    places = torch.arange(1, right.shape[1] + 1, device=right.device)
    return (right * right.cumsum(1) / places).sum(1) / right.sum(1)
