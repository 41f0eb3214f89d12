"""One table of checks over every entry of params.yaml: a new line there is tested with no new test."""

import copy
import dataclasses
from functools import partial

import pytest
import torch
from entries import ENTRIES, FAMILIES, in_epochs, name_of

from aelab.config import params, seeding
from aelab.data.corruption import Noises
from aelab.data.tensors import Data, Tensors
from aelab.evaluation import arrays
from aelab.evaluation.settings import Evaluate
from aelab.models.common import Autoencoder, Batch, Generative, Likelihood, Spec, registry
from aelab.training import losses, weight_files
from aelab.training.loop import fit

SPEC = Spec((1, 28, 28), 10)
IMAGES = 128
every_entry = pytest.mark.parametrize("entry", ENTRIES, ids=name_of, indirect=True)
every_family = pytest.mark.parametrize("entry", FAMILIES, ids=name_of, indirect=True)


@pytest.fixture
def entry(request):
    """The entry and its learning settings, as its stage sees them."""
    group, section, name = request.param
    block, item = params.load(section, f"{group}.{name}")
    return item, params.merge(section, block, item)


@pytest.fixture
def x(digits):
    return digits[0][:IMAGES].clone()


@pytest.fixture
def batch(digits):
    x, y = digits[0][:64], digits[1][:64]
    return Batch(x, x, y)


def build(item, seed=0) -> Autoencoder:
    return registry.build(item.family, item.config, SPEC, torch.Generator().manual_seed(seed))


def learned(item, settings, digits, steps=None, precision="float32") -> Autoencoder:
    model = build(item)
    train = Tensors(digits[0][:IMAGES], digits[1][:IMAGES])
    if steps:
        settings = dataclasses.replace(settings, batch_size=min(settings.batch_size, IMAGES), **in_epochs(steps))
    fit(model, train, train, settings, partial(seeding.generator, 0), Silent(), precision=precision)
    return model


class Silent:
    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...


@every_entry
def test_codes_and_reconstructions_have_the_declared_shapes_and_range(entry, x, digits):
    model, y = build(entry[0]).eval(), digits[1][: len(x)]
    model.fit_statistics(digits[0][:500], digits[1][:500])
    before = x.clone()
    with torch.no_grad():
        z = model.encode(x, y)
        x_hat = model.reconstruct(x, y)
        alone = model.encode(x[:1], y[:1])
        if model.decodes:
            torch.testing.assert_close(model.decode(z, y), x_hat, rtol=0, atol=0)
        else:
            with pytest.raises(NotImplementedError):
                model.decode(z, y)
    assert z.dim() == 2
    assert len(z) == len(x)
    assert x_hat.shape == x.shape
    assert z.isfinite().all()
    assert x_hat.isfinite().all()
    if model.bounded:
        assert x_hat.min() >= 0
        assert x_hat.max() <= 1
    torch.testing.assert_close(alone, z[:1], rtol=1e-4, atol=1e-5)
    assert torch.equal(x, before), "the input was changed in place"


@every_family
def test_gradients_reach_every_parameter_and_leave_the_batch_alone(entry, batch):
    model = build(entry[0])
    reached: set[str] = set()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    for phase in model.phases():
        model.zero_grad()
        with torch.no_grad():
            inner = phase.inputs(batch.clean) if phase.inputs else batch.clean
        before = inner.clone()
        losses = phase.loss(Batch(inner, inner, batch.label), torch.Generator().manual_seed(0))
        losses.total.backward()
        assert torch.equal(inner, before)
        assert phase.monitor == "total" or phase.monitor in losses.terms
        for parameter in phase.parameters:
            assert parameter.grad is not None, names[id(parameter)]
            assert parameter.grad.isfinite().all()
            if parameter.grad.abs().sum() > 0:
                reached.add(names[id(parameter)])
    wanted = set(names.values()) if model.phases() else set()
    assert wanted <= reached


