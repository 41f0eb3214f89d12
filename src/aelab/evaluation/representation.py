"""Quality of a representation: linear probe, nearest neighbours, sparsity.

Codes are float32 [N, K], labels int64 [N]; a `Coded` is the pair of one split.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch

# imported here, so that the seeds that a stage forks do not each import it
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from torch import Generator, Tensor

Coded = tuple[Tensor, Tensor]

C_GRID = (0.001, 0.01, 0.1)  # inverse strengths of the L2 penalty
ITERATIONS = 1000  # iterations of L-BFGS at most, per strength; standardised codes take under 100
ACTIVE = 1e-3


class Probed(NamedTuple):
    """The accuracies of one probe."""

    validation: float
    test: float


def linear_probe(train: Coded, validation: Coded, test: Coded) -> Probed:
    """Multinomial logistic regression (scikit-learn's) on standardised codes, its strength chosen on validation.

    Returns its accuracy on validation (the highest of three) and on test. Runs on the CPU in one thread. Raises
    ValueError if codes are not finite.
    """
    codes = standardised(train[0], validation[0], test[0])
    labels = (train[1], validation[1], test[1])
    (x, y), (held_out, chosen_by), (unseen, truth) = map(arrays, zip(codes, labels, strict=True))
    if (y == y[0]).all():  # scikit-learn needs two classes
        return Probed(float((chosen_by == y[0]).mean()), float((truth == y[0]).mean()))
    model = LogisticRegression(max_iter=ITERATIONS, warm_start=True)  # each fit starts from the last one
    result = []
    for strength in C_GRID:
        model.set_params(C=strength).fit(x, y)
        result.append(Probed(model.score(held_out, chosen_by), model.score(unseen, truth)))
    return max(result, key=lambda probed: probed.validation)  # on a tie, take the stronger penalty


def few_labels(
    train: Coded, validation: Coded, test: Coded, labels: int, subsets: int, draw: Callable[[str], Generator]
) -> Probed:
    """The linear probe with `labels` images per class, and as many of validation for its strength.

    Mean over `subsets` draws. draw(use): the same draws for every model.
    """
    result = []
    for i in range(subsets):
        given = balanced(train, labels, draw(f"labels {i} train"))
        chosen_by = balanced(validation, labels, draw(f"labels {i} validation"))
        result.append(linear_probe(given, chosen_by, test))
    return Probed(*(sum(values) / subsets for values in zip(*result, strict=True)))


def balanced(coded: Coded, labels: int, generator: Generator) -> Coded:
    """The first `labels` rows of every class in a random order: smaller subsets of a draw are prefixes."""
    codes, y = coded
    order = torch.randperm(len(y), generator=generator, device=y.device)
    rows = torch.cat([order[y[order] == label][:labels] for label in y.unique()])
    return codes[rows], y[rows]


def standardised(train: Tensor, *others: Tensor) -> list[Tensor]:
    """Codes [N, K] scaled to mean 0 and standard deviation 1 over `train`; a constant unit becomes 0."""
    mean, deviation = train.mean(0), train.std(0, correction=0)
    scale = torch.where(deviation > 1e-7, 1 / deviation.clamp_min(1e-7), 0)
    return [(codes - mean) * scale for codes in (train, *others)]


def knn(train: Coded, test: Coded, k: int) -> dict[str, float]:
    """knn_accuracy: majority vote of the k nearest training codes (Euclidean).

    Raises ValueError if there are fewer than k training codes.
    """
    if len(train[0]) < k:
        raise ValueError(f"neighbours: {k} is wrong; allowed: up to the {len(train[0])} training images there are")
    return {"knn_accuracy": float(KNeighborsClassifier(k).fit(*arrays(train)).score(*arrays(test)))}


def arrays(coded: Coded) -> tuple[np.ndarray, np.ndarray]:
    """Codes and labels as scikit-learn takes them."""
    return coded[0].cpu().numpy(), coded[1].cpu().numpy()


def sparsity(codes: Tensor) -> dict[str, float]:
    """active_share, dead_units and hoyer_sparsity of codes.

    active_share: share of |z| > 1e-3; dead_units: the number of units that never are; hoyer_sparsity: (sqrt K -
    |z|_1/|z|_2) / (sqrt K - 1), mean over images, 0 for a dense and 1 for a one-hot code (Hoyer 2004; a code of zeros
    counts as 0, K = 1 has none).
    """
    active = codes.abs() > ACTIVE
    result = {"active_share": active.double().mean().item(), "dead_units": float((~active.any(0)).sum())}
    if codes.shape[1] > 1:
        root = codes.shape[1] ** 0.5
        l1, l2 = codes.double().abs().sum(1), codes.double().norm(dim=1)
        result["hoyer_sparsity"] = torch.where(l2 > 0, (root - l1 / l2.clamp_min(1e-30)) / (root - 1), 0).mean().item()
    return result


def active_latents(means: Tensor) -> int:
    """The number of latents whose mean has a variance above 0.01 over the data (Burda 2015)."""
    return int((means.double().var(0, correction=min(1, len(means) - 1)) > 0.01).sum())
