"""k-means and its scores against scikit-learn."""

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

from aelab.evaluation import clusters


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def codes(digits):
    return digits[0].flatten(1)[:1000, 200:600:4], digits[1][:1000]


def test_lloyd_is_scikit_learn_s_from_the_same_start(codes):
    start = codes[0][:10]
    ours = clusters.lloyd(codes[0], start)
    theirs = KMeans(10, init=start.numpy(), n_init=1, max_iter=clusters.ITERATIONS, tol=0).fit(codes[0].numpy())
    np.testing.assert_allclose(ours.numpy(), theirs.cluster_centers_, atol=1e-4)
    assert clusters.inertia(codes[0], ours) == pytest.approx(theirs.inertia_, rel=1e-4)


def test_the_best_of_several_starts_is_as_good_as_scikit_learn_s(codes):
    ours = clusters.inertia(codes[0], clusters.kmeans(codes[0], 10, random()))
    assert ours < 1.02 * KMeans(10, n_init=10, random_state=0).fit(codes[0].numpy()).inertia_


def test_scores_are_scikit_learn_s():
    found, truth = (torch.randint(4, (200,), generator=random(seed)) for seed in (1, 2))
    found[:120] = truth[:120]
    table = clusters.contingency(found, truth, 4)
    assert clusters.nmi(table) == pytest.approx(normalized_mutual_info_score(truth, found))
    assert clusters.ari(table) == pytest.approx(adjusted_rand_score(truth, found))


def test_clear_clusters_are_found_and_named():
    y = torch.arange(300) % 3
    x = torch.tensor([[0.0, 0], [9, 0], [0, 9]])[y] + torch.randn(300, 2, generator=random())
    found = clusters.clusters((x[:150], y[:150]), (x[150:], y[150:]), random())
    assert found == {"cluster_nmi": pytest.approx(1), "cluster_ari": pytest.approx(1), "cluster_accuracy": 1}


def test_labels_of_the_test_split_name_no_cluster():
    y = torch.arange(300) % 3
    x = torch.tensor([[0.0, 0], [9, 0], [0, 9]])[y] + torch.randn(300, 2, generator=random())
    found = clusters.clusters((x[:150], y[:150]), (x[150:], (y[150:] + 1) % 3), random())
    assert found["cluster_nmi"] == pytest.approx(1)
    assert found["cluster_accuracy"] == 0


def test_constant_codes_are_worth_nothing():
    part = torch.zeros(100, 4), torch.arange(100) % 10
    assert clusters.clusters(part, part, random()) == {"cluster_nmi": 0, "cluster_ari": 0, "cluster_accuracy": 0.1}


def test_the_same_bits_twice(codes):
    part = (codes[0], codes[1])
    assert clusters.clusters(part, part, random()) == clusters.clusters(part, part, random())
