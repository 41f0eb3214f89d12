"""Formulas against closed forms and numbers worked out by hand."""

import math
import os
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from aelab.config import params, seeding
from aelab.data.tensors import Tensors, pixels
from aelab.evaluation import cost
from aelab.models.common import (
    Autoencoder,
    Batch,
    Output,
    Spec,
    bernoulli_kl,
    gaussian_draw,
    gaussian_kl,
    registry,
)
from aelab.sources import published
from aelab.training.loop import fit
from aelab.training.settings import Training

SPEC = Spec((1, 28, 28), 10)


def entry(name: str, group: str = "models") -> Autoencoder:
    item = params.load(f"{group}.{name}")
    return registry.build(item.family, item.config, SPEC, torch.Generator().manual_seed(0))


class Silent:
    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...


def test_gaussian_kl_equals_the_library_and_is_zero_at_the_prior():
    mu, logvar = torch.randn(7, 5), torch.randn(7, 5)
    q = torch.distributions.Normal(mu, (0.5 * logvar).exp())
    expected = torch.distributions.kl_divergence(q, torch.distributions.Normal(0.0, 1.0)).sum(1)
    torch.testing.assert_close(gaussian_kl(mu, logvar), expected)
    assert gaussian_kl(torch.zeros(3, 4), torch.zeros(3, 4)).abs().max() == 0


def test_rate_and_distortion_add_up_to_the_loss_at_beta_1_and_beta_weighs_the_rate_alone():
    x = torch.rand(16, *SPEC.shape)
    for name, beta in (("vae", 1), ("beta_vae", 4)):
        model = entry(name)
        losses = model.loss(Batch(x, x, torch.zeros(16)), torch.Generator().manual_seed(3))
        rate, distortion = model.rate_distortion(x, torch.Generator().manual_seed(3))  # type: ignore[operator]
        torch.testing.assert_close(losses.total, distortion.mean() + beta * rate.mean())


def test_beta_0_leaves_the_rate_out_of_the_loss_and_of_its_gradient():
    x, model = torch.rand(16, *SPEC.shape), entry("vae_no_kl")
    losses = model.loss(Batch(x, x, torch.zeros(16)), torch.Generator().manual_seed(3))
    assert losses.terms["kl"] > 0
    assert losses.total == losses.terms["reconstruction"]
    weights = list(model.encoder.parameters())
    found, expected = (
        torch.autograd.grad(loss, weights, retain_graph=True) for loss in (losses.total, losses.terms["reconstruction"])
    )
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


def test_the_reparametrised_draw_has_the_posterior_s_mean_and_deviation():
    mu, logvar = torch.full((200_000, 1), 1.5), torch.full((200_000, 1), math.log(0.25))
    z = gaussian_draw(mu, logvar, torch.Generator().manual_seed(0))
    assert z.mean().item() == pytest.approx(1.5, abs=0.01)
    assert z.std().item() == pytest.approx(0.5, abs=0.01)


def test_bernoulli_kl_by_hand_and_its_gradient():
    # KL(0.01 || 0.5) = 0.01 ln(0.02) + 0.99 ln(1.98)
    expected = 0.01 * math.log(0.02) + 0.99 * math.log(1.98)
    rho_hat = torch.tensor([0.5, 0.01], dtype=torch.float64, requires_grad=True)
    kl = bernoulli_kl(0.01, rho_hat)
    assert kl[0].item() == pytest.approx(expected)
    assert kl[1].item() == pytest.approx(0, abs=1e-12)
    kl.sum().backward()
    # d/d rho_hat = -rho / rho_hat + (1 - rho) / (1 - rho_hat)
    assert rho_hat.grad is not None
    assert rho_hat.grad[0].item() == pytest.approx(-0.01 / 0.5 + 0.99 / 0.5)


def test_the_kl_penalty_is_beta_times_the_mean_over_units_of_the_batch_s_activation():
    model = entry("sparse_kl")
    x = torch.rand(32, *SPEC.shape)
    losses = model.loss(Batch(x, x, torch.zeros(32)), torch.Generator())
    rho_hat = model.encode(x).mean(0)
    by_hand = 5 * 784 * sum(0.01 * math.log(0.01 / r) + 0.99 * math.log(0.99 / (1 - r)) for r in rho_hat.tolist()) / 100
    assert losses.terms["sparsity"].item() == pytest.approx(by_hand, rel=1e-4)
    error = 784 * F.mse_loss(model.decode(model.encode(x)), x)
    torch.testing.assert_close(losses.terms["reconstruction"], error)


def test_the_l1_penalty_is_the_sum_over_the_first_layer_s_units():
    model = entry("sparse_l1")
    x = torch.rand(8, *SPEC.shape)
    losses = model.loss(Batch(x, x, torch.zeros(8)), torch.Generator())
    first = model.activations(x)[0]
    assert first.shape == (8, 128)
    assert losses.terms["sparsity"].item() == pytest.approx(1e-5 * first.abs().sum().item() / 8, rel=1e-5)


