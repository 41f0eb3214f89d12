"""Probes and neighbours against scikit-learn, sparsity by hand."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import PATIENCE
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from aelab.config.seeding import generator
from aelab.evaluation import representation


@pytest.fixture(scope="module")
def splits(digits):
    x, y = digits[0].flatten(1)[:, 200:600:4], digits[1]
    return (x[:1500], y[:1500]), (x[1500:2000], y[1500:2000]), (x[2000:3000], y[2000:3000])


def test_the_probe_is_scikit_learn_s_at_the_strength_that_validation_prefers(splits):
    numpy = [(codes.double().numpy(), labels.numpy()) for codes, labels in splits]
    scaler = StandardScaler().fit(numpy[0][0])
    (x, y), *others = [(scaler.transform(codes), labels) for codes, labels in numpy]
    fits = [LogisticRegression(C=c, max_iter=5000, tol=1e-8).fit(x, y) for c in representation.C_GRID]
    best = max(fits, key=lambda fit: fit.score(*others[0]))
    expected = [best.score(*split) for split in others]
    assert representation.linear_probe(*splits) == pytest.approx(expected, abs=0.005)


def test_the_probe_s_strength_is_chosen_on_validation_alone(splits):
    train, validation, test = splits
    wrong = (test[0], (test[1] + 1) % 10)
    assert representation.linear_probe(train, validation, test).test > 0.75
    assert representation.linear_probe(train, validation, wrong).test < 0.1


def test_seeds_side_by_side_are_probed_with_one_thread_each():
    code = """if True:
        import json, os
        from aelab.config import runtime
        runtime.pin("cpu", 1)
        import psutil, torch
        from aelab.runner import parallel
        from aelab.evaluation import representation
        x = torch.randn(500, 200, generator=torch.Generator().manual_seed(0))
        part = x, x[:, :10].argmax(1)
        def probed(replicate, metrics):
            return [representation.linear_probe(part, part, part), os.getpid(), psutil.Process().num_threads()]
        before = psutil.Process().num_threads()  # one, and one that libraries of scikit-learn may start
        print(json.dumps([before, probed(0, None), parallel.run(probed, 3)]))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=PATIENCE)
    before, alone, found = json.loads(done.stdout)
    assert alone[2] == before
    assert all(accuracies == alone[0] for accuracies, _, _ in found)
    assert all(threads <= before for _, pid, threads in found if pid != alone[1]), "of the forked ones"


def test_a_constant_code_is_worth_the_largest_class():
    codes, labels = torch.zeros(100, 1), torch.arange(100) % 10
    labels[:30] = 3
    part = (codes, labels)
    expected = (labels == 3).double().mean().item()
    assert representation.linear_probe(part, part, part) == pytest.approx((expected, expected))


def test_the_majority_of_the_nearest_codes_decides():
    train = torch.tensor([[0.0], [1.0], [1.2], [9.0]]), torch.tensor([1, 0, 0, 1])
    query = torch.tensor([[0.1]])
    assert representation.knn(train, (query, torch.tensor([0])), 3)["knn_accuracy"] == 1
    assert representation.knn(train, (query, torch.tensor([1])), 1)["knn_accuracy"] == 1


def test_fewer_codes_than_neighbours_is_an_error():
    part = torch.zeros(3, 2), torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"^neighbours: 5 is wrong"):
        representation.knn(part, part, 5)


def test_sparsity_by_hand():
    one_hot = representation.sparsity(torch.eye(4)[:3])
    assert one_hot["hoyer_sparsity"] == pytest.approx(1)
    assert one_hot["active_share"] == pytest.approx(0.25)
    assert one_hot["dead_units"] == 1
    dense = representation.sparsity(torch.ones(5, 4))
    assert dense["hoyer_sparsity"] == pytest.approx(0)
    assert dense["dead_units"] == 0
    # |z|_1 = 7, |z|_2 = 5, K = 2
    assert representation.sparsity(torch.tensor([[3.0, 4.0]]))["hoyer_sparsity"] == pytest.approx(
        (2**0.5 - 1.4) / (2**0.5 - 1)
    )
    assert representation.sparsity(torch.zeros(2, 3))["hoyer_sparsity"] == 0


def test_a_latent_is_active_where_its_mean_moves():
    means = torch.stack([torch.linspace(-1, 1, 50), torch.full((50,), 3.0), 0.05 * torch.linspace(-1, 1, 50)], 1)
    assert representation.active_latents(means) == 1


def draw(use):
    return generator(0, use)


def test_few_labels_are_balanced_and_nested(splits):
    few, more = (representation.balanced(splits[0], n, draw("labels")) for n in (2, 5))
    assert few[1].bincount().tolist() == [2] * 10
    assert more[1].bincount().tolist() == [5] * 10
    rows = {tuple(row) for row in more[0].tolist()}
    assert all(tuple(row) in rows for row in few[0].tolist())


def test_the_probe_with_few_labels_is_the_probe_on_few_labels(splits):
    train, validation, test = splits
    found = representation.few_labels(train, validation, test, 10, 2, draw).test
    expected = [
        representation.linear_probe(
            representation.balanced(train, 10, draw(f"labels {i} train")),
            representation.balanced(validation, 10, draw(f"labels {i} validation")),
            test,
        ).test
        for i in range(2)
    ]
    assert found == pytest.approx(np.mean(expected))
    assert 0.5 < found < representation.linear_probe(train, validation, test).test


def test_a_unit_that_is_constant_in_training_says_nothing():
    train, test = representation.standardised(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), torch.tensor([[5.0, 7.0]]))
    assert train.tolist() == [[-1.0, 0.0], [1.0, 0.0]]
    assert test.tolist() == [[3.0, 0.0]]
