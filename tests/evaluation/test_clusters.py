"""Clusters of codes, and their scores."""

import pytest
import torch

from aelab.evaluation import clusters


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def codes(digits):
    return digits[0].flatten(1)[:1000, 200:600:4], digits[1][:1000]


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
