"""Content and style: the gradient's sign, what each half is asked for, and what a swap puts together."""

from functools import partial

import pytest
import torch
from torch.nn import functional as F

from aelab.config import seeding
from aelab.data.tensors import Tensors
from aelab.models import content_style
from aelab.models.common import Batch, Spec, registry
from aelab.training.loop import fit
from aelab.training.settings import Training

SPEC = Spec((1, 28, 28), 10)
CONFIGS = {
    "split": {
        "hidden": (64,),
        "content": 6,
        "style": 5,
        "class_weight": 20.0,
        "adversarial_weight": 20.0,
        "variance_weight": 30.0,
        "adversary": 16,
    },
}


class Silent:
    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...


def build(config, seed=0):
    return registry.build("content_style", config, SPEC, torch.Generator().manual_seed(seed))


def learned(config, data, steps):
    model = build(config)
    settings = Training("adam", 2e-3, "constant", 0.0, len(data.x), steps, None, None, None, 1, (), (), ())
    fit(model, data, data, settings, partial(seeding.generator, 0), Silent())
    return model


def test_reversal_is_the_identity_forwards_and_minus_one_backwards():
    z = torch.randn(5, 3, dtype=torch.float64, requires_grad=True)
    w = torch.randn(5, 3, dtype=torch.float64)
    assert torch.equal(content_style.reverse(z), z)
    (straight,) = torch.autograd.grad((w * z.square()).sum(), z)
    (reversed_,) = torch.autograd.grad((w * content_style.reverse(z).square()).sum(), z)
    assert torch.equal(reversed_, -straight)
    (twice,) = torch.autograd.grad((w * content_style.reverse(content_style.reverse(z)).square()).sum(), z)
    assert torch.equal(twice, straight)


def test_the_adversary_descends_and_the_style_encoder_ascends_the_same_cross_entropy(digits):
    x, y = digits[0][:32], digits[1][:32]
    model = build(CONFIGS["split"])
    entropy = F.cross_entropy(model.adversary(model.style(x)), y)
    entropy.backward()
    plain = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    total = model.loss(Batch(x, x, y), torch.Generator()).total
    without = build({**CONFIGS["split"], "adversarial_weight": 0.0})
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
    between = content_style.between_classes(model.style(x), y, 10)
    torch.testing.assert_close(losses.total, rebuilt + 20 * content + 30 * between + 20 * adversary)
    leak = (torch.tensor(10.0).log() - adversary).clamp_min(0)
    torch.testing.assert_close(losses.terms["criterion"], rebuilt + 20 * content + 30 * between + 20 * leak)


def test_variance_between_classes_by_hand():
    y = torch.arange(600) % 3
    means = torch.tensor([[0.0, 1.0], [2.0, 1.0], [4.0, 1.0]])
    noise = torch.randn(600, 2, generator=torch.Generator().manual_seed(0))
    z = means[y] + noise
    expected = torch.tensor([(8 / 3) / (8 / 3 + 1), 0.0]).sum()  # the means' variance is 8/3, the noise's 1
    torch.testing.assert_close(content_style.between_classes(z, y, 5), expected, rtol=0, atol=0.03)
    by_chance = [content_style.between_classes(noise[n : n + 30], y[:30], 3).item() for n in range(0, 570, 30)]
    assert sum(by_chance) / len(by_chance) < 0.1  # uncorrected: 2 numbers x 2 / 30
    assert content_style.between_classes(torch.ones(6, 2), y[:6], 3) == 0
    assert content_style.between_classes(F.one_hot(y, 3).float(), y, 3).item() == pytest.approx(3, abs=0.05)


def test_a_linear_probe_finds_less_of_the_class_in_the_style_than_in_the_content(digits):
    data = Tensors(digits[0][:1000], digits[1][:1000])
    model = learned({**CONFIGS["split"], "variance_weight": 100.0}, data, 60).eval()
    with torch.no_grad():
        codes = model.parts(model.encode(data.x))
    found = []
    for code in codes:
        solution = torch.linalg.lstsq(F.pad(code, (0, 1), value=1.0), F.one_hot(data.y, 10).float()).solution
        found.append((F.pad(code, (0, 1), value=1.0) @ solution).argmax(1).eq(data.y).float().mean().item())
    content, style = found
    assert content > 0.75
    assert style < 0.35


def test_an_adversary_at_chance_finds_nothing_and_one_worse_than_chance_counts_as_that(digits):
    x, y = digits[0][:50], digits[1][:50]
    model = build(CONFIGS["split"])
    last = model.adversary[-1]
    for bias in (torch.zeros(10), 30 * F.one_hot((y[:1] + 1) % 10, 10)[0].float()):
        with torch.no_grad():
            last.weight.zero_()
            last.bias.copy_(bias)
        losses = model.loss(Batch(x, x, y), torch.Generator())
        wanted = losses.terms["reconstruction"] + 20 * losses.terms["content"] + 30 * losses.terms["between"]
        torch.testing.assert_close(losses.terms["criterion"], wanted)


def test_a_swap_takes_content_from_the_one_and_style_from_the_other(digits):
    a, b = digits[0][:4], digits[0][4:8]
    model = build(CONFIGS["split"])
    assert model.encode(a).shape == (4, 11)
    torch.testing.assert_close(model.encode(a), torch.cat([model.content(a), model.style(a)], 1))
    torch.testing.assert_close(model.swap(a, a), model.reconstruct(a))
    torch.testing.assert_close(model.swap(a, b), model.decode(torch.cat([model.content(a), model.style(b)], 1)))
    assert not torch.allclose(model.swap(a, b), model.swap(b, a))
    assert model.uses_labels


def test_bad_knobs_are_named():
    for key, value in (
        ("hidden", ()),
        ("content", 0),
        ("style", 0),
        ("adversary", 0),
        ("class_weight", -1),
        ("adversarial_weight", -1),
        ("variance_weight", -1),
    ):
        with pytest.raises(ValueError, match=f"^{key}: "):
            build({**CONFIGS["split"], key: value})


def test_a_batch_of_one_image_is_trained_from_too(digits):
    x, y = digits[0][:5], digits[1][:5]
    model = build(CONFIGS["split"])
    settings = Training("adam", 2e-3, "constant", 0.0, 4, 1, None, None, None, 1, (), (), ())
    fit(model, Tensors(x, y), Tensors(x, y), settings, partial(seeding.generator, 0), Silent())
    model.eval()
    alone = model.style(x[:1])
    assert torch.isfinite(alone).all()
    assert torch.equal(model.train().style(x[:1]), alone)
