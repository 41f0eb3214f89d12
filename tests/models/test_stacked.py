"""Stacks: how each kind of layer learns, which weights move when, budgets of labels, unrolling."""

import copy
import dataclasses
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aelab.config import seeding
from aelab.data.tensors import Data, Tensors, balanced
from aelab.models import stacked, stacked_conv
from aelab.models.common import Autoencoder, Batch, RBMLayer, Spec, registry
from aelab.training.classifier import Classifier, predictions
from aelab.training.loop import fit
from aelab.training.settings import Finetune, Training

SPEC = Spec((1, 28, 28), 10)
SETTINGS = Training("adam", 1e-3, "constant", 0.0, 50, 1, None, None, None, 1, (), (), ())
KINDS = [
    {"layer": "autoencoder"},
    {"layer": "rbm"},
    {"layer": "contractive", "weight": 0.1},
    {"layer": "sparse", "weight": 0.1},
]


def build(family="stacked", spec=SPEC, **knobs):
    return registry.build(family, knobs, spec, torch.Generator().manual_seed(0))


class Heard:
    """A watch that keeps the weights after every epoch, by phase."""

    def __init__(self):
        self.weights: dict[str, dict] = {}

    def steps(self, phase, total): ...
    def step(self): ...

    def evaluated(self, evaluation, model):
        self.weights[evaluation.phase] = copy.deepcopy(model.state_dict())


def moves(model, x, settings=SETTINGS) -> dict[str, set[str]]:
    """Which weights each phase moves."""
    heard, before = Heard(), copy.deepcopy(model.state_dict())
    fit(model, x, x, settings, partial(seeding.generator, 0), heard)
    moved = {}
    for phase, after in heard.weights.items():
        moved[phase] = {name for name in before if not torch.equal(before[name], after[name])}
        before = after
    return moved


def random_images(spec, n=100):
    generator = torch.Generator().manual_seed(0)
    return Tensors(torch.rand(n, *spec.shape, generator=generator), torch.arange(n) % spec.classes)


@pytest.mark.parametrize("kind", KINDS, ids=[kind["layer"] for kind in KINDS])
def test_the_booklet_s_example_has_its_sizes_and_each_phase_moves_one_layer(kind):
    """100-216-288-120-5 (Dezeming 2021, section 1.2): three layers, then five classes."""
    spec = Spec((1, 10, 10), 5)
    model, x = build(spec=spec, widths=(216, 288, 120), **kind), random_images(spec)
    weights = [tuple(layer.weight.shape) for layer in model.encoder.modules() if isinstance(layer, nn.Linear)]
    assert weights == [(216, 100), (288, 216), (120, 288)]
    inputs = [x.x if phase.inputs is None else phase.inputs(x.x) for phase in model.phases()]
    assert [each[0].numel() for each in inputs] == [100, 216, 288]

    # encoder.0.1: the first block's dense layer (after flattening); decoder.4: the lowest layer's way back
    layers = [
        {"encoder.0.1.weight", "encoder.0.1.bias", "decoder.4.bias"},
        {"encoder.1.0.weight", "encoder.1.0.bias", "decoder.2.bias"},
        {"encoder.2.0.weight", "encoder.2.0.bias", "decoder.0.bias"},
    ]
    assert set(model.state_dict()) == set.union(*layers)
    assert moves(model, x) == {f"layer{depth}": names for depth, names in enumerate(layers)}

    classifier = Classifier(model, spec)
    assert classifier.top.weight.shape == (5, 120)
    encoder = {name for name in classifier.state_dict() if name.startswith("encoder.")}
    assert len(encoder) == 6
    assert moves(classifier, x) == {"all labels": encoder | {"top.weight", "top.bias"}}, "fine-tuning freezes nothing"


def test_a_stack_that_stays_random_has_nothing_to_learn():
    for family, knobs in (("stacked", {"widths": (20, 10)}), ("stacked_conv", {"channels": (2, 3)})):
        assert build(family, layer="random", **knobs).phases() == []


