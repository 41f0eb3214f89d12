"""Seeds that learn together end as each would alone, up to rounding."""

import dataclasses
import random
from functools import partial

import pytest
import torch
from entries import FAMILIES, in_epochs, name_of
from test_checkpoints import SPEC, Killed, Watch

from aelab.config import params, seeding
from aelab.data.tensors import Tensors
from aelab.models.common import registry
from aelab.training import checkpoints, loop, vectorized
from aelab.training.callbacks import CallbackList
from aelab.training.classifier import Classifier
from aelab.training.losses import DivergedError
from aelab.training.settings import Training
from aelab.training.vectorized import Seed

SEEDS = 3
IMAGES = 100
SETTINGS = Training("adam", 1e-2, "constant", 0.0, 40, 4, None, None, None, 1, (), (), ())
ALONE = {"ae_dropout": "dropout", "vq_vae": "codebook"}
# after batch norm a bias has no gradient but rounding, which Adam makes a step of
TOLERANCE = {"split": 5e-3}


@pytest.fixture
def splits(digits):
    x, y = digits
    return Tensors(x[:IMAGES], y[:IMAGES]), Tensors(x[IMAGES : 2 * IMAGES], y[IMAGES : 2 * IMAGES])


def seeds_of(build, splits, end=None):
    """Fresh models, each with its own start, images, draws and watch."""
    return [
        Seed(build(seed), *splits, partial(seeding.generator, 1, seed), Watch(end if seed == 0 else None))
        for seed in range(SEEDS)
    ]


def family(name, config):
    return lambda seed: registry.build(name, config, SPEC, torch.Generator().manual_seed(seed))


def alone(build, splits, settings):
    seeds = seeds_of(build, splits)
    for model, train, validation, draw, watch in seeds:
        loop.fit(model, train, validation, settings, draw, watch)
    return seeds


def all_together(build, splits, settings, path=None, end=None):
    seeds = seeds_of(build, splits, end)
    data = [tensor for split in splits for tensor in split]
    keeper = (
        checkpoints.CheckpointManager(path, "a", data, CallbackList([seed.callback for seed in seeds]))
        if path
        else None
    )
    vectorized.fit(seeds, settings, keeper, "float32")
    return seeds


def agree(one, other, tolerance):
    """Every loss of every epoch, and which epochs were best."""
    for mine, theirs in zip(one, other, strict=True):
        assert len(mine.callback.epochs) == len(theirs.callback.epochs)
        for a, b in zip(mine.callback.epochs, theirs.callback.epochs, strict=True):
            assert a.keys() == b.keys()
            for key in ("train", "validation"):
                assert list(a[key]) == list(b[key])
                assert a[key] == pytest.approx(b[key], rel=tolerance, abs=tolerance)
            assert {key: a[key] for key in ("phase", "step", "best")} == {
                key: b[key] for key in ("phase", "step", "best")
            }
        assert mine.callback.done == theirs.callback.done


@pytest.mark.parametrize("entry", FAMILIES, ids=name_of)
def test_every_entry_learns_together_as_alone(entry, splits):
    group, section, name = entry
    block, item = params.load(section, f"{group}.{name}")
    settings = params.merge(section, block, item)
    settings = dataclasses.replace(settings, batch_size=40, lr=1e-3, **in_epochs(2))  # larger rates magnify rounding
    build = family(item.family, item.config)
    if name in ALONE:
        assert ALONE[name] in build(0).vmap_unsupported_reason
        return
    assert not build(0).vmap_unsupported_reason
    agree(alone(build, splits, settings), all_together(build, splits, settings), TOLERANCE.get(name, 1e-4))


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_weights_end_alike_with_noise_augmentation_decay_and_schedule(optimizer, splits):
    settings = dataclasses.replace(
        SETTINGS, optimizer=optimizer, schedule="one_cycle", weight_decay=0.1, lr=1e-3,
        noise=("masking 0.3", "gaussian 0.2"), augment=("rotate 7", "shift 1"),
    )  # fmt: skip
    build = family("dense", {"widths": (16,), "reduction": "mean"})
    for one, other in zip(alone(build, splits, settings), all_together(build, splits, settings), strict=True):
        for name, weight in one.model.state_dict().items():
            torch.testing.assert_close(weight, other.model.state_dict()[name], rtol=1e-3, atol=1e-4)