@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_output_losses_are_sums_or_means_over_pixels_and_means_over_images(reduction):
    raw, x = torch.randn(4, 1, 3, 3), torch.rand(4, 1, 3, 3)
    per = 4 if reduction == "sum" else 36
    bce = F.binary_cross_entropy(torch.sigmoid(raw), x, reduction="sum") / per
    torch.testing.assert_close(Output("sigmoid", "bce", reduction).error(raw, x), bce)
    tanh = ((torch.tanh(raw) - (2 * x - 1)) ** 2).sum() / per
    torch.testing.assert_close(Output("tanh", "mse", reduction).error(raw, x), tanh)
    assert Output("tanh", "mse", reduction)(torch.full((1,), -50.0)).item() == 0  # back in data units


def test_convolution_sizes_are_those_of_the_booklet():
    def sizes(model):
        maps = [torch.zeros(1, *SPEC.shape)]
        for module in [*model.encoder, *model.decoder[1:]]:  # without the unflattening
            maps.append(module(maps[-1]))
        return [found.shape[-1] for found in maps]

    assert sizes(entry("conv")) == [28, 10, 5, 5, 2, 5, 15, 28]
    assert sizes(entry("conv_tanh")) == [28, 10, 5, 3, 2, 5, 15, 28]
    assert sizes(entry("conv_bottleneck4")) == [28, 25, 12, 9, 1, 5, 13, 28]
    assert entry("conv_upsample").encode(torch.zeros(1, *SPEC.shape)).shape == (1, 8 * 7 * 7)


def test_parameter_counts():
    assert cost.parameters(entry("conv_upsample")) == 3217
    assert cost.parameters(entry("ae")) == 784 * 32 + 32 + 32 * 784 + 784
    assert cost.parameters(entry("dae_0")) == 784 * 500 + 500 + 784, "tied weights count once"
    assert cost.parameters(entry("vae")) == 784 * 400 + 400 + 400 * 40 + 40 + 20 * 400 + 400 + 400 * 784 + 784


def test_pca_equals_the_library(digits):
    from sklearn.decomposition import PCA

    x = digits[0][:1000]
    model = entry("pca")
    model.fit_statistics(x, torch.zeros(len(x)))
    theirs = PCA(32, svd_solver="full").fit(x.flatten(1).double().numpy())
    expected = theirs.inverse_transform(theirs.transform(x.flatten(1).double().numpy()))
    assert abs(model.reconstruct(x).flatten(1).double().numpy() - expected).max() < 1e-4
    samples = model.sample(20_000, torch.Generator().manual_seed(0)).flatten(1)  # type: ignore[operator]
    assert (samples.mean(0) - x.flatten(1).mean(0)).abs().max() < 0.02


def test_the_mean_is_the_mean(digits):
    model = entry("mean")
    model.fit_statistics(*digits)
    torch.testing.assert_close(model.reconstruct(digits[0][:3])[2], digits[0].mean(0), rtol=1e-4, atol=1e-5)


def test_a_linear_autoencoder_spans_the_principal_subspace_where_the_spectrum_has_a_gap():
    generator = torch.Generator().manual_seed(0)
    basis = torch.linalg.qr(torch.randn(784, 784, generator=generator))[0]
    scales = torch.cat([torch.linspace(3, 2, 32), torch.full((752,), 0.05)])
    x = (torch.randn(4000, 784, generator=generator) * scales @ basis.T).unflatten(1, SPEC.shape)
    model = entry("linear_ae")
    settings = Training("adam", 4e-3, "one_cycle", 0.0, 128, 40, None, None, None, 1, (), (), ())
    data = Tensors(x, torch.zeros(len(x)))
    fit(model, data, data, settings, partial(seeding.generator, 0), Silent())
    learned = torch.linalg.qr(model.decoder[0].weight)[0]  # type: ignore[index, arg-type]
    cosines = torch.linalg.svdvals(learned.T @ basis[:, :32]).clamp(max=1)
    assert torch.rad2deg(cosines.min().acos()).item() < 5


def test_a_greedy_layer_learns_alone_on_clean_codes_of_the_layers_below():
    model = entry("stack_dae", "stacks")
    phases = model.phases()
    assert [phase.name for phase in phases] == ["layer0", "layer1", "layer2"]
    x = torch.rand(4, *SPEC.shape)
    assert phases[0].inputs is None
    assert phases[2].inputs is not None
    torch.testing.assert_close(phases[2].inputs(x), torch.sigmoid(model.encoder[1][0](model.activations(x)[0])))
    owned = [{id(p) for p in phase.parameters} for phase in phases]
    assert sum(map(len, owned)) == len(set.union(*owned)), "a parameter belongs to one phase"
    assert set.union(*owned) == {id(p) for p in model.parameters()}
    assert [sum(p.numel() for p in phase.parameters) for phase in phases] == [
        784 * 1000 + 1000 + 784,
        1000 * 1000 + 1000 + 1000,
        1000 * 500 + 500 + 1000,
    ]


@pytest.mark.skipif("AELAB_MIRROR" not in os.environ, reason="AELAB_MIRROR names no folder with the full MNIST")
def test_pca_30_on_full_mnist_has_the_published_error():
    parts = published.fetch("mnist", ())
    train, test = (pixels(torch.from_numpy(parts[name][0]))[:, None] for name in ("train", "test"))
    model = registry.build("closed_form", {"components": 30}, SPEC, torch.Generator())
    model.fit_statistics(train, torch.zeros(len(train)))  # all 60,000, as published
    error = (model.reconstruct(test) - test).square().flatten(1).sum(1).mean().item()
    assert error == pytest.approx(13.87, abs=0.01)