def test_layers_of_every_kind_start_alike():
    first = [build(widths=(20, 10), **kind).state_dict() for kind in ({"layer": "random"}, *KINDS)]
    assert all(torch.equal(each[name], first[0][name]) for each in first for name in each)


def only_layer(x, **knobs):
    """A stack of one layer, and its loss on x."""
    model = build(widths=(6,), **knobs)
    (phase,) = model.phases()
    return model, phase.loss(Batch(x, x, torch.zeros(len(x))), torch.Generator().manual_seed(3))


def test_the_contraction_is_the_squared_norm_of_the_code_s_jacobian():
    x = torch.rand(5, *SPEC.shape)
    model, losses = only_layer(x, layer="contractive", weight=0.3)
    jacobians = [torch.autograd.functional.jacobian(lambda v: model.encode(v[None])[0], each) for each in x]
    expected = sum(jacobian.square().sum() for jacobian in jacobians) / 5
    torch.testing.assert_close(losses.terms["contraction"], 0.3 * expected)
    torch.testing.assert_close(losses.total, losses.terms["reconstruction"] + losses.terms["contraction"])


def test_the_sparsity_is_the_divergence_of_mean_activations_from_rho():
    x = torch.rand(5, *SPEC.shape)
    model, losses = only_layer(x, layer="sparse", weight=2.0, rho=0.1)
    rho_hat, rho = model.encode(x).mean(0), torch.tensor(0.1)
    kl = rho * (rho / rho_hat).log() + (1 - rho) * ((1 - rho) / (1 - rho_hat)).log()
    torch.testing.assert_close(losses.terms["sparsity"], 2 * kl.sum())


def test_the_reconstruction_of_a_layer_is_the_cross_entropy_per_image():
    x = torch.rand(5, *SPEC.shape)
    model, losses = only_layer(x, layer="autoencoder")
    expected = F.binary_cross_entropy(model.reconstruct(x), x, reduction="sum") / 5
    torch.testing.assert_close(losses.total, expected)


@pytest.mark.parametrize("code", ["sigmoid", "linear"])
def test_an_rbm_layer_learns_by_contrastive_divergence(code):
    x = torch.rand(5, *SPEC.shape)
    model, losses = only_layer(x, layer="rbm", code_activation=code, k=2)
    machine = RBMLayer(model.encoder[0][1], model.backs()[0], gaussian=code == "linear")
    v = x.flatten(1)
    sample = machine.gibbs(v, 2, torch.Generator().manual_seed(3))
    torch.testing.assert_close(losses.total, machine.free_energy(v).mean() - machine.free_energy(sample).mean())
    torch.testing.assert_close(model.encode(x), machine.hidden(v))


def test_a_linear_code_is_linear_and_the_layers_below_are_not():
    model = build(widths=(20, 10), layer="autoencoder", code_activation="linear")
    x = torch.rand(5, *SPEC.shape)
    first = model.encoder[0](x)
    torch.testing.assert_close(model.encode(x), F.linear(first, model.encoder[1][0].weight, model.encoder[1][0].bias))
    torch.testing.assert_close(first, torch.sigmoid(model.encoder[0][1](x.flatten(1))))


WRONG = [
    (
        {"layer": "contractive", "weight": 1.0, "code_activation": "linear"},
        "code_activation: linear on contractive layers is wrong",
    ),
    ({"layer": "contractive"}, "weight: 0.0 is wrong; allowed: above 0"),
    ({"layer": "autoencoder", "weight": 1.0}, "weight: 1.0 is wrong; allowed: 0 where"),
    ({"layer": "sparse", "weight": 1.0, "rho": 1.0}, "rho: 1.0 is wrong"),
    ({"layer": "rbm", "k": 0}, "k: 0 is wrong"),
    ({"layer": "random", "dropout": 1.0}, "dropout: 1.0 is wrong"),
]


@pytest.mark.parametrize(("knobs", "line"), WRONG, ids=[line for _, line in WRONG])
def test_a_wrong_knob_is_named(knobs, line):
    with pytest.raises(ValueError, match=line):
        stacked.Config(widths=(4,), **knobs)


# Unrolling


