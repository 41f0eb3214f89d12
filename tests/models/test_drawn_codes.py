"""Codes that are drawn, categorical ones and binary units: their chances, gradients and bounds, by hand."""

import itertools
import math

import pytest
import torch
from torch.nn import functional as F

from aelab.models import gumbel_vae, stochastic_binary
from aelab.models.common import Batch, Spec, registry

TINY = Spec((1, 2, 3), 3)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def images(n=4):
    return torch.rand(n, *TINY.shape, generator=seeded(1))


def loss(model, x, seed=2):
    return model.loss(Batch(x, x, torch.zeros(len(x))), seeded(seed))


@pytest.fixture
def model():
    """Two choices among three, its last bias and all else away from the start."""
    made = registry.build("gumbel_vae", {"hidden": (5,), "num_latents": 2, "categories": 3}, TINY, seeded())
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=seeded(3)))
    return made


def assert_shares(found, expected, n):
    """Shares of n independent draws within four standard errors of their chances."""
    assert ((found - expected).abs() < 4 * (expected * (1 - expected) / n).sqrt()).all(), (found, expected)


def test_the_largest_score_after_gumbel_noise_is_a_draw_from_the_softmax():
    logits, n = torch.tensor([2.0, 0.0, -1.0, 1.0]), 200_000
    drawn = gumbel_vae.one_hot(logits + gumbel_vae.gumbel(logits.expand(n, -1).clone(), seeded()))
    assert torch.equal(drawn.sum(1), torch.ones(n))
    assert_shares(drawn.mean(0), logits.softmax(0), n)


def test_gumbel_noise_has_its_mean_and_variance():
    noise = gumbel_vae.gumbel(torch.zeros(400_000), seeded())
    assert noise.mean().item() == pytest.approx(0.57722, abs=0.01)
    assert noise.var().item() == pytest.approx(math.pi**2 / 6, abs=0.02)


def test_the_categorical_kl_is_the_library_s_and_at_most_log_c_per_variable():
    logits = 2 * torch.randn(7, 3, 4, generator=seeded())
    q, p = torch.distributions.Categorical(logits=logits), torch.distributions.Categorical(torch.ones(7, 3, 4))
    torch.testing.assert_close(gumbel_vae.categorical_kl(logits), torch.distributions.kl_divergence(q, p).sum(1))
    assert gumbel_vae.categorical_kl(torch.ones(2, 3, 4)).abs().max() < 1e-6
    sure = F.one_hot(torch.tensor([[0, 3]]), 4) * 100.0
    assert gumbel_vae.categorical_kl(sure).item() == pytest.approx(2 * math.log(4))


def test_the_temperature_falls_from_1_exponentially_to_the_coolest():
    made = registry.build("gumbel_vae", {"hidden": (5,), "anneal_rate": 0.01, "min_temperature": 0.3}, TINY, seeded())
    found = []
    for steps in (0, 1, 50, 100, 121, 10_000):
        made.steps.fill_(steps)
        found.append(made.temperature.item())
    expected = [1, math.exp(-0.01), math.exp(-0.5), math.exp(-1), 0.3, 0.3]
    assert found == pytest.approx(expected)


def test_steps_are_counted_while_learning_alone(model):
    loss(model.train(), images())
    loss(model, images())
    loss(model.eval(), images())
    with torch.no_grad():
        loss(model.train(), images())
    assert model.steps.item() == 2


@pytest.mark.parametrize("steps", [0, 300, 10**6])
def test_the_loss_is_that_of_the_relaxed_draw_at_the_temperature(model, steps):
    x = images()
    model.steps.fill_(steps)
    temperature = max(0.5, math.exp(-1e-3 * steps))
    losses = loss(model.eval(), x)
    logits = model.encoder(x)
    z = ((logits + gumbel_vae.gumbel(logits, seeded(2))) / temperature).softmax(-1)
    error = F.binary_cross_entropy(model.decode(z), x, reduction="sum") / 4
    rate = gumbel_vae.categorical_kl(logits).mean()
    torch.testing.assert_close(losses.terms["reconstruction"], error)
    torch.testing.assert_close(losses.terms["kl"], rate)
    torch.testing.assert_close(losses.total, error + rate)


