"""Importance-weighted, conditional and convolutional variational autoencoders against closed forms and brute force."""

import math

import pytest
import torch
from torch.nn import functional as F

from aelab.models import iwae
from aelab.models.common import Batch, Spec, gaussian_kl, registry

TINY = Spec((1, 2, 3), 3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def model():
    """A net of 6 pixels and one latent number, in float64, so far from its start that the posterior is not exact."""
    model = registry.build("iwae", {"hidden": (8,), "latent_dim": 1, "draws": 5}, TINY, seeded()).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=seeded(1), dtype=torch.float64), alpha=0.5)
        model.encoder[-1].bias[1] += 1.2  # wide: the variance of the weights is finite
    return model


@pytest.fixture
def x():
    """Two binary images."""
    return torch.tensor([[0, 1, 1, 0, 1, 0], [1, 1, 0, 0, 0, 1]], dtype=torch.float64).view(2, *TINY.shape)


def log_likelihood(model, x):
    """log p(x) [B] by brute force: the integral over z on a grid."""
    z = torch.linspace(-9, 9, 20_001, dtype=torch.float64)
    chance = model.decode(z[:, None]).flatten(1)  # [20001, 6]
    x = x.flatten(1)[:, None]  # [B, 1, 6]
    given_z = torch.where(x == 1, chance, 1 - chance).prod(-1)  # [B, 20001]
    prior = (-0.5 * z.square()).exp() / math.sqrt(2 * math.pi)
    return torch.trapezoid(given_z * prior, z, dim=1).log()


@torch.no_grad()
def bound(model, x, k, repeats, seed=0):
    """L_k [B], the mean of `repeats` estimates."""
    weights = model.log_weights(x.repeat_interleave(repeats, 0), k, seeded(seed))
    return iwae.log_mean_exp(weights).view(len(x), repeats).mean(1)


def test_importance_sampling_finds_the_likelihood_of_the_integral(model, x):
    torch.testing.assert_close(bound(model, x, 50_000, 1), log_likelihood(model, x), rtol=0, atol=0.01)


def test_the_bound_rises_with_k_towards_the_likelihood(model, x):
    bounds = torch.stack([*(bound(model, x, k, 20_000) for k in (1, 2, 5, 20)), log_likelihood(model, x)])
    assert (bounds.diff(dim=0) > 0).all(), bounds


def test_one_draw_is_the_evidence_lower_bound(model, x):
    rate, distortion = model.rate_distortion(x.repeat_interleave(50_000, 0), seeded())
    elbo = -(rate + distortion).view(2, -1).mean(1)
    torch.testing.assert_close(bound(model, x, 1, 50_000), elbo, rtol=0, atol=0.02)
    model.draws = 1
    losses = model.loss(Batch(x, x, torch.zeros(2)), seeded())
    torch.testing.assert_close(losses.total, losses.terms["reconstruction"] + losses.terms["kl"])


def test_log_weights_are_the_densities_by_the_library(model, x):
    weights = model.log_weights(x, 4, seeded(5))
    assert weights.shape == (4, 2)
    generator = seeded(5)
    torch.rand(x.shape, generator=generator, dtype=x.dtype)  # binarisation comes first
    q = torch.distributions.Normal(mu := model.encode(x), (0.5 * model.posterior(x)[1]).exp())
    z = mu + q.scale * torch.randn(4, 2, 1, generator=generator, dtype=x.dtype)
    given_z = model.decode(z.flatten(0, 1)).view(4, *x.shape)
    expected = torch.distributions.Bernoulli(given_z).log_prob(x).flatten(2).sum(2)
    expected = expected + (torch.distributions.Normal(0.0, 1.0).log_prob(z) - q.log_prob(z)).sum(2)
    torch.testing.assert_close(weights, expected)


def test_the_loss_is_the_bound_and_its_gradient_weighs_the_draws(model, x):
    losses = model.loss(Batch(x, x, torch.zeros(2)), seeded(3))
    log_w = model.log_weights(x, 5, seeded(3))
    torch.testing.assert_close(losses.total, -log_w.exp().mean(0).log().mean())
    assert losses.terms["reconstruction"] + losses.terms["kl"] > losses.total
    parameters = list(model.parameters())
    found = torch.autograd.grad(losses.total, parameters)
    share = log_w.softmax(0).detach()  # w_k / sum of w_j
    expected = torch.autograd.grad(log_w, parameters, grad_outputs=-share / 2)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_pixels_are_binarised_with_their_grey_value_as_chance_and_alike_for_both_images():
    grey = torch.tensor([0.0, 0.25, 0.9, 1.0]).repeat(50_000, 1)
    clean, noisy = iwae.binarised(seeded(), grey, grey)
    assert torch.equal(clean, noisy)
    assert set(clean.unique().tolist()) == {0, 1}
    torch.testing.assert_close(clean.mean(0), grey[0], rtol=0, atol=0.01)
    (again,) = iwae.binarised(seeded(1), clean)
    assert torch.equal(again, clean), "a binary image stays as it is"