@every_family
def test_thirty_steps_lower_the_loss_of_every_phase(entry, digits):
    item, settings = entry
    settings = dataclasses.replace(settings, batch_size=IMAGES, **in_epochs(30), noise=(), augment=())
    fresh, model = build(item), learned(item, settings, digits)
    data = Tensors(digits[0][:IMAGES], digits[1][:IMAGES])
    for before, after in zip(fresh.phases(), model.phases(), strict=True):
        with torch.no_grad():
            inner = data.x if after.inputs is None else after.inputs(data.x)
        on = Tensors(inner, data.y)
        # both on what the trained lower layers feed, so that only this phase's own learning counts
        was = losses.over(before.loss, on, Noises(), torch.Generator().manual_seed(0))[before.monitor]
        now = losses.over(after.loss, on, Noises(), torch.Generator().manual_seed(0))[after.monitor]
        assert now < was


@every_family
def test_same_seed_gives_the_same_weights_and_another_seed_others(entry, digits):
    item, settings = entry
    one, two = (learned(item, settings, digits, steps=1).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], two[name]) for name in one)
    drawn = [name for name, tensor in build(item).state_dict().items() if tensor.dim() > 1 and tensor.any()]
    if drawn:
        assert not torch.equal(build(item, 0).state_dict()[drawn[0]], build(item, 1).state_dict()[drawn[0]])


@every_family
def test_steps_in_bf16_go_about_as_those_in_float32(entry, digits, as_on_a_gpu):
    item, settings = entry
    settings = dataclasses.replace(settings, batch_size=IMAGES, lr=1e-3)  # short steps: a machine's noise adds up
    start, one, two = build(item), *(learned(item, settings, digits, 2, each) for each in ("float32", "bf16"))
    if not start.phases():
        return
    start.fit_statistics(digits[0][:IMAGES], digits[1][:IMAGES])
    way, other = (_flat(each) - _flat(start) for each in (one, two))
    assert not torch.equal(way, other)
    # a machine's gradient is a small difference of two large ones
    assert torch.cosine_similarity(way, other, dim=0) > (0.7 if item.family == "rbm" else 0.95)
    assert {each.dtype for each in two.parameters()} == {torch.float32}


def _flat(model) -> torch.Tensor:
    return torch.cat([each.detach().flatten() for each in model.parameters()])


@every_family
def test_a_saved_model_loads_and_gives_the_same_output(entry, digits, x, tmp_path):
    item, settings = entry
    model = learned(item, settings, digits, steps=1).eval()
    weight_files.save_weights(tmp_path / "w.safetensors", model.state_dict())
    again = build(item, seed=9).eval()
    again.load_state_dict(weight_files.load_weights(tmp_path / "w.safetensors"))
    y = digits[1][: len(x)]
    for other in (again, copy.deepcopy(model)):
        with torch.no_grad():
            assert torch.equal(model.reconstruct(x, y), other.reconstruct(x, y))


@every_family
def test_generative_models_sample_images_and_likelihoods_are_finite(entry, digits, x):
    item, settings = entry
    model = learned(item, settings, digits, steps=1).eval()
    if isinstance(model, Generative):
        images = model.sample(5, torch.Generator().manual_seed(0))
        assert images.shape == (5, *SPEC.shape)
        assert images.isfinite().all()
        assert not torch.equal(images, model.sample(5, torch.Generator().manual_seed(1))) or item.name == "mean"
    if isinstance(model, Likelihood):
        rate, distortion = model.rate_distortion(x, torch.Generator().manual_seed(0))
        assert rate.shape == distortion.shape == (len(x),)
        assert rate.min() >= 0
        assert distortion.min() >= 0


@every_family
def test_evaluation_can_draw_its_pictures(entry, digits):
    split = Tensors(digits[0][:40], digits[1][:40])
    data = Data(split, split, split, {"masking-0.5": (split.x * 255).to(torch.uint8)}, split, split, split)
    model = build(entry[0]).eval()
    drawn = arrays.of(model, data, Evaluate(2, 8, 10, 7, 4, 9, ()), lambda use: torch.Generator().manual_seed(0))
    assert drawn["reconstructions"].shape == drawn["denoised/masking-0.5"].shape == (10, 28, 28)
    assert ("interpolation" in drawn) == ("random_codes" in drawn) == model.decodes
    assert ("samples" in drawn) == isinstance(model, Generative)
