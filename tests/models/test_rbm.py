"""Restricted Boltzmann machines small enough that every state can be counted."""

import itertools
import math

import pytest
import torch
from torch import nn

from aelab.models import rbm
from aelab.models.common import Batch, RBMLayer, Spec, Transposed, registry

V, H = 4, 3
VISIBLE = torch.tensor(list(itertools.product([0.0, 1.0], repeat=V)), dtype=torch.float64)  # all 16 states
HIDDEN = torch.tensor(list(itertools.product([0.0, 1.0], repeat=H)), dtype=torch.float64)  # all 8


@pytest.fixture
def machine():
    generator = torch.Generator().manual_seed(1)
    forth = nn.Linear(V, H).double()
    back = Transposed(forth).double()
    for parameter in (forth.weight, forth.bias, back.bias):
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
    return RBMLayer(forth, back)


def energy(machine, v, h):
    """E(v, h) = -b'v - c'h - h'Wv, as the papers write it."""
    weight, c, b = machine.forth.weight, machine.forth.bias, machine.back.bias
    return -v @ b - h @ c - h @ weight @ v


def log_partition(machine):
    return torch.logsumexp(torch.stack([-energy(machine, v, h) for v in VISIBLE for h in HIDDEN]), 0)


def test_the_free_energy_sums_over_all_hidden_states(machine):
    expected = [-torch.logsumexp(torch.stack([-energy(machine, v, h) for h in HIDDEN]), 0) for v in VISIBLE]
    torch.testing.assert_close(machine.free_energy(VISIBLE), torch.stack(expected))
    torch.testing.assert_close(torch.logsumexp(-machine.free_energy(VISIBLE), 0), log_partition(machine))


def test_the_means_are_those_of_all_states(machine):
    v = VISIBLE[5]
    weights = torch.softmax(torch.stack([-energy(machine, v, h) for h in HIDDEN]), 0)
    torch.testing.assert_close(machine.hidden(v), weights @ HIDDEN)
    h = HIDDEN[6]
    weights = torch.softmax(torch.stack([-energy(machine, v, h) for v in VISIBLE]), 0)
    torch.testing.assert_close(torch.sigmoid(machine.back(h)), weights @ VISIBLE)


def test_many_steps_of_many_chains_give_the_exact_gradient(machine):
    """CD-k in the limit: -d ln p(v)/d theta, p(v) = e^-F(v) / Z, by autograd through all 16 x 8 states."""
    machine.forth.weight.data *= 3  # mixes slowly
    data = VISIBLE[torch.tensor([0, 15])]
    exact = torch.autograd.grad(machine.free_energy(data).mean() + log_partition(machine), machine.parameters())
    chains = data.repeat(20_000, 1)
    sample = machine.gibbs(chains, 100, torch.Generator().manual_seed(0))
    found = torch.autograd.grad(machine.contrast(data, sample, data).total, machine.parameters())
    for ours, theirs in zip(found, exact, strict=True):
        torch.testing.assert_close(ours, theirs, atol=0.01, rtol=0)
    short = machine.contrast(data, machine.gibbs(chains, 1, torch.Generator().manual_seed(0)), data).total
    biased = torch.autograd.grad(short, machine.parameters())
    errors = [(a - b).abs().max() for a, b in zip(biased, exact, strict=True)]
    assert max(errors) > 0.1, "CD-1 is biased, so the test can tell"


def test_long_chains_visit_states_as_often_as_they_are_likely(machine):
    sample = machine.gibbs(torch.zeros(80_000, V, dtype=torch.float64), 30, torch.Generator().manual_seed(0))
    places = (sample @ torch.tensor([8.0, 4.0, 2.0, 1.0], dtype=torch.float64)).long()
    frequent = torch.bincount(places, minlength=16) / len(sample)
    likely = (-machine.free_energy(VISIBLE) - log_partition(machine)).exp()
    torch.testing.assert_close(frequent.double(), likely, atol=0.006, rtol=0)


def test_gaussian_hidden_units_have_the_free_energy_of_their_integral(machine):
    """-ln of the integral over h of e^(b'v + c'h + h'Wv - h'h / 2), on a grid, one unit at a time."""
    gaussian = RBMLayer(machine.forth, machine.back, gaussian=True)
    grid = torch.linspace(-30, 30, 60_001, dtype=torch.float64)
    v = VISIBLE[11]
    s = machine.forth(v)
    step = grid[1] - grid[0]
    integrals = [torch.logsumexp(s_j * grid - grid.square() / 2, 0) + step.log() for s_j in s]
    expected = -v @ machine.back.bias - torch.stack(integrals).sum()
    torch.testing.assert_close(gaussian.free_energy(v[None])[0], expected)
    torch.testing.assert_close(gaussian.hidden(v), s)


