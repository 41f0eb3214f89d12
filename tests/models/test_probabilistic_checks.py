"""The checks of test_all.py on small nets of the probabilistic families, with labels for the one that is told them."""

import copy
from functools import partial

import pytest
import torch

from aelab import checkpoints, models, runtime
from aelab.data.tensors import Tensors
from aelab.learning.loop import fit, mean_losses
from aelab.learning.settings import Training
from aelab.models.base import Batch, Generative, Likelihood, Spec

SPEC = Spec((1, 28, 28), 10)
SMALL = {
    "vae_burda": ("importance", {"hidden": (32, 16), "latent": 4}),
    "iwae_burda": ("importance", {"hidden": (32, 16), "latent": 4, "draws": 3}),
    "cvae": ("conditional", {"hidden": (32, 16), "latent": 4}),
    "conv_vae": ("convolutional_variational", {"channels": (4, 6), "latent": 3}),
    "vq_vae": ("vector_quantised", {"channels": (4, 6), "depth": 4, "codes": 16}),
    "categorical": ("categorical", {"hidden": (32,)}),
    "categorical_4x5": ("categorical", {"hidden": (32,), "variables": 4, "categories": 5}),
    "stochastic": ("stochastic", {"units": 16}),
}
NOT_LIKELIHOODS = ("cvae", "vq_vae", "stochastic")

pytestmark = pytest.mark.parametrize("entry", SMALL)


class Silent:
    def steps(self, phase, total): ...
    def step(self): ...
    def epoch(self, epoch, model): ...


def build(entry, seed=0):
    family, config = SMALL[entry]
    return models.build(family, config, SPEC, torch.Generator().manual_seed(seed))


def learned(entry, data, epochs, batch=64):
    model = build(entry)
    settings = Training("adam", 1e-3, "constant", 0.0, batch, epochs, {}, {}, None, 1, (), ())
    fit(model, data, data, settings, partial(runtime.generator, 0), Silent())
    return model


@pytest.fixture
def data(digits):
    return Tensors(digits[0][:256].clone(), digits[1][:256])


def test_codes_and_reconstructions_have_the_declared_shapes_and_range(entry, data):
    model = build(entry)
    model.observe(*data)
    before = data.x.clone()
    with torch.no_grad():
        z = model.encode(*data)
        x_hat = model.decode(z, data.y)
        alone = model.encode(data.x[:1], data.y[:1])
        assert torch.equal(model.reconstruct(*data), x_hat)
    assert z.shape[0] == 256
    assert z.dim() == 2
    assert x_hat.shape == data.x.shape
    assert z.isfinite().all()
    assert model.bounded
    assert x_hat.min() >= 0
    assert x_hat.max() <= 1
    torch.testing.assert_close(alone, z[:1], rtol=1e-4, atol=1e-5)
    assert torch.equal(data.x, before), "the input was changed in place"


def test_gradients_reach_every_parameter_and_leave_the_batch_alone(entry, data):
    model = build(entry)
    (phase,) = model.phases()
    before = data.x.clone()
    losses = phase.loss(Batch(data.x, data.x, data.y), torch.Generator().manual_seed(0))
    losses.total.backward()
    assert torch.equal(data.x, before)
    assert phase.monitor == "total" or phase.monitor in losses.terms
    assert {id(p) for p in phase.parameters} == {id(p) for p in model.parameters()}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_thirty_steps_lower_the_loss(entry, data):
    was, now = (
        mean_losses(phase.loss, data, [], torch.Generator().manual_seed(0))[phase.monitor]
        for phase in (build(entry).phases()[0], learned(entry, data, 30, batch=256).phases()[0])
    )
    assert now < was


def test_the_loss_without_learning_changes_nothing_and_repeats(entry, data):
    model = learned(entry, data, 1)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    one, two = (mean_losses(model.loss, data, [], torch.Generator().manual_seed(0)) for _ in range(2))
    model.train()
    assert mean_losses(model.loss, data, [], torch.Generator().manual_seed(0)) == one == two
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())


def test_same_seed_gives_the_same_weights_and_another_seed_others(entry, data):
    one, two = (learned(entry, data, 1).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    one, two = (build(entry, seed).state_dict() for seed in (0, 1))
    drawn = [name for name, tensor in one.items() if tensor.dim() > 1 and tensor.any()]
    assert not any(torch.equal(one[name], two[name]) for name in drawn)


def test_a_saved_model_loads_and_gives_the_same_output(entry, data, tmp_path):
    model = learned(entry, data, 1).eval()
    checkpoints.save_weights(tmp_path / "w.safetensors", model.state_dict())
    again = build(entry, seed=9).eval()
    again.load_state_dict(checkpoints.load_weights(tmp_path / "w.safetensors"))
    for other in (again, copy.deepcopy(model)):
        with torch.no_grad():
            assert torch.equal(model.reconstruct(*data), other.reconstruct(*data))


def test_models_sample_and_bound_their_likelihood_as_they_say(entry, data):
    model = learned(entry, data, 3).eval()
    assert isinstance(model, Generative) == (entry != "stochastic")
    assert isinstance(model, Likelihood) == (entry not in NOT_LIKELIHOODS)
    with torch.no_grad():
        if isinstance(model, Generative):
            images = model.sample(5, torch.Generator().manual_seed(0))
            assert images.shape == (5, *SPEC.shape)
            assert images.isfinite().all()
            assert torch.equal(images, model.sample(5, torch.Generator().manual_seed(0)))
            assert not torch.equal(images, model.sample(5, torch.Generator().manual_seed(1)))
        if isinstance(model, Likelihood):
            rate, distortion = model.rate_distortion(data.x, torch.Generator().manual_seed(0))
            assert rate.shape == distortion.shape == (256,)
            assert rate.min() >= 0
            assert distortion.min() >= 0


def test_a_wrong_knob_is_named_with_its_value(entry):
    family, config = SMALL[entry]
    for key, value in config.items():
        wrong = (0,) if isinstance(value, tuple) else 0
        with pytest.raises(ValueError, match=f"^{key}: "):
            models.build(family, config | {key: wrong}, SPEC, torch.Generator())
