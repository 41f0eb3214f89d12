"""Support vector machines: the kernels are scikit-learn's, and validation images choose."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from aelab.config import validation
from aelab.data.tensors import Tensors
from aelab.evaluation import svm
from aelab.evaluation.settings import RBF, SVM, Baselines, Candidate, Polynomial

SETTINGS = SVM(60, RBF((1.0, 10.0), (0.05, 50.0)), Polynomial((1.0,), (0.01, 0.1), (2, 3)))


def split(n: int, seed: int) -> Tensors:
    """Points in [0, 1]^4, of three classes by the first two."""
    x = torch.rand(n, 1, 2, 2, generator=torch.Generator().manual_seed(seed))
    flat = x.flatten(1)
    return Tensors(x, (flat[:, 0] > 0.5).long() + (flat[:, 1] > 0.6).long())


@pytest.fixture
def data():
    return SimpleNamespace(train=split(200, 0), validation=split(100, 1), test=split(5000, 2))


@pytest.mark.parametrize(
    ("candidate", "kernel"),
    [
        (Candidate(3.0, 0.5), {"kernel": "rbf", "gamma": 0.5}),
        (Candidate(3.0, 0.5, 3), {"kernel": "poly", "gamma": 0.5, "coef0": 1, "degree": 3}),
    ],
)
def test_a_machine_labels_as_that_of_scikit_learn(data, candidate, kernel):
    (x, y), (unseen, truth) = ((part.x.flatten(1), part.y) for part in (data.train, data.test))
    machine, theirs = svm.Machine(candidate, x, y), SVC(C=3.0, **kernel).fit(x.numpy(), y.numpy())
    found = machine.wrong(unseen, truth).numpy()
    assert 0 < found.mean() < 0.2
    assert (found == (theirs.predict(unseen.numpy()) != truth.numpy())).mean() > 0.999


def test_validation_chooses_and_the_chosen_one_learns_from_both(data):
    found = svm.evaluate(data, SETTINGS)
    assert list(found) == ["rbf", "poly"]
    for kernel, each in found.items():
        assert len(each["tried"]) == 4, kernel
        assert each["validation_error"] == min(each["tried"].values()) == each["tried"][each["chosen"]]
        assert each["rows"] == 300
    assert max(found["rbf"]["tried"].values()) > 1.5 * found["rbf"]["validation_error"]
    best = next(each for each in SETTINGS.rbf.candidates() if each.said() == found["rbf"]["chosen"])
    x, y = (torch.cat(parts) for parts in zip(data.train, data.validation, strict=True))
    theirs = SVC(C=best.C, gamma=best.gamma).fit(x.flatten(1).numpy(), y.numpy())
    error = np.mean(theirs.predict(data.test.x.flatten(1).numpy()) != data.test.y.numpy())
    assert found["rbf"]["test_error"] == pytest.approx(error, abs=0.001)


@pytest.mark.parametrize(
    ("wrong", "line"),
    [
        ({"rows": 0}, "baselines.svm.rows: 0 is out of range; allowed: 1 or more"),
        ({"rbf": {"C": [0.0], "gamma": [1.0]}}, "baselines.svm.rbf.C: [0.0] is wrong; allowed: one or more numbers"),
        ({"rbf": {"C": [], "gamma": [1.0]}}, "baselines.svm.rbf.C: [] is wrong; allowed: one or more numbers above 0"),
        ({"rbf": {"C": [1.0]}}, "baselines.svm.rbf.gamma: missing; allowed: list[float, ...]"),
        ({"rbf": {"C": [1.0], "gamma": [1.0], "degree": [2]}}, "baselines.svm.rbf.degree: unknown key"),
        ({"poly": {"C": [1.0], "gamma": [1.0]}}, "baselines.svm.poly.degree: missing"),
        ({"poly": 3}, "baselines.svm.poly: 3 is not a block of keys; allowed: C, gamma, degree"),
    ],
)
def test_wrong_candidates_are_refused(wrong, line):
    grids = {"rbf": {"C": [1.0], "gamma": [1.0]}, "poly": {"C": [1.0], "gamma": [1.0], "degree": [2]}}
    numbers = [field for field in Baselines.__dataclass_fields__ if field not in ("label_budgets", "questions", "svm")]
    block = dict.fromkeys(numbers, 10) | {"label_budgets": [10]}
    assert validation.check(Baselines, block | {"svm": {"rows": 5} | grids}, "baselines").svm.rows == 5
    with pytest.raises(validation.ParamsError) as error:
        validation.check(Baselines, block | {"svm": {"rows": 5} | grids | wrong}, "baselines")
    assert line in str(error.value)
