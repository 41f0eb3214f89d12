"""Options of nets: initial weights, batch normalisation, standardised pixels."""

import math

import pytest
import torch
from torch import nn

from aelab.config import params
from aelab.models.common import Spec, registry
from aelab.models.common.layers import BatchNorm
from aelab.models.common.output import Output
from aelab.training import optimizers
from aelab.training.settings import Training

SPEC = Spec((1, 28, 28), 10)
LAYERS = {"encoder": ("conv 4 k3 s2", "conv 2 k3 s2 relu"), "decoder": ("convt 4 k3 s2 relu", "convt 1 k4 s2")}


def built(family, seed=0, **config):
    return registry.build(family, config, SPEC, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("family", "config"),
    [
        ("dense", {"widths": (9, 2)}),
        ("conv", LAYERS),
        ("vae", {"hidden": (9,), "latent_dim": 2}),
        ("sparse", {"widths": (9,)}),
    ],
)
def test_torch_s_own_initial_weights(family, config):
    """As those of a fresh layer: the same bounds and variance, biases too; drawn from the generator alone."""
    if family == "sparse":
        config = config | {"code_activation": "sigmoid"}
    model, again = (built(family, init="torch", **config) for _ in range(2))
    for module, twin in zip(model.modules(), again.modules(), strict=True):
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            assert module.weight.equal(twin.weight)
            inputs = nn.init._calculate_fan_in_and_fan_out(module.weight)[0]
            assert module.weight.abs().max() <= 1 / math.sqrt(inputs)
            assert module.bias.abs().max() <= 1 / math.sqrt(inputs)
            assert module.bias.abs().max() > 0
            if module.weight.numel() > 500:
                assert module.weight.std().item() == pytest.approx(1 / math.sqrt(3 * inputs), rel=0.1)
    assert not all(bias.any() for bias in built(family, **config).parameters() if bias.dim() == 1)


def test_batch_normalisation_is_torch_s_and_takes_a_batch_of_one():
    ours, theirs = BatchNorm(3), nn.BatchNorm1d(3)
    x = torch.randn(8, 3, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(ours(x), theirs(x))
    torch.testing.assert_close(ours.running_var, theirs.running_var)
    before = ours.running_mean.clone()
    assert ours(x[:1]).isfinite().all()
    assert ours.running_mean.equal(before)
    torch.testing.assert_close(ours.eval()(x), theirs.eval()(x))


@pytest.mark.parametrize(
    ("family", "config"), [("dense", {"widths": (12, 8, 3)}), ("vae", {"hidden": (12, 8), "latent_dim": 3})]
)
def test_hidden_layers_are_normalised_and_counted_once(family, config):
    model = built(family, activation="leaky_relu", batch_norm=True, **config)
    for part in (model.encoder, model.decoder):
        assert sum(isinstance(module, BatchNorm) for module in part.modules()) == 2
    assert [layer.shape[1] for layer in model.hidden(torch.rand(4, 1, 28, 28))] == [12, 8, 3]
    assert model.vmap_unsupported_reason


def test_standardised_pixels():
    output = Output("linear", "mse", "sum", (0.1307, 0.3081))
    x = torch.rand(2, 1, 28, 28)
    raw = (x - 0.1307) / 0.3081
    torch.testing.assert_close(output.scale(x), raw)
    torch.testing.assert_close(output(raw), x)
    assert output.error(raw, x).item() == pytest.approx(0, abs=1e-6)
    assert output.error(raw + 1, x).item() == pytest.approx(784, rel=1e-5)
    assert not output.bounded


def test_tanh_on_pixels_as_they_are():
    output = Output("tanh", "mse", "sum", (0.0, 1.0))
    x, raw = torch.rand(2, 3), torch.randn(2, 3)
    torch.testing.assert_close(output(raw), raw.tanh())
    torch.testing.assert_close(output.error(raw, x), (raw.tanh() - x).square().sum() / 2)


@pytest.mark.parametrize(
    ("words", "config"),
    [
        ("standard: .* with loss bce", {"standard": (0.0, 1.0)}),
        ("standard: .*; allowed: a mean, and a deviation above 0", {"standard": (0.0, 0.0), "loss": "mse"}),
    ],
)
def test_what_cannot_be_standardised(words, config):
    with pytest.raises(ValueError, match=words):
        built("dense", widths=(2,), **config)


SETTINGS = Training("sgd", 0.1, "rising_momentum", 0.0, 10, None, 40, None, None, 1, (), (), ())


def test_momentum_rises_after_a_tenth_of_the_steps():
    weight = nn.Parameter(torch.zeros(1))
    optimizer, schedule = optimizers.build([weight], SETTINGS, 40, rate=0.5)
    seen = []
    for _ in range(40):
        seen.append(optimizer.param_groups[0]["momentum"])
        assert optimizer.param_groups[0]["lr"] == 0.05
        weight.grad = torch.ones(1)
        optimizer.step()
        schedule.step()
    assert seen == [0.5] * 4 + [0.9] * 36


def test_the_code_layer_of_a_stack_has_a_rate_of_its_own():
    config = {"widths": (6, 4, 2), "layer": "rbm", "code_activation": "linear"}
    assert [phase.rate for phase in built("stacked", **config, code_rate=0.01).phases()] == [1, 1, 0.01]
    assert [phase.rate for phase in built("stacked", **config).phases()] == [1, 1, 1]
    with pytest.raises(ValueError, match="code_rate: 0 is wrong; allowed: above 0"):
        params.family_config("stacked")(**config, code_rate=0)