def test_learning_starts_at_the_mean_image(digits):
    model = registry.build("iwae", {"hidden": (4,), "latent_dim": 2}, Spec((1, 28, 28), 10), seeded())
    model.fit_statistics(*digits)
    with torch.no_grad():
        model.decoder[-2].weight.zero_()
    expected = digits[0].mean(0).clamp(1e-3, 1 - 1e-3)
    torch.testing.assert_close(model.sample(1, seeded())[0], expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def told():
    return registry.build("cvae", {"hidden": (8, 7), "latent_dim": 2}, TINY, seeded())


def test_the_split_first_layer_is_one_layer_on_image_and_label_joined(told):
    x, y = torch.rand(5, *TINY.shape), F.one_hot(torch.tensor([0, 1, 2, 1, 0]), 3).float()
    joined = torch.cat([x.flatten(1), y], 1)
    weight = torch.cat([told.encoder[1].weight, told.told.weight], 1)
    expected = told.upper(F.linear(joined, weight, told.encoder[1].bias))
    torch.testing.assert_close(torch.cat(told.posterior(x, y), 1), expected)


def test_a_missing_label_is_refused_in_one_line(told):
    x, z = torch.rand(2, *TINY.shape), torch.zeros(2, 2)
    for call in (lambda: told.encode(x), lambda: told.decode(z), lambda: told.reconstruct(x)):
        with pytest.raises(ValueError, match=r"^condition: None is wrong; allowed: .*labels") as error:
            call()
        assert len(str(error.value).splitlines()) == 1


def test_the_code_excludes_the_label_and_the_image_needs_it(told):
    x, labels = torch.rand(4, *TINY.shape), torch.tensor([0, 1, 2, 0])
    assert told.uses_labels
    z = told.encode(x, labels)
    assert z.shape == (4, 2)
    assert not torch.equal(told.decode(z, labels), told.decode(z, (labels + 1) % 3))
    with torch.no_grad():
        told.told.weight.zero_()  # the one way by which the label gets into the code
    assert torch.equal(told.encode(x, labels), told.encode(x, (labels + 1) % 3))


def test_samples_take_every_label_in_turn(told):
    z = torch.randn(7, 2, generator=seeded(4))
    expected = told.decode(z, torch.tensor([0, 1, 2, 0, 1, 2, 0]))
    torch.testing.assert_close(told.sample(7, seeded(4)), expected)


def test_the_conditional_loss_is_reconstruction_plus_kl_given_the_batch_s_labels(told):
    x, labels = torch.rand(4, *TINY.shape), torch.tensor([0, 1, 2, 0])
    losses = told.loss(Batch(x, x, labels), seeded(2))
    mu, logvar = told.posterior(x, told.one_hot(labels))
    z = mu + (0.5 * logvar).exp() * torch.randn(4, 2, generator=seeded(2))
    bce = F.binary_cross_entropy(told.decode(z, labels), x, reduction="sum") / 4
    torch.testing.assert_close(losses.terms["reconstruction"], bce)
    torch.testing.assert_close(losses.total, bce + gaussian_kl(mu, logvar).mean())


def test_the_convolutional_net_halves_and_doubles_and_its_loss_is_rate_plus_distortion():
    spec = Spec((2, 8, 12), 3)
    model = registry.build("conv_vae", {"channels": (3, 5), "latent_dim": 4}, spec, seeded())
    x = torch.rand(6, *spec.shape, generator=seeded(1))
    assert model.encoder[:2](x).shape[1:] == (3, 4, 6)
    assert model.encoder[:4](x).shape[1:] == (5, 2, 3)
    assert model.decode(model.encode(x)).shape == x.shape
    rate, distortion = model.rate_distortion(x, seeded(3))
    losses = model.loss(Batch(x, x, torch.zeros(6)), seeded(3))
    torch.testing.assert_close(losses.total, (rate + distortion).mean())


@pytest.mark.parametrize("family", ["conv_vae", "vq_vae"])
def test_images_that_cannot_be_halved_so_often_are_refused(family):
    config = {"channels": (2,) * 6} | ({"latent_dim": 2} if family == "conv_vae" else {})
    with pytest.raises(ValueError, match=r"^channels: 6 downsamplings of 28 x 28 pixels is wrong; allowed: at most 5$"):
        registry.build(family, config, Spec((1, 28, 28), 10), seeded())
