"""Support vector machines on raw values: what a pretrained net has to beat (Larochelle & others 2007).

Kernels are products of matrices, computed here and given to scikit-learn, which is far faster than its own.
"""

from __future__ import annotations

from typing import Any

import torch
from sklearn.svm import SVC
from torch import Tensor

from aelab.data.tensors import Data, Tensors
from aelab.evaluation.settings import SVM, Candidate

AT_ONCE = 2000  # rows classified at once


class Machine:
    """An SVM with the kernel of a candidate, fitted to x [N, D] and y [N]."""

    def __init__(self, candidate: Candidate, x: Tensor, y: Tensor) -> None:
        self.candidate, self.x = candidate, x
        self.svc = SVC(C=candidate.C, kernel="precomputed").fit(kernel(candidate, x, x).double().numpy(), y.numpy())

    def wrong(self, x: Tensor, y: Tensor) -> Tensor:
        """Which rows x [N, D] get another label than y [N], bool [N]."""
        parts = (kernel(self.candidate, part, self.x).double().numpy() for part in x.split(AT_ONCE))
        return torch.cat([torch.from_numpy(self.svc.predict(part)) for part in parts]) != y


def kernel(candidate: Candidate, x: Tensor, z: Tensor) -> Tensor:
    """rbf: exp(-gamma ||x - z||^2); poly: (gamma x'z + 1)^degree; of rows x [N, D] and z [M, D]: [N, M]."""
    product = x @ z.T
    if candidate.degree:
        return (candidate.gamma * product + 1) ** candidate.degree
    squares = x.square().sum(1)[:, None] + z.square().sum(1)
    return (-candidate.gamma * (squares - 2 * product).clamp(min=0)).exp()


def evaluate(data: Data, settings: SVM) -> dict[str, dict[str, Any]]:
    """The test error of an SVM with each kernel, and how it was chosen.

    Candidates learn from the first rows, the validation split chooses one, which then learns from all rows of both.
    """
    train, validation, test = (
        Tensors(x.flatten(1).cpu(), y.cpu()) for x, y in (data.train, data.validation, data.test)
    )
    some = Tensors(*(part[: settings.rows] for part in train))
    both = Tensors(*map(torch.cat, zip(train, validation, strict=True)))
    result = {}
    for name, grid in settings.grids().items():
        tried = [(share(Machine(each, *some).wrong(*validation)), each) for each in grid]
        error, best = min(tried, key=lambda pair: pair[0])
        machine = Machine(best, *both)
        result[name] = {
            "test_error": share(machine.wrong(*test)),
            "validation_error": error,
            "chosen": best.said(),
            "tried": {each.said(): error for error, each in tried},
            "support_vectors": len(machine.svc.support_),
            "rows": len(both.y),
        }
    return result


def share(wrong: Tensor) -> float:
    return wrong.double().mean().item()