@pytest.mark.parametrize("kind", [*KINDS[:2], {"layer": "random"}], ids=["autoencoder", "rbm", "random"])
def test_an_unrolled_stack_starts_as_the_stack_and_is_then_untied(kind):
    source = build(widths=(20, 12, 3), code_activation="linear", **kind)
    for back in source.backs():
        nn.init.normal_(back.bias)
    config, model = source.unrolled()
    x = random_images(SPEC)
    with torch.no_grad():
        torch.testing.assert_close(model.encode(x.x), source.encode(x.x))
        torch.testing.assert_close(model.reconstruct(x.x), source.reconstruct(x.x))
    built = registry.build("dense", dataclasses.asdict(config), SPEC, torch.Generator())
    built.load_state_dict(model.state_dict())
    sizes = [tuple(p.shape) for name, p in model.named_parameters() if name.endswith("weight")]
    assert sizes == [(20, 784), (12, 20), (3, 12), (12, 3), (20, 12), (784, 20)]
    before = copy.deepcopy(source.state_dict())
    assert moves(model, x) == {"all": set(model.state_dict())}
    assert not torch.equal(model.decoder[0].weight, model.encoder[2][0].weight.T)
    assert all(torch.equal(before[name], value) for name, value in source.state_dict().items()), "the stack stays"


# Convolutions


def test_maxima_are_in_their_places_and_means_in_all():
    h = torch.tensor([[1.0, 2.0, 5.0, 5.0], [3.0, 0.0, 5.0, 4.0]])[None, None]
    expected = torch.tensor([[0.0, 0.0, 5.0, 0.0], [3.0, 0.0, 0.0, 0.0]])[None, None]
    torch.testing.assert_close(stacked_conv.maxima(h), expected)
    expected = torch.tensor([[1.5, 1.5, 4.75, 4.75], [1.5, 1.5, 4.75, 4.75]])[None, None]
    torch.testing.assert_close(stacked_conv.means(h), expected)


@pytest.mark.parametrize("pool", ["max", "average"])
def test_a_convolutional_layer_goes_back_through_its_flipped_kernels(pool):
    x = torch.rand(3, *SPEC.shape)
    model = build("stacked_conv", channels=(4, 6), pool=pool)
    conv = model.encoder[0][0]
    h = torch.sigmoid(conv(x))
    thin = stacked_conv.maxima(h) if pool == "max" else stacked_conv.means(h)
    flipped = conv.weight.transpose(0, 1).flip(2, 3)  # as a convolution of the padded maps
    raw = F.conv2d(F.pad(thin, (4, 4, 4, 4)), flipped)
    expected = F.binary_cross_entropy_with_logits(raw, x, reduction="sum") / 3
    losses = model.phases()[0].loss(Batch(x, x, torch.zeros(3)), torch.Generator())
    torch.testing.assert_close(losses.total, expected)
    pooled = (F.max_pool2d if pool == "max" else F.avg_pool2d)(h, 2)
    torch.testing.assert_close(model.phases()[1].inputs(x), pooled)
    assert model.encode(x).shape == (3, 6 * 4 * 4)
    for block in model.modules():
        if isinstance(block, stacked_conv.Spread):
            torch.testing.assert_close(block(pooled).sum(), pooled.sum() * (1 if pool == "max" else 4))


def test_convolutional_phases_move_one_layer_and_fine_tuning_all():
    model, x = build("stacked_conv", channels=(2, 3)), random_images(SPEC)
    assert moves(model, x) == {
        "layer0": {"encoder.0.0.weight", "encoder.0.0.bias", "decoder.5.bias"},
        "layer1": {"encoder.1.0.weight", "encoder.1.0.bias", "decoder.2.bias"},
    }
    classifier = Classifier(model, SPEC)
    assert moves(classifier, x)["all labels"] == set(classifier.state_dict())


def test_maps_that_cannot_be_pooled_are_named():
    with pytest.raises(ValueError, match="kernel: 4 leaves 25 x 25 to pool is wrong; allowed: multiples of 2"):
        build("stacked_conv", channels=(2,), kernel=4)


# Labels


