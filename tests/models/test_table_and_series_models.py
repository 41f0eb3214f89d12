"""Models of tables and series: what their losses count, and the families that only they have."""

import math

import numpy as np
import pytest
import torch
from torch import distributions
from torch.nn import functional as F

from aelab.data.columns import Column
from aelab.models.common import Batch, Spec, registry
from aelab.models.table_dae import TableAutoencoder

LINE = ((0.0, 0.0), (1.0, 1.0))
MIXED = (Column("n", knots=LINE), Column("c", ("a", "b")), Column("m", flag=True, knots=LINE))
TABLE = Spec((6,), 2, MIXED)
SERIES = Spec((21, 2), 2, (Column("a", knots=LINE), Column("b", knots=LINE)))
X = torch.tensor([[0.5, 1, 0, 0, 2.0, 1], [-1.0, 0, 1, 0, 0, 0], [0.2, 0, 0, 0, 1.0, 1]])  # m, then c are missing
RAW = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_error_is_squares_and_cross_entropies_of_known_cells():
    output = TABLE.output("linear", "mse", "sum")
    squares = (RAW[:, 0] - X[:, 0]).square().sum() + (RAW[[0, 2], 4] - X[[0, 2], 4]).square().sum()
    crossed = F.cross_entropy(RAW[:2, 1:4], torch.tensor([0, 1]), reduction="sum")
    torch.testing.assert_close(output.error(RAW, X), (squares + crossed) / 3)
    changed = RAW.clone()
    changed[1, 4], changed[2, 1:4], changed[:, 5] = 99.0, 99.0, 99.0  # missing cells, and a flag
    torch.testing.assert_close(output.error(changed, X), output.error(RAW, X))


def test_reconstructions_are_numbers_and_probabilities():
    found = TABLE.output("linear", "mse", "sum")(RAW)
    torch.testing.assert_close(found[:, 1:4], RAW[:, 1:4].softmax(1))
    torch.testing.assert_close(found[:, [0, 4]], RAW[:, [0, 4]])
    assert (found[:, 5] == 1).all()


def test_the_likelihood_is_gaussian_and_categorical():
    output = TABLE.likelihood()
    numbers = distributions.Normal(RAW[:, [0, 4]], 1.0).log_prob(X[:, [0, 4]])
    numbers[1, 1] = 0
    categories = RAW[:, 1:4].log_softmax(1)[[0, 1], [0, 1]]
    expected = numbers.sum(1) + torch.cat([categories, torch.zeros(1)])
    torch.testing.assert_close(output.log_probability(X, RAW), expected)
    several = torch.stack([RAW, RAW + 1])
    torch.testing.assert_close(output.log_probability(X, several)[0], expected)
    constant = -0.5 * math.log(2 * math.pi) * 5
    torch.testing.assert_close(output.error(RAW, X), -(expected.sum() - constant) / 3)


@pytest.mark.parametrize(("activation", "loss"), [("sigmoid", "bce"), ("linear", "bce"), ("tanh", "mse")])
def test_bounded_outputs_are_refused(activation, loss):
    with pytest.raises(
        ValueError, match=f"^output: {activation} with loss {loss} is wrong; allowed: linear with loss mse"
    ):
        TABLE.output(activation, loss, "sum")


FAMILIES = {
    "closed_form": {"components": 2},
    "dense": {"widths": (4,), "output": "linear", "loss": "mse"},
    "sparse": {"widths": (4,), "code_activation": "sigmoid", "penalty": "kl", "weight": 1.0, "rho": 0.1},
    "contractive": {"widths": (4,), "code_activation": "sigmoid"},
    "k_sparse": {"widths": (4,), "k": 2},
    "vae": {"hidden": (8,), "latent_dim": 2},
    "table_dae": {"widths": (8, 8), "mask_weight": 0.5},
    "conv1d": {"channels": (4, 4), "latent_dim": 3},
    "lstm": {"units": 4, "output": "linear", "loss": "mse", "predict_next": True},
}
LINEAR = {"output": "linear", "loss": "mse"}