def test_gaussian_hidden_units_are_drawn_with_variance_one(machine):
    gaussian = RBMLayer(machine.forth, machine.back, gaussian=True)
    v = VISIBLE[11].expand(100_000, V)
    chances = gaussian.chances(v, torch.Generator().manual_seed(0))
    logits = (chances / (1 - chances)).log() - machine.back.bias  # W'h
    covariance = torch.cov(logits.T)
    expected = machine.forth.weight.T @ machine.forth.weight
    torch.testing.assert_close(covariance, expected, atol=0.15, rtol=0)
    torch.testing.assert_close(logits.mean(0), machine.forth(VISIBLE[11]) @ machine.forth.weight, atol=0.05, rtol=0)


def small(**knobs):
    spec = Spec((1, 2, 2), 2)
    return registry.build("rbm", {"units": H, **knobs}, spec, torch.Generator().manual_seed(0))


def test_the_pseudo_likelihood_is_that_of_every_pixel_given_the_others(machine):
    model = small().double()
    for mine, parameter in zip(model.machine.parameters(), machine.parameters(), strict=True):
        mine.data = parameter.data
    v = VISIBLE[9]
    exact = 0.0
    for i in range(V):
        turned = v.clone()
        turned[i] = 1 - v[i]
        here, there = (-machine.free_energy(state[None]).item() for state in (v, turned))
        exact += here - math.log(math.exp(here) + math.exp(there))
    x = v.view(1, 1, 2, 2).expand(40_000, -1, -1, -1)
    found = model.pseudo_likelihood(x, torch.Generator().manual_seed(0))
    assert found.shape == (40_000,)
    assert found.mean().item() == pytest.approx(exact, abs=0.03)
    grey = model.pseudo_likelihood(0.6 * x + 0.1, torch.Generator().manual_seed(0))
    torch.testing.assert_close(grey, found, msg="x is rounded")


def test_persistent_chains_go_on_between_batches_and_rest_while_measured():
    x = torch.rand(8, 1, 2, 2)
    model = small(persistent=True, k=2)
    assert model.chain is not None
    start, generator = model.chain.clone(), torch.Generator().manual_seed(0)
    model.train()
    model.loss(Batch(x, x, torch.zeros(8)), generator)
    first = model.chain.clone()
    model.loss(Batch(x, x, torch.zeros(8)), generator)
    again = torch.Generator().manual_seed(0)
    assert torch.equal(first, model.machine.gibbs(start, 2, again))
    assert torch.equal(model.chain, model.machine.gibbs(first, 2, again)), "from where they were, not from the data"
    model.eval()
    before = model.chain.clone()
    losses = model.loss(Batch(x, x, torch.zeros(8)), generator)
    assert torch.equal(model.chain, before)
    assert set(losses.terms) == {"contrast", "reconstruction", "pseudo_likelihood"}
    assert "chain" in model.state_dict()
    assert "chain" not in small().state_dict()


def test_persistent_chains_start_at_different_images(monkeypatch):
    monkeypatch.setattr(rbm, "CHAINS", 3)
    model, x = small(persistent=True), torch.eye(8, 4).repeat_interleave(2, 0)[:8].view(8, 1, 2, 2)
    model.fit_statistics(x, torch.zeros(8))
    assert torch.equal(model.chain, x[[0, 2, 5]].flatten(1))
    starts = []
    monkeypatch.setattr(model.machine, "gibbs", lambda v, steps, generator: starts.append(v) or v)
    model.sample(6, torch.Generator().manual_seed(0))
    assert sorted(map(tuple, starts[0].tolist())) == sorted(map(tuple, model.chain.repeat(2, 1).tolist()))


def test_without_persistence_chains_start_at_the_data():
    model, x = small(k=3), torch.rand(8, 1, 2, 2)
    losses = model.loss(Batch(x, x, torch.zeros(8)), torch.Generator().manual_seed(0))
    sample = model.machine.gibbs(x.flatten(1), 3, torch.Generator().manual_seed(0))
    expected = model.machine.free_energy(x.flatten(1)).mean() - model.machine.free_energy(sample).mean()
    torch.testing.assert_close(losses.total, expected)


@pytest.mark.parametrize("persistent", [False, True])
def test_samples_are_chances_from_the_model(persistent):
    """A machine without weights has p(v) = sigmoid(b)."""
    model = small(persistent=persistent)
    with torch.no_grad():
        model.machine.forth.weight.zero_()
        model.machine.back.bias.copy_(torch.tensor([-2.0, 0.0, 1.0, 3.0]))
    found = model.sample(7, torch.Generator().manual_seed(0))
    torch.testing.assert_close(found[3].flatten(), torch.sigmoid(model.machine.back.bias.detach()))


def test_the_visible_biases_start_at_the_training_mean():
    model = small()
    model.fit_statistics(torch.tensor([[1.0, 0.0, 0.5, 0.25]]).view(1, 1, 2, 2), torch.zeros(1))
    torch.testing.assert_close(
        torch.sigmoid(model.machine.back.bias.detach()), torch.tensor([0.999, 0.001, 0.5, 0.25]), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("knobs", [{"units": 0}, {"k": 0}])
def test_a_wrong_knob_is_named(knobs):
    with pytest.raises(ValueError, match=f"{next(iter(knobs))}: 0 is wrong; allowed: 1 or more"):
        small(**knobs)