def test_the_epoch_is_evaluated_by_the_bound_at_a_real_draw_whatever_the_temperature(model):
    x, found = images(), []
    for steps in (0, 10**6):
        model.steps.fill_(steps)
        found.append(loss(model.eval(), x).terms["negative_elbo"])
    logits = model.encoder(x)
    drawn = (logits + gumbel_vae.gumbel(logits, seeded(2))).argmax(-1)
    z = F.one_hot(drawn, 3).float()
    error = F.binary_cross_entropy(model.decode(z), x, reduction="sum") / 4
    assert found[0] == found[1]
    torch.testing.assert_close(found[0], error + gumbel_vae.categorical_kl(logits).mean())
    (phase,) = model.phases()
    assert phase.monitor == "negative_elbo"


def test_the_bound_s_mean_is_the_sum_over_all_codes_and_lies_above_minus_log_p(model):
    x = (images(1) > 0.5).float()
    q = model.encoder(x).softmax(-1)[0]
    elbo, likelihood = torch.zeros(()), torch.zeros(())
    for a, b in itertools.product(range(3), repeat=2):
        z = F.one_hot(torch.tensor([[a, b]]), 3).float()
        log_p = -F.binary_cross_entropy(model.decode(z), x, reduction="sum")
        elbo = elbo + q[0, a] * q[1, b] * (log_p - math.log(9) - (q[0, a] * q[1, b]).log())
        likelihood = likelihood + log_p.exp() / 9
    many = x.expand(40_000, -1, -1, -1)
    with torch.no_grad():
        assert loss(model.eval(), many).terms["negative_elbo"].item() == pytest.approx(-elbo.item(), rel=0.01)
        rate, distortion = model.rate_distortion(many, seeded(5))
    assert (rate + distortion).mean().item() == pytest.approx(-elbo.item(), rel=0.01)
    assert -elbo > -likelihood.log()


def test_the_prior_is_uniform(model):
    seen = []
    model.decode = lambda z: seen.append(z)
    model.sample(30_000, seeded())
    (z,) = seen
    assert torch.equal(z.sum(-1), torch.ones(30_000, 2))
    assert_shares(z.mean(0), torch.full((2, 3), 1 / 3), 30_000)


def test_drawn_units_are_0_or_1_with_their_chances_and_the_gradient_of_their_chances():
    n, chance = 100_000, torch.tensor([0.0, 0.1, 0.5, 0.9, 1.0])
    p = chance.expand(n, -1).clone().requires_grad_()
    h = stochastic_binary.drawn(p, seeded())
    torch.testing.assert_close(h, h.round(), rtol=0, atol=1e-6)
    assert set(h.round().unique().tolist()) == {0.0, 1.0}
    assert torch.equal(h[:, [0, 4]].round(), chance[[0, 4]].expand(n, -1))
    assert_shares(h.detach().mean(0)[1:4], chance[1:4], n)
    incoming = torch.randn(n, 5, generator=seeded(1))
    (gradient,) = torch.autograd.grad(h, p, incoming)
    assert torch.equal(gradient, incoming)


def test_units_are_drawn_apart():
    h = stochastic_binary.drawn(torch.full((50_000, 2), 0.5), seeded())
    assert_shares((h[:, 0] * h[:, 1]).mean(), torch.tensor(0.25), 50_000)


def test_the_stochastic_loss_is_the_error_at_one_draw_and_the_reconstruction_is_at_the_mean():
    model, x = registry.build("stochastic_binary", {"units": 5}, TINY, seeded()), images()
    chance = torch.sigmoid(F.linear(x.flatten(1), model.encoder[1].weight, model.encoder[1].bias))
    h = (torch.rand(4, 5, generator=seeded(2)) < chance).float()
    error = F.binary_cross_entropy(model.decode(h), x, reduction="sum") / 4
    torch.testing.assert_close(loss(model, x).total, error)
    torch.testing.assert_close(model.encode(x), chance)
    torch.testing.assert_close(model.reconstruct(x), model.decode(chance))