def test_budgets_are_balanced_and_nested():
    labels = torch.cat([torch.full((n,), label) for label, n in enumerate((50, 30, 5))])
    data = Tensors(torch.arange(85.0).view(85, 1, 1, 1), labels)
    few, more, every = (balanced(data, n, torch.Generator().manual_seed(0)) for n in (12, 40, 85))
    assert torch.bincount(few.y).tolist() == [4, 4, 4]
    assert torch.bincount(more.y).tolist() == [18, 17, 5]
    assert torch.equal(few.x, more.x[:12])
    assert torch.equal(more.x, every.x[:40])
    assert sorted(every.x.flatten().tolist()) == list(range(85))
    assert torch.equal(data.y[few.x.flatten().long()], few.y), "images keep their labels"
    other = balanced(data, 12, torch.Generator().manual_seed(1))
    assert set(other.x.flatten().tolist()) != set(few.x.flatten().tolist())
    assert len(balanced(data, 100, torch.Generator()).y) == 85


FINETUNE = Finetune(**{**vars(SETTINGS), "max_epochs": 20, "early_stopping_patience": 4}, labels=(100, "all"))


def test_fewer_labels_get_more_epochs_by_the_square_root():
    assert FINETUNE.for_labels(3500, 3500) == FINETUNE
    few = FINETUNE.for_labels(100, 10_000)
    assert (few.max_epochs, few.early_stopping_patience) == (200, 40)
    assert (
        dataclasses.replace(FINETUNE, early_stopping_patience=None).for_labels(100, 10_000).early_stopping_patience
        is None
    )
    with pytest.raises(ValueError, match="labels: 101 is wrong; allowed: up to the 100 training images there are, all"):
        FINETUNE.for_labels(101, 100)


def test_dropout_acts_while_fine_tuning_learns_and_at_no_other_time():
    x, quiet = torch.rand(50, *SPEC.shape), build(widths=(40, 20), layer="autoencoder")
    dropping = build(widths=(40, 20), layer="autoencoder", dropout=0.5)
    generators = [torch.Generator().manual_seed(0) for _ in range(2)]
    batch = Batch(x, x, torch.zeros(50))
    for ours, theirs in zip(quiet.phases(), dropping.phases(), strict=True):
        inner = batch if ours.inputs is None else Batch(ours.inputs(x), ours.inputs(x), batch.label)
        assert torch.equal(ours.loss(inner, generators[0]).total, theirs.loss(inner, generators[1]).total)
    classifier = Classifier(dropping, SPEC)
    nn.init.normal_(classifier.top.weight)
    classifier.train()
    assert not torch.equal(classifier(x), classifier(x))
    classifier.eval()
    assert torch.equal(classifier(x), classifier(x))
    torch.testing.assert_close(classifier(x), classifier.top(dropping.encode(x)))
    without = Classifier(quiet, SPEC).train()
    assert torch.equal(without(x), without(x))


def test_a_classifier_names_its_budget_in_its_phase_and_measures():
    from aelab.evaluation.evaluate import classification

    model = Classifier(build(widths=(8,), layer="random"), SPEC, "100")
    assert [phase.name for phase in model.phases()] == ["100 labels"]
    x = random_images(SPEC, 20)
    wrong = (predictions(model, x.x) != x.y).float().mean().item()
    found = classification(model, Data(x, x, x, {}, x, x, x))
    assert found.test["test_error/100"] == pytest.approx(wrong)
    assert found.validation == {"error/100": pytest.approx(wrong)}


@pytest.mark.parametrize("kind", KINDS, ids=[kind["layer"] for kind in KINDS])
def test_pretraining_lowers_the_layer_s_error_on_digits(kind, digits):
    model: Autoencoder = build(widths=(100,), **kind)
    x = Tensors(digits[0][:500], digits[1][:500])
    before = model.phases()[0].loss(Batch(x.x, x.x, x.y), torch.Generator()).terms["reconstruction"]
    fit(model, x, x, dataclasses.replace(SETTINGS, max_epochs=10), partial(seeding.generator, 0), Heard())
    after = model.phases()[0].loss(Batch(x.x, x.x, x.y), torch.Generator()).terms["reconstruction"]
    assert after < 0.5 * before