@pytest.mark.parametrize("spec", [TABLE, SERIES], ids=["table", "series"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_takes_the_data_or_says_that_it_does_not(family, spec):
    config = FAMILIES[family] | (LINEAR if family in ("sparse", "contractive", "k_sparse") else {})
    if spec is TABLE and family in ("conv1d", "lstm"):
        with pytest.raises(ValueError, match=f"^family: {family} for a table is wrong; allowed: {family} for series"):
            registry.build(family, config, spec, generator())
        return
    model = registry.build(family, config, spec, generator())
    x = torch.randn(7, *spec.shape, generator=generator(2)) if spec is SERIES else X.repeat(3, 1)
    model.fit_statistics(x, torch.zeros(len(x)))
    assert model.reconstruct(x).shape == x.shape
    assert model.encode(x).dim() == 2
    if family != "closed_form":
        losses = model.loss(Batch(x, x, torch.zeros(len(x))), generator(3))
        losses.total.backward()
        assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("family", ["conv", "rbm", "iwae", "vq_vae", "cvae", "stacked"])
def test_families_of_images_refuse_rows(family):
    with pytest.raises((ValueError, TypeError), match=f"{family} for a table is wrong|missing"):
        registry.build(family, {}, TABLE, generator())


def test_the_code_of_a_table_dae_is_all_layers():
    model = registry.build("table_dae", {"widths": (5, 4, 3)}, TABLE, generator())
    z = model.encode(X)
    assert z.shape == (3, 12)
    first = model.encoder[0].layers[0](X)
    torch.testing.assert_close(z[:, :5], first)
    torch.testing.assert_close(model.decode(z), model.reconstruct(X))
    z[:, :9] = 0  # decoded from the last layer alone
    torch.testing.assert_close(model.decode(z), model.reconstruct(X))


def test_the_second_head_learns_which_cells_were_changed():
    model = registry.build("table_dae", {"widths": (8,), "mask_weight": 2.0}, TABLE, generator())
    assert isinstance(model, TableAutoencoder)
    noisy = X.clone()
    noisy[0, 1:4] = torch.tensor([0.0, 1, 0])
    losses = model.loss(Batch(X, noisy, torch.zeros(3)), generator())
    logits = model.mask_head(model.encode(noisy))
    target = torch.zeros(3, 3)
    target[0, 1] = 1
    expected = F.binary_cross_entropy_with_logits(logits, target, reduction="sum") / 3
    torch.testing.assert_close(losses.terms["mask"], expected)
    torch.testing.assert_close(losses.total, losses.terms["reconstruction"] + 2 * expected)


@pytest.mark.parametrize("steps", [8, 9, 21, 150])
@pytest.mark.parametrize("latent", [0, 5])
def test_conv1d_fits_any_number_of_steps(steps, latent):
    spec = Spec((steps, 2), 0, SERIES.columns)
    model = registry.build("conv1d", {"channels": (4, 6, 6), "latent_dim": latent}, spec, generator())
    x = torch.randn(3, steps, 2, generator=generator(1))
    assert model.reconstruct(x).shape == x.shape
    assert model.encode(x).shape[1] == (latent or 6 * math.ceil(steps / 8))
    with pytest.raises(ValueError, match=r"^channels: 9 downsamplings of 21 steps is wrong; allowed: at most 5"):
        registry.build("conv1d", {"channels": (2,) * 9}, SERIES, generator())


MASKED = {"embed_dim": 8, "depth": 1, "heads": 2, "decoder_embed_dim": 8, "decoder_depth": 1, "patch": 3}


def test_a_masked_autoencoder_hides_stretches_of_series():
    model = registry.build("masked_ae", MASKED, SERIES, generator())
    x = torch.randn(5, 21, 2, generator=generator(1))
    found = model.reconstruct(x)
    hidden = (found != x).any(2)
    assert (hidden.sum(1) == 18).all(), "six of seven stretches of three steps"
    assert torch.equal(hidden[:1].expand(5, -1), hidden), "the same of every series"
    assert model.encode(x).shape == (5, 8)
    losses = model.loss(Batch(x, x, torch.zeros(5)), generator(2))
    errors = model.hidden_error(x, generator(2))  # the same random stretches
    torch.testing.assert_close(losses.total, errors.mean() * 18 * 2)
    with pytest.raises(ValueError, match=r"^patch: 4 is wrong; allowed: a divisor of the series' 21 steps"):
        registry.build("masked_ae", MASKED | {"patch": 4}, SERIES, generator())


def test_an_lstm_predicts_changes_from_what_came_before():
    config = {"units": 4, "output": "linear", "loss": "mse", "predict_next": True}
    model = registry.build("lstm", config, SERIES, generator())
    x = torch.randn(5, 21, 2, generator=generator(1))
    found = model.next_steps(x)
    assert found.shape == (5, 20, 2)
    later = x.clone()
    later[:, 10:] += 1
    torch.testing.assert_close(model.next_steps(later)[:, :10], found[:, :10])  # of steps 1 to 10, from 0 to 9
    assert not torch.allclose(model.next_steps(later)[:, 10], found[:, 10])
    with torch.no_grad():
        model.change.weight.zero_()
        model.change.bias.zero_()
    torch.testing.assert_close(model.next_steps(x), x[:, :-1])  # no change: the last value again
    losses = model.loss(Batch(x, x, torch.zeros(5)), generator())
    expected = (x[:, 1:] - x[:, :-1]).square().sum() / 5
    torch.testing.assert_close(losses.terms["prediction"], expected)
    np.testing.assert_allclose(losses.total.item(), sum(term.item() for term in losses.terms.values()), rtol=1e-6)
