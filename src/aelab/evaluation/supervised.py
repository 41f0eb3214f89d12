"""Features for a supervised learner: its test error on raw values, on codes, on all layers, with few labels and more.

The labels are drawn with the proportions of the classes, the same for all features; learners run on the CPU.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from torch import Generator, Tensor

from aelab.data import splits
from aelab.evaluation.representation import C_GRID, Coded, standardised

LEARNERS: dict[str, list[Callable[[int], Any]]] = {  # the candidates of each, of which validation chooses
    "logistic": [lambda seed, c=c: LogisticRegression(C=c, max_iter=1000) for c in (*C_GRID, 1.0)],
    "mlp": [lambda seed: MLPClassifier((100,), max_iter=100, random_state=seed)],
    "boosting": [lambda seed: HistGradientBoostingClassifier(max_iter=50, random_state=seed)],
}
MOST = (10_000, 10_000, 2000)  # items of train, validation and test at most
BOOSTED = 250_000  # features x classes x labels at most for boosting, which takes seconds then
FEW = 100  # labels up to which there are several draws


def errors(
    features: Sequence[Coded], labels: int, draws: int, draw: Callable[[str], Generator], boosted: int = BOOSTED
) -> dict[str, tuple[float, Tensor]]:
    """The error of each learner on validation, and which test items it gets wrong, bool [draws, N]; of train,
    validation and test features [N, F].

    labels: given in each draw, `draws` of them up to FEW labels, else one; as many validation labels choose a learner's
    candidate.
    """
    train, validation, test = ((x[:most], y[:most]) for (x, y), most in zip(features, MOST, strict=True))
    found: dict[str, list[tuple[float, np.ndarray]]] = {}
    for i in range(draws if labels <= FEW else 1):
        given, chosen_by = (labelled(part, labels, draw(f"{labels} labels {i}")) for part in (train, validation))
        inputs = standardised(given[0], chosen_by[0], validation[0], test[0])
        x, few, held_out, unseen = (part.cpu().numpy() for part in inputs)
        y, told, truth, wanted = (part[1].cpu().numpy() for part in (given, chosen_by, validation, test))
        for name, candidates in LEARNERS.items():
            if name == "boosting" and x.shape[1] * len(np.unique(y)) * labels > boosted:
                continue
            with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
                fitted = [make(i).fit(x, y) for make in candidates]
            best = max(fitted, key=lambda model: model.score(few, told)) if len(fitted) > 1 else fitted[0]
            found.setdefault(name, []).append((1 - best.score(held_out, truth), best.predict(unseen) != wanted))
    return {
        name: (float(np.mean([error for error, _ in each])), torch.from_numpy(np.stack([wrong for _, wrong in each])))
        for name, each in found.items()
    }


def sizes(budgets: Sequence[int], items: int) -> list[int]:
    """The numbers of labels: the budgets, at most as many as there are items."""
    return sorted({min(n, items, MOST[0]) for n in budgets})


def labelled(coded: Coded, n: int, generator: Generator) -> Coded:
    """n items drawn with the proportions of the classes, all if there are fewer."""
    x, y = coded
    if n >= len(y):
        return coded
    rows = splits.stratified(y.cpu().numpy(), [n], generator.initial_seed())[0]
    return x[rows], y[rows]
