"""Points in the plane: what PCA cannot follow an autoencoder does, and denoising leads back to the points."""

import numpy as np
import pytest
import torch

from aelab.evaluation import toys
from aelab.evaluation.pca import PCA


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def manifolds():
    return toys.manifolds(seeded())


def test_a_straight_line_is_pca_s_and_the_autoencoder_finds_it_too(manifolds):
    pca, ae = manifolds["toy/straight_errors"]
    assert ae == pytest.approx(pca, rel=0.15)
    ends, x = manifolds["toy/straight_pca"], manifolds["toy/straight_points"]
    along = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    assert abs(along[1] / along[0]) == pytest.approx(0.6, abs=0.03)
    off = (x - ends[0]) @ np.array([-along[1], along[0]])
    assert (off**2).mean() == pytest.approx(pca, rel=1e-3)


def test_a_bent_line_is_beyond_pca(manifolds):
    pca, ae = manifolds["toy/bent_errors"]
    assert ae < 0.1 * pca
    curve = manifolds["toy/bent_ae"]
    assert np.abs(curve[:, 1] - (1.6 * curve[:, 0] ** 2 - 0.6)).max() < 0.25


def test_denoising_moves_towards_the_circle():
    found = toys.field(seeded())
    places, moves = found["toy/field_places"], found["toy/field_moves"]
    radius = np.linalg.norm(places, axis=1)
    near = (radius > 0.4) & (radius < 1.6) & (abs(radius - 1) > 0.2)
    outwards = (moves * places).sum(1) / np.maximum(radius, 1e-9)
    assert (np.sign(outwards[near]) == np.sign(1 - radius[near])).all()
    assert (np.linalg.norm(places + moves, axis=1)[near] < 1.2).all()


def test_the_same_generator_gives_the_same_bytes(manifolds):
    again = toys.manifolds(seeded())
    assert {key: value.tobytes() for key, value in again.items()} == {k: v.tobytes() for k, v in manifolds.items()}


def test_pca_s_pictures_have_pca_s_errors(digits):
    x = digits[0][:2000]
    pca = PCA(x[:1500].flatten(1))
    found = pca.pictures(x[1500:])
    expected = pca.errors(x[1500:].flatten(1))
    for k in (2, 32):
        difference = x[1500:, 0].numpy() - found[f"pca/{k}"] / 255
        assert (difference**2).sum((1, 2)).mean() <= expected[k]  # clipped to [0, 1]: no worse
        assert (difference**2).sum((1, 2)).mean() > 0.9 * expected[k]


def test_an_autoencoder_unrolls_a_bent_sheet_that_pca_folds():
    found = toys.sheet(seeded())
    pca, ae = found["toy/sheet_errors"]
    assert ae < 0.2 * pca
    assert found["toy/sheet_ae"].shape == (toys.SHEET, 2)


def test_lda_looks_across_the_direction_of_most_variance():
    found = toys.directions(seeded())
    points, labels = found["toy/directions_points"], found["toy/directions_labels"]
    assert abs(found["toy/directions_pca"] @ found["toy/directions_lda"]) < 0.5
    gaps = {}
    for name in ("pca", "lda"):
        codes = points @ found[f"toy/directions_{name}"]
        within = np.concatenate([codes[labels == label] - codes[labels == label].mean() for label in (0, 1)])
        gaps[name] = abs(codes[labels == 1].mean() - codes[labels == 0].mean()) / within.std()
    assert gaps["lda"] > 2 * gaps["pca"]