def test_each_seed_has_its_own_best_epoch_and_patience(splits):
    build = family("dense", {"widths": (200,), "output": "linear", "loss": "mse"})
    settings = dataclasses.replace(SETTINGS, lr=1e-2, max_epochs=12, early_stopping_patience=1, noise=("gaussian 1",))
    one, other = alone(build, splits, settings), all_together(build, splits, settings)
    lengths = [len(seed.callback.epochs) for seed in one]
    assert len(set(lengths)) > 1, "this test needs seeds that stop at different epochs"
    assert [len(seed.callback.epochs) for seed in other] == lengths
    for mine, theirs in zip(one, other, strict=True):
        best = [epoch["best"] for epoch in mine.callback.epochs]
        assert best == [epoch["best"] for epoch in theirs.callback.epochs]
        for name, weight in mine.model.state_dict().items():
            torch.testing.assert_close(weight, theirs.model.state_dict()[name], rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    "budget", [{"max_epochs": 12}, {"max_epochs": None, "max_steps": 60, "eval_every": 3}], ids=["epochs", "steps"]
)
def test_where_patience_ends_draws_of_the_next_phase_begin_as_alone(budget, splits):
    build = family("stacked", {"widths": (60, 30), "layer": "autoencoder"})
    settings = dataclasses.replace(SETTINGS, lr=0.3, early_stopping_patience=1, noise=("masking 0.7",), **budget)
    one, other = alone(build, splits, settings), all_together(build, splits, settings)
    first = [
        sum(epoch["phase"] == one[0].callback.epochs[0]["phase"] for epoch in seed.callback.epochs) for seed in one
    ]
    assert len(set(first)) > 1, "this test needs seeds whose first phases differ in length"
    for mine, theirs in zip(one, other, strict=True):
        assert len(mine.callback.epochs) == len(theirs.callback.epochs)
        for here, there in zip(mine.callback.epochs, theirs.callback.epochs, strict=True):
            assert here["train"]["total"] == pytest.approx(there["train"]["total"], rel=1e-3)


def test_cut_short_at_a_random_step_it_goes_on_from_the_last_epoch(splits, tmp_path, monkeypatch):
    monkeypatch.setenv("AELAB_CHECKPOINT", "0")
    build = family("stacked", {"widths": (20, 10), "layer": "autoencoder"})
    settings = dataclasses.replace(SETTINGS, noise=("masking 0.3",), early_stopping_patience=1, schedule="one_cycle")
    whole = all_together(build, splits, settings)
    path = tmp_path / "all.safetensors"
    end = random.Random(0).randint(4, whole[0].callback.done - 1)
    with pytest.raises(Killed):
        all_together(build, splits, settings, path, end)
    assert path.exists()
    again = all_together(build, splits, settings, path)
    for one, other in zip(whole, again, strict=True):
        assert one.callback.epochs == other.callback.epochs
        for name, weight in one.model.state_dict().items():
            assert torch.equal(weight, other.model.state_dict()[name])


def test_a_seed_that_diverges_is_named(splits):
    bad = Tensors(splits[0].x.clone(), splits[0].y)
    bad.x[70] = float("nan")
    seeds = seeds_of(family("dense", {"widths": (8,)}), splits)
    seeds[1] = seeds[1]._replace(train=bad)
    with pytest.raises(DivergedError, match=r"^replicate 1, phase all, step \d: the loss is nan"):
        vectorized.fit(seeds, SETTINGS, None, "float32")


def test_a_seed_whose_validation_diverges_is_named(splits):
    bad = Tensors(splits[1].x.clone(), splits[1].y)
    bad.x[70] = float("nan")
    seeds = seeds_of(family("dense", {"widths": (8,)}), splits)
    seeds[2] = seeds[2]._replace(validation=bad)
    with pytest.raises(DivergedError, match=r"^replicate 2, phase all, step \d+: the validation loss is nan"):
        vectorized.fit(seeds, SETTINGS, None, "float32")


def test_bf16_steps_are_bf16(splits, as_on_a_gpu):
    build = family("dense", {"widths": (8,)})
    exact, rough = seeds_of(build, splits), seeds_of(build, splits)
    vectorized.fit(exact, SETTINGS, None, "float32")
    vectorized.fit(rough, SETTINGS, None, "bf16")
    one, other = (seeds[0].callback.epochs[-1]["validation"]["total"] for seeds in (exact, rough))
    assert one != other
    assert one == pytest.approx(other, rel=0.02)


def test_a_classifier_with_dropout_learns_alone():
    for share in (0.0, 0.2):
        stack = family("stacked", {"widths": (20,), "layer": "random", "dropout": share})(0)
        assert bool(Classifier(stack, SPEC).vmap_unsupported_reason) == bool(share)


def drawn(draw):
    """What draw(x, generator) gives each of three seeds that learn together, and each alone; x counts seeds."""
    x = torch.arange(3.0)[:, None].expand(3, 4).contiguous()

    def generators():
        return [torch.Generator().manual_seed(seed) for seed in range(3)]

    shared = generators()

    def loss(x, which):
        with vectorized._Draws(shared, which):
            return draw(x, shared[0])

    found = torch.func.vmap(loss, randomness="same")(x, torch.arange(3))
    return found, torch.stack([draw(*each) for each in zip(x, generators(), strict=True)])


def filled(x, generator):
    place = torch.empty_like(x)
    place.normal_(generator=generator)
    return x + place


@pytest.mark.parametrize(
    "draw",
    [
        lambda x, generator: x + torch.randn(x.shape, generator=generator),
        lambda x, generator: x + torch.randint(9, (4,), generator=generator) * torch.rand(4, generator=generator),
        lambda x, generator: x * torch.empty_like(x).exponential_(generator=generator),
        filled,
    ],
)
def test_each_seed_is_given_draws_of_its_own_generator(draw):
    found, expected = drawn(draw)
    assert torch.equal(found, expected)
    assert len(found.unique()) > 8


def test_a_draw_that_depends_on_a_tensor_is_refused():
    with pytest.raises(NotImplementedError, match="bernoulli: draws that depend on a tensor need a model that is"):
        drawn(lambda x, generator: torch.bernoulli(x / 3, generator=generator))
