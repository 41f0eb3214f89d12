"""Frechet distance, precision and recall against closed forms and brute force; the feature classifier."""

import numpy as np
import pytest
import torch
from scipy.linalg import sqrtm

from aelab.config.seeding import generator
from aelab.data.tensors import Data, Tensors
from aelab.evaluation import feature_classifier, generation
from aelab.models.common import Spec


def cloud(n, f=4, seed=0, scale=1.0, shift=0.0):
    return scale * torch.randn(n, f, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + shift


def test_the_frechet_distance_of_gaussians_in_closed_form():
    a = cloud(500)
    assert generation.frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert generation.frechet_distance(a, a + 3) == pytest.approx(4 * 9)
    # b = 2 a: means differ by |m|, deviations by a factor of two: tr(S + 4 S - 2 * 2 S) = tr S
    expected = a.mean(0).square().sum() + torch.cov(a.T).trace()
    assert generation.frechet_distance(a, 2 * a) == pytest.approx(expected.item())


def test_the_frechet_distance_is_that_with_scipy_s_matrix_root():
    a, b = cloud(50), cloud(60, seed=1) @ cloud(4, seed=2) + 1
    cov_a, cov_b = np.cov(a.T), np.cov(b.T)
    apart = ((a.mean(0) - b.mean(0)) ** 2).sum().item()
    expected = apart + np.trace(cov_a + cov_b - 2 * sqrtm(cov_a @ cov_b).real)
    assert generation.frechet_distance(a, b) == pytest.approx(expected)
    assert generation.frechet_distance(b, a) == pytest.approx(expected)


def test_the_unit_does_not_matter():
    a, b = cloud(50), cloud(50, seed=1, shift=0.5)
    small, large = generation.measure(a, b), generation.measure(1000 * a, 1000 * b)
    assert large == pytest.approx(small)
    # two clouds as far apart as their own spread: |m|^2 = 4 of a variance of 4, and the covariances agree
    assert generation.measure(a, a + 1)["frechet_distance"] == pytest.approx(4 / a.var(0).sum().item())


def test_precision_and_recall_by_brute_force():
    real, made = cloud(40, 2), cloud(30, 2, seed=1, scale=1.5)

    def share(manifold, points):
        inside = 0
        for p in points:
            for i, m in enumerate(manifold):
                reach = sorted((m - o).norm().item() for j, o in enumerate(manifold) if j != i)[2]
                if (p - m).norm().item() <= reach:
                    inside += 1
                    break
        return inside / len(points)

    found = generation.measure(real, made)
    assert 0 < found["precision"] < 1
    assert found["precision"] == pytest.approx(share(real, made))
    assert found["recall"] == pytest.approx(share(made, real))


def test_copies_of_one_image_are_precise_and_recall_nothing():
    real = cloud(100)
    found = generation.measure(real, real[:1].expand(100, -1))
    assert found["precision"] == 1
    assert found["recall"] <= 0.01
    assert generation.covered(real, cloud(100, shift=50)) == 0


def test_fitted_codes_have_the_mean_and_covariance_of_the_codes():
    codes = (cloud(300, 3) @ cloud(3, 3, seed=1) + 2).float()
    made = generation.fitted_codes(codes, 200_000, torch.Generator().manual_seed(0))
    torch.testing.assert_close(made.mean(0), codes.mean(0), atol=0.05, rtol=0)
    torch.testing.assert_close(torch.cov(made.T), torch.cov(codes.T), atol=0.1, rtol=0.03)
    assert torch.equal(generation.fitted_codes(codes[:1], 2, torch.Generator()), codes[:1].expand(2, -1))


@pytest.fixture(scope="module")
def data(digits):
    parts = [Tensors(digits[0][rows], digits[1][rows]) for rows in (slice(1500), slice(1500, 1800), slice(1800, 2400))]
    return Data(*parts, {}, parts[2], parts[2], parts[1])


def draw(use):
    return generator(0, use)


def test_the_feature_classifier_learns_and_is_the_same_from_its_file(data):
    spec = Spec((1, 28, 28), 10)
    model = feature_classifier.train(data, spec, 200, draw)
    assert feature_classifier.accuracy(model, data) > 0.85
    again = feature_classifier.load(
        spec, {name: tensor.clone() for name, tensor in model.state_dict().items()}, torch.device("cpu")
    )
    seen = feature_classifier.features(model, data.test.x)
    units = feature_classifier.features(model, data.train.x)
    used = units.std(0) > 0
    torch.testing.assert_close(units.mean(0), torch.zeros(feature_classifier.FEATURES), atol=1e-4, rtol=0)
    torch.testing.assert_close(units[:, used].std(0), torch.ones(int(used.sum())), atol=1e-2, rtol=0)
    assert seen.shape == (600, feature_classifier.FEATURES)
    assert torch.equal(seen, feature_classifier.features(again, data.test.x))
    real, noise = seen[:300], feature_classifier.features(model, torch.rand(300, 1, 28, 28))
    assert generation.frechet_distance(real, seen[300:]) < 0.3 * generation.frechet_distance(real, noise)
