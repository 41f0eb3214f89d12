"""Variants of the dense autoencoder against closed forms, autograd and brute force."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from torch.nn import functional as F

from aelab.models import contractive, sparse
from aelab.models.common import Batch, Spec, bernoulli_kl, registry

TINY = Spec((1, 3, 4), 3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def build(family, spec=TINY, **config):
    return registry.build(family, config, spec, seeded())


def images(n, spec=TINY, seed=1):
    return torch.rand(n, *spec.shape, generator=seeded(seed))


def batch(x, noisy=None):
    return Batch(x, x if noisy is None else noisy, torch.zeros(len(x), dtype=torch.int64))


def test_the_contraction_is_the_jacobian_s_squared_norm():
    model, x = build("contractive", widths=(5,), code_activation="sigmoid", tied=True, weight=0.5), images(4)
    jacobians = [torch.autograd.functional.jacobian(lambda one: model.encode(one[None])[0], image) for image in x]
    expected = torch.stack([jacobian.square().sum() for jacobian in jacobians])
    layer = model.encoder[0][1]
    torch.testing.assert_close(contractive.jacobian_norm(model.encode(x), layer.weight), expected)
    terms = model.loss(batch(x), seeded()).terms
    torch.testing.assert_close(terms["contraction"], 0.5 * expected.mean())


def test_a_contractive_net_of_other_layers_is_refused():
    with pytest.raises(ValueError, match=r"^widths: \[4, 2\] is wrong; allowed: one layer"):
        build("contractive", widths=(4, 2), code_activation="sigmoid")
    with pytest.raises(ValueError, match=r"^code_activation: relu is wrong; allowed: sigmoid"):
        build("contractive", widths=(4,), code_activation="relu")


def test_k_sparse_keeps_the_k_largest_and_learns_through_them_alone():
    model, x = build("k_sparse", widths=(9,), k=3, alpha=2.0, tied=True, output="linear", loss="mse"), images(5)
    full = model.encoder[0](x)
    z = model.train().encode(x)
    assert ((z != 0).sum(1) == 3).all()
    for row, code in zip(full, z, strict=True):
        kept = row.topk(3)
        assert torch.equal(code.nonzero()[:, 0], kept.indices.sort().values)
        assert torch.equal(code[kept.indices], kept.values)
    (gradient,) = torch.autograd.grad(model.decode(z).sum(), full, allow_unused=True) or (None,)
    assert gradient is None  # full was computed apart
    pre = full.detach().requires_grad_()
    model.encoder[-1](pre).sum().backward()
    assert torch.equal(pre.grad, (z != 0).float())
    assert ((model.eval().encode(x) != 0).sum(1) == 6).all()
    with pytest.raises(ValueError, match=r"^k: 10 is wrong; allowed: 1 to 9"):
        build("k_sparse", widths=(9,), k=10)


def kl(rho, rho_hat):
    return rho * np.log(rho / rho_hat) + (1 - rho) * np.log((1 - rho) / (1 - rho_hat))


@pytest.mark.parametrize(("units", "reduce"), [("sum", np.sum), ("mean", np.mean)])
@pytest.mark.parametrize("code", ["sigmoid", "tanh"])
def test_the_sparsity_penalty_by_hand(units, reduce, code):
    model, x = build("sparse", widths=(6,), code_activation=code, weight=2.0, rho=0.1, units=units), images(8)
    h = model.encode(x).detach().double().numpy()
    share = (1 + h) / 2 if code == "tanh" else h  # a tanh unit rests at -1
    expected = 2 * reduce(kl(0.1, share.mean(0)))
    assert model.loss(batch(x), seeded()).terms["sparsity"].item() == pytest.approx(expected, rel=1e-5)


def test_the_penalty_on_weights_is_their_absolute_sum():
    model = build("sparse", widths=(6, 4), penalty="l1_weights", weight=0.5)
    terms = model.loss(batch(images(8)), seeded()).terms
    weights = [layer.weight for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    assert len(weights) == 4
    assert terms["weights"].item() == pytest.approx(0.5 * sum(each.abs().sum().item() for each in weights), rel=1e-5)
    assert "sparsity" not in terms


def test_the_running_mean_remembers_past_batches_while_learning_alone():
    model = build("sparse", widths=(6,), code_activation="sigmoid", weight=1.0, rho=0.1, memory=0.9)
    one, two = images(8), images(8, seed=2)
    model.eval().loss(batch(one), seeded())
    torch.testing.assert_close(model.running, torch.full((6,), 0.1))
    model.train().loss(batch(one), seeded())
    expected = 0.9 * 0.1 + 0.1 * model.encode(one).mean(0)
    torch.testing.assert_close(model.running, expected)
    found = model.loss(batch(two), seeded()).terms["sparsity"]
    rho_hat = 0.9 * expected + 0.1 * model.encode(two).mean(0)
    torch.testing.assert_close(found, bernoulli_kl(0.1, rho_hat).mean())
    assert "running" in model.state_dict()


PHOTO = Spec((2, 9, 12), 3)


@pytest.mark.parametrize(("length", "size", "expected"), [(28, 10, [0, 6, 12, 18]), (10, 10, [0]), (9, 4, [0, 2, 5])])
def test_patches_cover_the_image(length, size, expected):
    found = sparse.starts(length, size)
    assert found == expected
    assert {start + step for start in found for step in range(size)} == set(range(length))


def test_patches_of_an_image_are_encoded_one_by_one_and_averaged_where_they_overlap():
    model, x = build("sparse", PHOTO, widths=(6,), code_activation="sigmoid", weight=1.0, patch=4), images(3, PHOTO)
    inner = build("sparse", Spec((2, 4, 4), 3), widths=(6,), code_activation="sigmoid", weight=1.0)
    inner.load_state_dict(model.state_dict())
    z = model.encode(x)
    total, count = torch.zeros_like(x), torch.zeros_like(x)
    for number, (top, left) in enumerate(itertools.product(sparse.starts(9, 4), sparse.starts(12, 4))):
        crop = x[:, :, top : top + 4, left : left + 4]
        torch.testing.assert_close(z[:, 6 * number : 6 * number + 6], inner.encode(crop))
        total[:, :, top : top + 4, left : left + 4] += inner.reconstruct(crop)
        count[:, :, top : top + 4, left : left + 4] += 1
    torch.testing.assert_close(model.reconstruct(x), total / count)


def test_a_patch_net_learns_on_crops_at_every_place_and_on_the_same_place_of_the_noisy_image(monkeypatch):
    model = build("sparse", PHOTO, widths=(6,), code_activation="sigmoid", weight=1.0, patch=4)
    x = torch.arange(9 * 12.0).view(1, 1, 9, 12).expand(500, 2, 9, 12)  # a pixel's value says where it stands
    seen = []
    monkeypatch.setattr(sparse.SparseAutoencoder, "loss", lambda self, crops, generator: seen.append(crops))
    model.loss(batch(x, x + 1000), seeded())
    ((clean, noisy, _),) = seen
    assert clean.shape == (500, 2, 4, 4)
    assert torch.equal(noisy, clean + 1000)
    corner = clean[:, 0, 0, 0]
    offsets = torch.arange(4.0)[:, None] * 12 + torch.arange(4.0)
    assert torch.equal(clean[:, 1], corner[:, None, None] + offsets)
    assert set(corner.tolist()) == {12.0 * top + left for top in range(6) for left in range(9)}
    with pytest.raises(ValueError, match=r"^patch: 10 is wrong; allowed: at most the image's 9 x 12"):
        build("sparse", PHOTO, widths=(6,), code_activation="sigmoid", patch=10)


def test_emphasis_weighs_the_pixels_that_noise_changed():
    model, x = build("dense", widths=(5,), emphasis=(2.0, 0.5)), images(4)
    noisy = x.clone()
    noisy[:, :, 0] = 0
    losses = model.loss(batch(x, noisy), seeded())
    each = F.binary_cross_entropy(model.reconstruct(noisy), x, reduction="none")
    expected = (2 * each[:, :, 0].sum() + 0.5 * each[:, :, 1:].sum()) / 4
    torch.testing.assert_close(losses.total, expected)
    torch.testing.assert_close(losses.terms["reconstruction"], each.sum() / 4)
    with pytest.raises(ValueError, match=r"^emphasis: \(0\.0, 0\.0\) is wrong"):
        build("dense", widths=(5,), emphasis=(0.0, 0.0))


def test_dropout_silences_hidden_units_while_learning_alone():
    model, x = build("dense", widths=(400,), code_activation="relu", dropout=0.5), images(2)
    torch.manual_seed(0)
    live = model.eval().encode(x) != 0
    kept = model.train().encode(x)[live] != 0
    assert 0.3 < kept.float().mean() < 0.7


def test_lda_spans_the_subspace_of_the_library_and_reconstructs_by_least_squares(monkeypatch):
    generator, spec = seeded(3), Spec((1, 2, 3), 4)
    y = torch.arange(400) % 4
    x = (torch.randn(400, 6, generator=generator) + 2 * torch.randn(4, 6, generator=generator)[y]).view(400, 1, 2, 3)
    model = build("closed_form", spec, components=2, directions="lda")
    monkeypatch.setattr(type(model), "SHRINKAGE", 0.0)
    model.fit_statistics(x, y)
    z = model.encode(x)
    theirs = LinearDiscriminantAnalysis(solver="eigen", n_components=2).fit(x.flatten(1), y).transform(x.flatten(1))
    theirs = torch.tensor(theirs, dtype=torch.float32)
    for ours, other in zip(z.T, (theirs - theirs.mean(0)).T, strict=True):
        assert abs(F.cosine_similarity(ours, other, dim=0)) == pytest.approx(1, abs=1e-4)
    flat = x.flatten(1) - x.flatten(1).mean(0)
    best = torch.linalg.lstsq(z, flat).solution
    torch.testing.assert_close(model.reconstruct(x).flatten(1) - x.flatten(1).mean(0), z @ best, rtol=1e-3, atol=1e-3)
    assert model.uses_labels
    with pytest.raises(ValueError, match=r"^components: 4 is wrong; allowed: at most 3"):
        build("closed_form", spec, components=4, directions="lda")
