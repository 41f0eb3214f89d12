"""What a code is worth: to a linear classifier, to its neighbours, and how sparse it is.

Codes are float32 [N, K], labels int64 [N]; a `Coded` is the pair of one split.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.optimize import minimize
from torch import Generator, Tensor
from torch.nn import functional as F

Coded = tuple[Tensor, Tensor]

C_GRID = (0.001, 0.01, 0.1)  # inverse strengths of the L2 penalty, as scikit-learn counts them
ITERATIONS = 100  # of L-BFGS at most, per strength, each starting where the last one ended
ACTIVE = 1e-3


def linear_probe(train: Coded, validation: Coded, test: Coded) -> dict[str, float]:
    """probe_accuracy: multinomial logistic regression on standardised codes, its strength chosen on validation."""
    x, held_out, unseen = standardised(train[0], validation[0], test[0])
    if x.shape[1] > len(x):  # the best weights lie in the span of the training codes: the same answer, sooner
        span = torch.linalg.qr(x.T).Q
        x, held_out, unseen = x @ span, held_out @ span, unseen @ span
    classes = int(train[1].max()) + 1
    weights = torch.zeros(x.shape[1] + 1, classes, device=x.device)
    best = (-1.0, 0.0)
    for strength in C_GRID:
        weights = logistic_regression(x, train[1], strength, weights)
        found = accuracy(held_out, validation[1], weights), accuracy(unseen, test[1], weights)
        best = max(best, found, key=lambda pair: pair[0])  # on a tie the stronger penalty stays
    return {"probe_accuracy": best[1]}


def few_labels(
    train: Coded, validation: Coded, test: Coded, labels: int, subsets: int, draw: Callable[[str], Generator]
) -> dict[str, float]:
    """few_labels_accuracy: the linear probe given `labels` images per class, and as many of validation to choose its
    strength by; mean over `subsets` draws. draw(use): the same draws for every model.
    """
    found = []
    for i in range(subsets):
        given = balanced(train, labels, draw(f"labels {i} train"))
        chosen_by = balanced(validation, labels, draw(f"labels {i} validation"))
        found.append(linear_probe(given, chosen_by, test)["probe_accuracy"])
    return {"few_labels_accuracy": sum(found) / len(found)}


def balanced(coded: Coded, labels: int, generator: Generator) -> Coded:
    """The first `labels` rows of every class in one random order: subsets of the same draw are nested."""
    codes, y = coded
    order = torch.randperm(len(y), generator=generator, device=y.device)
    rows = torch.cat([order[y[order] == label][:labels] for label in y.unique()])
    return codes[rows], y[rows]


def standardised(train: Tensor, *others: Tensor) -> list[Tensor]:
    """Codes [N, K] scaled to mean 0 and deviation 1 over `train`; a unit that is constant there says nothing: 0."""
    mean, deviation = train.mean(0), train.std(0, correction=0)
    scale = torch.where(deviation > 1e-7, 1 / deviation.clamp_min(1e-7), 0)
    return [(codes - mean) * scale for codes in (train, *others)]


def logistic_regression(x: Tensor, y: Tensor, strength: float, start: Tensor) -> Tensor:
    """Weights [K + 1, classes], the last row being the bias, that minimise

        mean cross-entropy + ||weights without bias||^2 / (2 * strength * N)

    by full-batch L-BFGS from `start`: scikit-learn's LogisticRegression(C=strength).
    """
    penalty, shape = 1 / (2 * strength * len(x)), start.shape

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = torch.from_numpy(flat).to(x).view(shape)
        logits = torch.addmm(weights[-1], x, weights[:-1])
        loss = F.cross_entropy(logits, y) + penalty * weights[:-1].square().sum()
        slope = (logits.softmax(1) - F.one_hot(y, shape[1])) / len(x)
        wide = (slope.T @ x).T  # many times as fast as x.T @ slope, the same numbers
        gradient = torch.cat([wide + 2 * penalty * weights[:-1], slope.sum(0, keepdim=True)])
        return loss.item(), gradient.flatten().double().cpu().numpy()

    found = minimize(
        objective, start.flatten().double().cpu().numpy(), jac=True, method="L-BFGS-B", options={"maxiter": ITERATIONS}
    )
    return torch.from_numpy(found.x).to(x).view(shape)


def accuracy(x: Tensor, y: Tensor, weights: Tensor) -> float:
    """Share of codes x [N, K] whose most likely class under `weights` is y."""
    return (torch.addmm(weights[-1], x, weights[:-1]).argmax(1) == y).double().mean().item()


def knn(train: Coded, test: Coded, k: int) -> dict[str, float]:
    """knn_accuracy: the majority among the k nearest training codes (Euclidean); ties go to the nearest of them.

    Raises ValueError where there are fewer than k training codes.
    """
    (x, y), (queries, truth) = train, test
    if len(x) < k:
        raise ValueError(f"neighbours: {k} is wrong; allowed: up to the {len(x)} training images there are")
    centre = x.mean(0)  # far from 0, float32 would round the distances below away
    x, queries = x - centre, queries - centre
    squares, right = x.square().sum(1), 0
    classes = int(max(y.max(), truth.max())) + 1
    # votes are whole; the share below one that breaks ties shrinks with the rank
    vote = 1 + torch.logspace(-1, -k, k, base=2.0, device=x.device, dtype=torch.float64) / 2
    for q, t in zip(queries.split(500), truth.split(500), strict=True):
        distances = torch.addmm(squares, q, x.T, alpha=-2)  # up to the query's own norm
        nearest = y[distances.topk(k, largest=False).indices]
        votes = torch.zeros(len(q), classes, device=x.device, dtype=torch.float64)
        votes.scatter_add_(1, nearest, vote.expand(len(q), k))
        right += int((votes.argmax(1) == t).sum())
    return {"knn_accuracy": right / len(truth)}


def sparsity(codes: Tensor) -> dict[str, float]:
    """active_share: share of |z| > 1e-3; dead_units: how many never are; hoyer: (sqrt K - |z|_1/|z|_2) / (sqrt K - 1),
    mean over images, 0 for a dense and 1 for a one-hot code (Hoyer 2004; a code of zeros counts as 0, K = 1 has none).
    """
    active = codes.abs() > ACTIVE
    found = {"active_share": active.double().mean().item(), "dead_units": float((~active.any(0)).sum())}
    if codes.shape[1] > 1:
        root = codes.shape[1] ** 0.5
        l1, l2 = codes.double().abs().sum(1), codes.double().norm(dim=1)
        found["hoyer"] = torch.where(l2 > 0, (root - l1 / l2.clamp_min(1e-30)) / (root - 1), 0).mean().item()
    return found


def active_latents(means: Tensor) -> int:
    """How many latent units carry something: the variance of their mean over the data is above 0.01 (Burda 2015)."""
    return int((means.double().var(0) > 0.01).sum())


def error_interval(error: float, n: int) -> tuple[float, float]:
    """The 95% interval of an error rate on n images: error +- 1.96 sqrt(error (1 - error) / n), within [0, 1]."""
    half = 1.96 * (error * (1 - error) / n) ** 0.5
    return max(0.0, error - half), min(1.0, error + half)
