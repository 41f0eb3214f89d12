"""Content and style: the gradient's sign, what each half is asked for, and what a swap puts together."""

import copy
from functools import partial

import pytest
import torch
from torch.nn import functional as F

from aelab import checkpoints, models, runtime
from aelab.data.tensors import Data, Tensors
from aelab.learning.loop import fit, mean_losses
from aelab.learning.settings import Training
from aelab.metrics import evaluation
from aelab.metrics.settings import Evaluate
from aelab.models import split
from aelab.models.base import Batch, Spec

SPEC = Spec((1, 28, 28), 10)
CONFIGS = {
    "split": {"hidden": (64,), "content": 6, "style": 5, "classify": 20.0, "blind": 20.0, "adversary": 16},
}


class Silent:
    def steps(self, phase, total): ...
    def step(self): ...
    def epoch(self, epoch, model): ...


def build(config, seed=0):
    return models.build("split", config, SPEC, torch.Generator().manual_seed(seed))


def learned(config, data, steps):
    model = build(config)
    settings = Training("adam", 2e-3, "constant", 0.0, len(data.x), steps, {}, {}, None, 1, (), ())
    fit(model, data, data, settings, partial(runtime.generator, 0), Silent())
    return model


def test_reversal_is_the_identity_forwards_and_minus_one_backwards():
    z = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    w = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(split.reverse(z), z)
    (straight,) = torch.autograd.grad((w * z.square()).sum(), z)
    (reversed_,) = torch.autograd.grad((w * split.reverse(z).square()).sum(), z)
    assert torch.equal(reversed_, -straight)
    (twice,) = torch.autograd.grad((w * split.reverse(split.reverse(z)).square()).sum(), z)
    assert torch.equal(twice, straight)


def test_the_adversary_descends_and_the_style_encoder_ascends_the_same_cross_entropy(digits):
    x, y = digits[0][:32], digits[1][:32]
    model = build(CONFIGS["split"])
    entropy = F.cross_entropy(model.adversary(model.style(x)), y)
    entropy.backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    total = model.loss(Batch(x, x, y), torch.Generator()).total
    without = build({**CONFIGS["split"], "blind": 0.0})
    (total - without.loss(Batch(x, x, y), torch.Generator()).total.detach()).backward()
    without.loss(Batch(x, x, y), torch.Generator()).total.backward()
    rest = dict(without.named_parameters())
    for name, parameter in model.named_parameters():
        if name not in plain:
            continue
        assert parameter.grad is not None
        sign = 1 if name.startswith("adversary") else -1
        other = rest[name].grad
        assert other is not None
        torch.testing.assert_close(parameter.grad - other, sign * 20 * plain[name], rtol=1e-3, atol=1e-4)


def test_the_content_s_and_the_style_s_encoders_do_not_share_anything(digits):
    x, y = digits[0][:8], digits[1][:8]
    model = build(CONFIGS["split"])
    both = model.encoder[0]
    F.cross_entropy(model.head(model.content(x)), y).backward()
    assert all(p.grad is None or p.grad.abs().max() == 0 for p in both.style.parameters())
    assert all(p.grad.abs().sum() > 0 for p in both.content.parameters())


def test_the_terms_by_hand(digits):
    x, y = digits[0][:16], digits[1][:16]
    model = build(CONFIGS["split"])
    losses = model.loss(Batch(x, x, y), torch.Generator())
    rebuilt = F.binary_cross_entropy(model.reconstruct(x), x, reduction="sum") / 16
    content = F.cross_entropy(model.head(model.content(x)), y)
    adversary = F.cross_entropy(model.adversary(model.style(x)), y)
    torch.testing.assert_close(losses.total, rebuilt + 20 * content + 20 * adversary)
    leak = (torch.tensor(10.0).log() - adversary).clamp_min(0)
    torch.testing.assert_close(losses.terms["judged"], rebuilt + 20 * content + 20 * leak)


def test_an_adversary_at_chance_finds_nothing_and_one_worse_than_chance_counts_as_that(digits):
    x, y = digits[0][:50], digits[1][:50]
    model = build(CONFIGS["split"])
    last = model.adversary[-1]
    for bias in (torch.zeros(10), 30 * F.one_hot((y[:1] + 1) % 10, 10)[0].float()):
        with torch.no_grad():
            last.weight.zero_()
            last.bias.copy_(bias)
        losses = model.loss(Batch(x, x, y), torch.Generator())
        wanted = losses.terms["reconstruction"] + 20 * losses.terms["content"]
        torch.testing.assert_close(losses.terms["judged"], wanted)


