"""The vector-quantised family: nearest codes, the copied gradient, the codebook's moving averages, by hand."""

import pytest
import torch
from torch.nn import functional as F

from aelab.models import vq_vae
from aelab.models.common import Batch, Spec, registry

TINY = Spec((1, 4, 4), 3)  # one halving: 2 x 2 vectors per image


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def build(spec=TINY, **config):
    return registry.build("vq_vae", {"channels": (6,), "depth": 3, "codebook_size": 5} | config, spec, seeded())


def loss(model, x, noisy=None):
    return model.loss(Batch(x, x if noisy is None else noisy, torch.zeros(len(x))), seeded(1))


def test_the_straight_way_is_e_forwards_and_z_backwards():
    z, e = torch.randn(4, 3, requires_grad=True), torch.randn(4, 3, requires_grad=True)
    out = vq_vae.straight_through(z, e)
    torch.testing.assert_close(out, e)
    incoming = torch.randn(4, 3)
    gradients = torch.autograd.grad(out, (z, e), incoming, allow_unused=True)
    assert torch.equal(gradients[0], incoming)
    assert gradients[1] is None


def test_the_nearest_code_is_the_one_of_the_smallest_distance():
    model = build(codebook_size=40)
    model.start(torch.randn(40, 3, generator=seeded(2)) * torch.linspace(0.1, 3, 40)[:, None])  # of unlike lengths
    vectors = torch.randn(500, 3, generator=seeded(3))
    found = model.nearest(vectors)
    assert torch.equal(found, torch.cdist(vectors, model.codebook).argmin(1))
    assert len(found.unique()) > 10


def test_the_code_and_the_indices_are_the_nearest_codes_place_by_place():
    model, x = build(), torch.rand(2, *TINY.shape, generator=seeded(4))
    model.fit_statistics(x, torch.zeros(2))
    z_e, indices = model.encoder(x), model.indices(x)
    assert indices.shape == (2, 2, 2)
    assert len(indices.unique()) == 5
    code = model.encode(x).view(2, 3, 2, 2)
    for b, i, j in torch.cartesian_prod(*[torch.arange(2)] * 3).tolist():
        nearest = (model.codebook - z_e[b, :, i, j]).square().sum(1).argmin()
        assert indices[b, i, j] == nearest
        assert torch.equal(code[b, :, i, j], model.codebook[nearest])


def test_codes_follow_the_moving_averages_of_what_they_take_and_a_dead_one_is_revived():
    model = build(depth=2, codebook_size=3, decay=0.75)
    model.start(torch.tensor([[1.0, 0.0], [0.0, 1.0], [-9.0, -9.0]]))
    model.count.copy_(torch.tensor([4.0, 2.0, 1.2]))
    model.total.copy_(model.codebook * model.count[:, None])
    vectors = torch.tensor([[2.0, 2.0], [4.0, 0.0], [0.0, 3.0], [3.0, 1.0]])
    model.follow(vectors, torch.tensor([0, 0, 1, 0]), seeded())
    # N = 3/4 N + 1/4 n: 3.75, 1.75, 0.9; m = 3/4 m + 1/4 sum: (3 + 9/4, 3/4), (0, 1.5 + 3/4); the last is dead
    torch.testing.assert_close(model.count, torch.tensor([3.75, 1.75, 1.0]))
    torch.testing.assert_close(model.total[:2], torch.tensor([[5.25, 0.75], [0.0, 2.25]]))
    torch.testing.assert_close(model.codebook[:2], torch.tensor([[5.25 / 3.75, 0.75 / 3.75], [0.0, 2.25 / 1.75]]))
    assert any(torch.equal(model.codebook[2], vector) for vector in vectors)
    assert torch.equal(model.total[2], model.codebook[2])


def test_dead_codes_are_revived_on_vectors_from_the_whole_batch():
    model = build(depth=1, codebook_size=64)
    model.start(torch.full((64, 1), -5.0))
    vectors = torch.arange(100.0)[:, None]
    model.follow(vectors, torch.zeros(100, dtype=torch.int64), seeded())
    revived = model.codebook[1:, 0]
    assert set(revived.tolist()) <= set(range(100))
    assert len(revived.unique()) > 30
    assert revived.max() > 80 > 20 > revived.min()


