"""Do codes form clusters by class? k-means with as many clusters as classes.

Codes are float32 [N, K], labels int64 [N]. k-means is written out here, so that codes on a GPU stay there; tests
compare it, and the scores, with scikit-learn's.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

from aelab.evaluation.representation import Coded

RESTARTS = 3
ITERATIONS = 30  # maximum numbers of each


def clusters(train: Coded, test: Coded, generator: Generator) -> dict[str, float]:
    """k-means on `train`'s codes, scored on `test`: nmi, ari, and the accuracy after each cluster is assigned a class.

    Labels are used after clustering only; the assignment (one to one, by the Hungarian method) uses those of training
    images. nmi: normalised mutual information, 0 to 1; ari: adjusted Rand index, 0 by chance, at most 1.
    """
    from scipy.optimize import linear_sum_assignment

    (x, y), (queries, truth) = train, test
    classes = int(max(y.max(), truth.max())) + 1
    shift = x.mean(0)  # far from 0, float32 would round distances away
    centres = kmeans(x - shift, classes, generator)
    table = contingency(assign(x - shift, centres), y, classes)
    rows, named = linear_sum_assignment(table.cpu().numpy(), maximize=True)
    assert list(rows) == list(range(classes))
    result = assign(queries - shift, centres)
    table = contingency(result, truth, classes)
    right = torch.from_numpy(named).to(truth.device)[result] == truth
    return {"cluster_nmi": nmi(table), "cluster_ari": ari(table), "cluster_accuracy": right.double().mean().item()}


def kmeans(x: Tensor, k: int, generator: Generator) -> Tensor:
    """k centres [k, K] of x [N, K]: the best of RESTARTS by the sum of squared distances (Lloyd's algorithm)."""
    tries = [lloyd(x, spread_out(x, k, generator)) for _ in range(RESTARTS)]
    return min(tries, key=lambda centres: inertia(x, centres))


def lloyd(x: Tensor, centres: Tensor) -> Tensor:
    """Lloyd's algorithm from `centres` [k, K] until convergence; a centre without rows stays where it is."""
    before = None
    for _ in range(ITERATIONS):
        nearest = assign(x, centres)
        if before is not None and torch.equal(nearest, before):
            break
        member = torch.nn.functional.one_hot(nearest, len(centres)).to(x.dtype)  # [N, k]
        count = member.sum(0)[:, None]
        centres, before = torch.where(count > 0, (member.T @ x) / count.clamp_min(1), centres), nearest
    return centres


def spread_out(x: Tensor, k: int, generator: Generator) -> Tensor:
    """k initial centres among the rows of x, drawn by squared distance to those before (k-means++, Arthur 2007)."""
    squares = x.square().sum(1)

    def to(row: Tensor) -> Tensor:  # squared distances [N] to x[row]
        return (squares - 2 * (x @ x[row].T)[:, 0] + squares[row]).clamp_min(0)

    rows = torch.randint(len(x), (1,), generator=generator, device=x.device)
    distances = to(rows)
    for _ in range(1, k):
        chances = distances.clamp_min(1e-12)  # all rows are equal: any will do
        drawn = torch.multinomial(chances, 1, generator=generator)
        rows, distances = torch.cat([rows, drawn]), torch.minimum(distances, to(drawn))
    return x[rows]


def assign(x: Tensor, centres: Tensor) -> Tensor:
    """The number [N] of the nearest centre of each row of x [N, K]; |x|^2 is the same for all centres."""
    return torch.addmm(centres.square().sum(1), x, centres.T, alpha=-2).argmin(1)


def inertia(x: Tensor, centres: Tensor) -> float:
    """Sum of squared distances of the rows of x [N, K] to their nearest centre."""
    return (x - centres[assign(x, centres)]).square().sum(1).double().sum().item()


def contingency(found: Tensor, truth: Tensor, classes: int) -> Tensor:
    """The number of rows per cluster (row) and class (column): float64 [classes, classes]."""
    return torch.bincount(found * classes + truth, minlength=classes**2).view(classes, classes).double()


def nmi(table: Tensor) -> float:
    """Mutual information over the mean of both entropies; 0 if one side is a single group."""
    share = table / table.sum()
    rows, columns = share.sum(1), share.sum(0)
    apart = torch.special.entr(rows).sum() + torch.special.entr(columns).sum()
    mutual = apart - torch.special.entr(share).sum()
    return (2 * mutual / apart.clamp_min(1e-12)).clamp(0, 1).item()


def ari(table: Tensor) -> float:
    """(pairs together in both - expected) / (mean of both sides' pairs - expected) (Hubert & Arabie 1985)."""
    together, rows, columns = (_pairs(item) for item in (table, table.sum(1), table.sum(0)))
    expected = rows * columns / _pairs(table.sum())
    most = (rows + columns) / 2
    return ((together - expected) / (most - expected)).item() if most > expected else 1.0


def _pairs(counts: Tensor) -> Tensor:
    return (counts * (counts - 1) / 2).sum()