def test_a_swap_takes_content_from_the_one_and_style_from_the_other(digits):
    a, b = digits[0][:4], digits[0][4:8]
    model = build(CONFIGS["split"])
    assert model.encode(a).shape == (4, 11)
    torch.testing.assert_close(model.encode(a), torch.cat([model.content(a), model.style(a)], 1))
    torch.testing.assert_close(model.swap(a, a), model.reconstruct(a))
    torch.testing.assert_close(model.swap(a, b), model.decode(torch.cat([model.content(a), model.style(b)], 1)))
    assert not torch.allclose(model.swap(a, b), model.swap(b, a))
    assert model.saw_labels


def test_bad_knobs_are_named():
    for key, value in (("hidden", ()), ("content", 0), ("style", 0), ("adversary", 0), ("classify", -1), ("blind", -1)):
        with pytest.raises(ValueError, match=f"^{key}: "):
            build({**CONFIGS["split"], key: value})


# the checks of test_all.py


@pytest.fixture(params=CONFIGS, ids=list(CONFIGS))
def config(request):
    return CONFIGS[request.param]


def test_shapes_range_and_independence_of_the_batch(config, digits):
    x = digits[0][:32]
    model, before = build(config).eval(), x.clone()
    with torch.no_grad():
        z, x_hat = model.encode(x, digits[1][:32]), model.reconstruct(x, digits[1][:32])
        torch.testing.assert_close(model.encode(x[:1]), z[:1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.reconstruct(x[:1]), x_hat[:1], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(model.decode(z), x_hat, rtol=0, atol=0)
    assert z.dim() == 2
    assert z.dtype == x_hat.dtype == torch.float32
    assert len(z) == len(x)
    assert x_hat.shape == x.shape
    assert z.isfinite().all()
    assert x_hat.isfinite().all()
    assert not model.bounded or (x_hat.min() >= 0 and x_hat.max() <= 1)
    assert torch.equal(x, before), "the input was changed in place"


def test_gradients_reach_every_parameter(config, digits):
    model = build(config)
    (phase,) = model.phases()
    assert {id(p) for p in phase.parameters} == {id(p) for p in model.parameters()}
    losses = phase.loss(Batch(digits[0][:64], digits[0][:64], digits[1][:64]), torch.Generator().manual_seed(0))
    losses.total.backward()
    assert phase.monitor == "total" or phase.monitor in losses.terms
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def test_thirty_steps_lower_the_loss(config, digits):
    data = Tensors(digits[0][:128], digits[1][:128])
    fresh, model = build(config), learned(config, data, 30)
    monitor = model.phases()[0].monitor
    was, now = (mean_losses(m.loss, data, [], torch.Generator().manual_seed(0))[monitor] for m in (fresh, model))
    assert now < was


def test_same_seed_same_weights_and_a_saved_model_gives_the_same_output(config, digits, tmp_path):
    data = Tensors(digits[0][:64], digits[1][:64])
    model, twin = learned(config, data, 1).eval(), learned(config, data, 1)
    for name, tensor in twin.state_dict().items():
        assert torch.equal(tensor, model.state_dict()[name]), name
    drawn = [name for name, tensor in build(config).state_dict().items() if tensor.dim() > 1]
    assert drawn
    assert not any(torch.equal(build(config, 0).state_dict()[n], build(config, 1).state_dict()[n]) for n in drawn)
    checkpoints.save_weights(tmp_path / "w.safetensors", model.state_dict())
    again = build(config, seed=9).eval()
    again.load_state_dict(checkpoints.load_weights(tmp_path / "w.safetensors"))
    with torch.no_grad():
        for other in (again, copy.deepcopy(model)):
            assert torch.equal(model.encode(data.x), other.encode(data.x))
            assert torch.equal(model.reconstruct(data.x), other.reconstruct(data.x))


def test_evaluation_can_draw_its_pictures(config, digits):
    split = Tensors(digits[0][:32], digits[1][:32])
    data = Data(split, split, split, {"masking-0.5": (split.x * 255).to(torch.uint8)})
    settings = Evaluate(neighbours=5, digits=4, samples=3, steps=3, units=100)
    drawn = evaluation.arrays(build(config).eval(), data, settings, lambda use: torch.Generator().manual_seed(0))
    assert drawn["reconstructions"].shape == (4, 28, 28)
