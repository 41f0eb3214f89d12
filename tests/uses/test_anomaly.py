"""Anomaly scores against closed forms on linear nets, thresholds that keep their promise."""

import numpy as np
import pytest
import torch
from torch import nn

from aelab.data.columns import Column
from aelab.data.tensors import Tensors
from aelab.models.common import Autoencoder, Output, Spec, registry
from aelab.uses import anomaly

SPEC = Spec((1, 4, 5), 3)
WIDTHS = (12, 6)


@pytest.fixture
def linear():
    """x -> V W2 W1 x, W1 [12, 20], W2 [6, 12], V [20, 6]; and the matrices."""
    draw = torch.Generator().manual_seed(0)
    w1, w2, v = (torch.randn(a, b, generator=draw) / b**0.5 for a, b in ((12, 20), (6, 12), (20, 6)))
    layers = [nn.Linear(20, 12, bias=False), nn.Linear(12, 6, bias=False), nn.Linear(6, 20, bias=False)]
    with torch.no_grad():
        for layer, weight in zip(layers, (w1, w2, v), strict=True):
            layer.weight.copy_(weight)
    encoder = nn.Sequential(nn.Sequential(nn.Flatten(), layers[0]), layers[1])
    decoder = nn.Sequential(layers[2], nn.Unflatten(1, SPEC.shape))
    model = Autoencoder(SPEC, encoder, decoder, Output("linear", "mse", "sum")).eval()
    return model, *(w.double().numpy() for w in (w1, w2, v))


@pytest.fixture
def train():
    x = torch.rand(200, 1, 4, 5, generator=torch.Generator().manual_seed(1))
    return Tensors(x, torch.arange(200) % 3)


def test_error_sap_and_nap_are_those_of_rapp(linear, train):
    model, w1, w2, v = linear
    found = anomaly.fit(model, train)
    assert list(found) == ["error", "sap", "nap", "mahalanobis"]
    x, y = train.x[:50], train.y[:50]
    flat = train.x.flatten(1).double().numpy()
    away = flat - flat @ (v @ w2 @ w1).T  # x - x_hat
    d = np.concatenate([away @ w1.T, away @ (w2 @ w1).T], 1)  # of the hidden layer, of the code
    assert found["error"](x, y).numpy() == pytest.approx((away[:50] ** 2).sum(1), rel=1e-4)
    assert found["sap"](x, y).numpy() == pytest.approx((d[:50] ** 2).sum(1), rel=1e-4)
    centred = d - d.mean(0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    kept = s > 1e-5 * s[0]
    nap = ((centred[:50] @ vt.T[:, kept] / s[kept]) ** 2).sum(1)
    assert found["nap"](x, y).numpy() == pytest.approx(nap, rel=1e-3)
    codes = flat @ (w2 @ w1).T
    away = codes - codes.mean(0)
    inverse = np.linalg.inv(np.cov(codes.T, bias=True))
    expected = np.einsum("ni,ij,nj->n", away, inverse, away)[:50]
    assert found["mahalanobis"](x, y).numpy() == pytest.approx(expected, rel=1e-3)
    assert found["mahalanobis"](*train).mean().item() == pytest.approx(6, rel=1e-3)  # the numbers of a code


def test_scores_that_do_not_apply_are_left_out(train, monkeypatch):
    pca = registry.build("closed_form", {"components": 2}, SPEC, torch.Generator())
    pca.fit_statistics(*train)
    assert list(anomaly.fit(pca.eval(), train)) == ["error", "mahalanobis"]
    vae = registry.build("vae", {"hidden": (8,), "latent_dim": 2}, SPEC, torch.Generator().manual_seed(0)).eval()
    assert list(anomaly.fit(vae, train)) == list(anomaly.SCORES)
    monkeypatch.setattr(anomaly, "WIDE", 4)
    assert list(anomaly.fit(vae, train)) == ["error", "sap", "mahalanobis", "elbo"]


def test_the_bound_is_repeatable_and_that_of_the_model(train):
    vae = registry.build("vae", {"hidden": (8,), "latent_dim": 2}, SPEC, torch.Generator().manual_seed(0)).eval()
    score = anomaly.fit(vae, train)["elbo"]
    once = score(*train)
    assert torch.equal(once, score(*train))
    with torch.no_grad():
        rate, distortion = vae.rate_distortion(train.x, torch.Generator().manual_seed(3))
    assert once.mean().item() == pytest.approx((rate + distortion).mean().item(), rel=0.05)


def test_missing_cells_are_no_anomaly():
    line = ((0.0, 0.0), (1.0, 1.0))
    spec = Spec((3,), 0, (Column("a", knots=line), Column("b", flag=True, knots=line)))
    pca = registry.build("closed_form", {"components": 0}, spec, torch.Generator())
    x = torch.tensor([[1.0, 5.0, 1.0], [-1.0, -5.0, 1.0], [1.0, 0.0, 0.0]])
    data = Tensors(x, torch.zeros(3, dtype=torch.int64))
    pca.fit_statistics(*data)
    mean = x.mean(0)
    expected = [(1 - mean[0]) ** 2 + (5 - mean[1]) ** 2, (1 + mean[0]) ** 2 + (5 + mean[1]) ** 2, (1 - mean[0]) ** 2]
    assert anomaly.fit(pca, data)["error"](*data).tolist() == pytest.approx([float(v) for v in expected])


@pytest.mark.parametrize(("n", "rate"), [(99, 0.01), (500, 0.01), (57, 0.05), (19, 0.05)])
def test_a_threshold_has_no_more_false_alarms_than_promised(n, rate):
    """Over many draws of validation and test scores from one distribution."""
    rng = np.random.default_rng(0)
    alarms = []
    for _ in range(400):
        limit = anomaly.threshold(torch.from_numpy(rng.normal(size=n)), rate)
        alarms.append((rng.normal(size=500) > limit).mean())
    assert rate * 0.5 < np.mean(alarms) < rate * 1.1


@pytest.mark.parametrize(("rate", "words"), [(0.0, "above 0, below 1"), (0.01, "0.02 or more, as there are 50")])
def test_rates_that_cannot_be_kept_are_refused(rate, words):
    with pytest.raises(ValueError, match=words):
        anomaly.threshold(torch.rand(50), rate)


def test_every_layer_counts_once_and_its_activation_with_it():
    spec, draw = Spec((1, 8, 8), 2), torch.Generator().manual_seed(0)
    x, y = torch.rand(3, 1, 8, 8), torch.tensor([0, 1, 0])
    widths = {
        "dense": ({"widths": (7, 3)}, [7, 3]),
        "vae": ({"hidden": (7, 5), "latent_dim": 3}, [7, 5, 3]),
        "stochastic_binary": ({"units": 5}, [5]),
        "rbm": ({"units": 5}, [5]),
        "cvae": ({"hidden": (7,), "latent_dim": 3}, [3]),
        "conv_vae": ({"channels": (2, 3), "latent_dim": 4}, [2 * 16, 3 * 4, 4]),
    }
    for family, (config, expected) in widths.items():
        model = registry.build(family, config, spec, draw).eval()
        with torch.no_grad():
            hidden = model.hidden(x, y)
            assert torch.equal(hidden[-1], model.encode(x, y)), family
        assert [part.shape[1] for part in hidden] == expected, family
        assert not any(module._forward_hooks for module in model.modules()), family