def test_the_codebook_moves_while_learning_alone_and_towards_the_encoder_s_vectors():
    model, x = build(decay=0.9), torch.rand(3, *TINY.shape, generator=seeded(4))
    before = model.codebook.clone()
    loss(model.eval(), x)
    with torch.no_grad():
        loss(model.train(), x)
    assert torch.equal(model.codebook, before)
    vectors = model.encoder(x).movedim(1, 3).reshape(-1, 3)
    by_hand = build(decay=0.9)
    by_hand.follow(vectors.detach(), by_hand.nearest(vectors), seeded(1))
    loss(model, x)
    torch.testing.assert_close(model.codebook, by_hand.codebook)
    assert not torch.equal(model.codebook, before)


@pytest.mark.parametrize("commitment", [0.25, 2.0])
def test_the_loss_is_the_decoded_codes_error_and_a_commitment_without_a_way_into_the_codebook(commitment):
    model, x = build(commitment=commitment).eval(), torch.rand(3, *TINY.shape, generator=seeded(4))
    model.fit_statistics(torch.rand(5, *TINY.shape, generator=seeded(5)), torch.zeros(5))
    losses = loss(model, x)
    z_e = model.encoder(x)
    e = model.encode(x).view_as(z_e).detach()
    expected = commitment * sum((z_e[b] - e[b]).square().sum() for b in range(3)) / 3
    torch.testing.assert_close(losses.terms["commitment"], expected)
    error = F.binary_cross_entropy(model.decode(e.flatten(1)), x, reduction="sum") / 3
    torch.testing.assert_close(losses.terms["reconstruction"], error)
    torch.testing.assert_close(losses.total, error + expected)
    weights = list(model.encoder.parameters())
    by_hand = torch.autograd.grad(expected, weights)
    losses.terms["commitment"].backward()
    assert model.codebook.grad is None
    for weight, gradient in zip(weights, by_hand, strict=True):
        torch.testing.assert_close(weight.grad, gradient)


def test_the_default_commitment_is_the_paper_s():
    assert vq_vae.Config(channels=(4,)).commitment == 0.25


def test_perplexity_is_the_number_of_codes_in_even_use():
    assert vq_vae.perplexity(torch.tensor([2, 2, 2]), 8).item() == pytest.approx(1)
    assert vq_vae.perplexity(torch.arange(8).repeat(3), 8).item() == pytest.approx(8)
    # shares 1/2, 1/4, 1/4: entropy 1.5 ln 2
    assert vq_vae.perplexity(torch.tensor([0, 0, 1, 5]), 8).item() == pytest.approx(2**1.5)
    model, x = build(), torch.rand(3, *TINY.shape, generator=seeded(4))
    model.fit_statistics(x, torch.zeros(3))
    expected = vq_vae.perplexity(model.indices(x).flatten(), 5)
    torch.testing.assert_close(loss(model.eval(), x).terms["perplexity"], expected)


def test_the_prior_sees_earlier_places_alone():
    prior = build().prior
    with torch.no_grad():
        one = prior(torch.tensor([[0, 1, 2]]))
        other = prior(torch.tensor([[0, 1, 4]]))
    assert one.shape == (1, 4, 5), "logits of all four places"
    torch.testing.assert_close(one[:, :3], other[:, :3])
    assert not torch.allclose(one[:, 3], other[:, 3])


def test_the_prior_is_a_distribution_over_maps_of_indices():
    prior = build(codebook_size=3).prior
    every = torch.cartesian_prod(*4 * [torch.arange(3)])
    with torch.no_grad():
        nll = prior.nll(every)
    assert nll.neg().exp().sum().item() == pytest.approx(1, rel=1e-4)
    drawn = prior.sample(20_000, seeded())
    counts = torch.bincount(drawn @ torch.tensor([27, 9, 3, 1]), minlength=81) / 20_000
    torch.testing.assert_close(counts, nll.neg().exp(), rtol=0, atol=0.02)


def test_the_prior_learns_last_and_by_itself():
    model, x = build(), torch.rand(6, *TINY.shape, generator=seeded(4))
    first, last = model.phases()
    assert not {id(each) for each in first.parameters} & {id(each) for each in last.parameters}
    assert {id(each) for each in model.parameters()} == {id(p) for phase in (first, last) for p in phase.parameters}
    indices = last.inputs(x)
    assert torch.equal(indices.long(), model.indices(x).flatten(1))
    optimizer = torch.optim.Adam(last.parameters, 0.005)
    for _ in range(200):
        optimizer.zero_grad()
        last.loss(Batch(indices, indices, torch.zeros(6)), seeded()).total.backward()
        optimizer.step()
    known = {tuple(row) for row in indices.long().tolist()}
    drawn = model.prior.sample(50, seeded()).tolist()
    assert sum(tuple(row) in known for row in drawn) > 45, "it has learned the six maps by heart"
