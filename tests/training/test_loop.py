"""The loop itself: what it keeps, when it stops, what it says when a loss blows up."""

import dataclasses
import subprocess
import sys
from functools import partial

import pytest
import torch
from torch import nn

from aelab.config import seeding
from aelab.data.corruption import Noises
from aelab.data.tensors import Tensors
from aelab.models.common import Batch, Losses, Phase, Spec, registry
from aelab.training import losses
from aelab.training.classifier import Classifier, predictions
from aelab.training.loop import Evaluation, fit
from aelab.training.losses import DivergedError
from aelab.training.settings import Training

SPEC = Spec((1, 28, 28), 10)
SETTINGS = Training("adam", 1e-3, "constant", 0.0, 50, 4, None, None, None, 1, (), (), ())


class Heard:
    """A watch that remembers."""

    def __init__(self):
        self.epochs: list[Evaluation] = []
        self.weights: list[dict] = []
        self.total = self.done = 0

    def steps(self, phase, total):
        self.total += total

    def step(self):
        self.done += 1

    def evaluated(self, evaluation, model):
        self.epochs.append(evaluation)
        self.weights.append({name: tensor.clone() for name, tensor in model.state_dict().items()})


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_an_epoch_of_many_steps_takes_no_more_memory_than_one_of_few():
    """In a process of its own, whose memory nothing else has scattered."""
    code = """if True:
        from functools import partial
        from pathlib import Path
        from aelab.config import runtime, seeding
        device = runtime.pin("cpu", 1)
        import torch
        from aelab.data.tensors import Tensors
        from aelab.training.loop import fit
        from aelab.training.settings import Training
        from aelab.models.common import Spec, registry
        class Silent:
            def steps(self, phase, total): ...
            def step(self): ...
            def evaluated(self, evaluation, model): ...
        def private():
            lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
            return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1000
        settings = Training("adam", 1e-3, "constant", 0.0, 100, 1, None, None, None, 1, (), (), ())
        images = Tensors(torch.rand(60_000, 1, 28, 28), torch.zeros(60_000, dtype=torch.int64))
        few = Tensors(images.x[:100], images.y[:100])
        for train in (few, images):
            model = registry.build("dense", {"widths": (32,)}, Spec((1, 28, 28), 10), torch.Generator().manual_seed(0))
            before = private()
            fit(model, train, few, settings, partial(seeding.generator, 1), Silent())
            print(private() - before)
    """
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    few, many = map(float, told.split())
    assert many < few + 40, f"600 steps took {many:.0f} MB, one {few:.0f}"


class Scripted(nn.Module):
    """Its validation loss follows a script; its one weight counts the steps."""

    def __init__(self, validation):
        super().__init__()
        self.spec = Spec((1, 2, 2), 0)
        self.weight = nn.Parameter(torch.zeros(()))
        self.script = list(validation)

    def fit_statistics(self, clean, label): ...

    def phases(self):
        return [Phase("all", [self.weight], self.loss)]

    def loss(self, batch, generator):
        if self.training:
            return Losses(-self.weight, {"clean": batch.clean.mean(), "noisy": batch.noisy.mean()})
        return Losses(torch.tensor(float(self.script.pop(0))), {})


def data(n=100):
    return Tensors(torch.full((n, 1, 2, 2), 0.5), torch.zeros(n, dtype=torch.int64))


def run(model, settings, train=None, validation=None):
    heard = Heard()
    fit(model, train or data(), validation or data(10), settings, partial(seeding.generator, 0), heard)
    return heard


def test_the_history_holds_what_tutorials_print():
    """The loss of the last batch and its spread over batches; Keras' accuracy, counted by hand."""
    settings = dataclasses.replace(SETTINGS, batch_size=40, max_epochs=2, history=("batches", "accuracy"))
    x = torch.rand(100, 1, 28, 28, generator=torch.Generator().manual_seed(0)).mul(4).round().div(4)
    part = Tensors(x, torch.zeros(100, dtype=torch.int64))
    model = registry.build("dense", {"widths": (4,)}, SPEC, torch.Generator().manual_seed(0))
    losses = []
    whole = model.loss
    model.loss = lambda batch, generator: losses.append(whole(batch, generator)) or losses[-1]
    heard = run(model, settings, part, part)
    first, last = heard.epochs
    seen = [each.total.item() for each in losses if each.total.requires_grad]
    assert [first.train["last_batch"], last.train["last_batch"]] == pytest.approx([seen[2], seen[5]])
    assert last.train["between_batches"] == pytest.approx(torch.tensor(seen[3:]).std(correction=0).item(), rel=1e-4)
    model.load_state_dict(heard.weights[0])
    with torch.no_grad():
        assert first.validation["accuracy"] == pytest.approx((model.reconstruct(x).round() == x).double().mean().item())
    assert set(run(model, SETTINGS, part, part).epochs[0].train) == {"total", "reconstruction"}


def test_the_best_validation_epoch_is_kept():
    model = Scripted([3, 1, 2, 4])
    heard = run(model, SETTINGS)
    assert [epoch.best for epoch in heard.epochs] == [True, True, False, False]
    assert torch.equal(model.weight, heard.weights[1]["weight"])
    assert not torch.equal(model.weight, heard.weights[3]["weight"])


@pytest.mark.parametrize(
    ("family", "knobs", "term"),
    [
        ("dense", {"widths": (8,)}, "total"),
        ("rbm", {"units": 8}, "reconstruction"),
        ("gumbel_vae", {"hidden": (8,)}, "negative_elbo"),
        ("stacked", {"widths": (8,), "layer": "rbm"}, "reconstruction"),
    ],
)
def test_an_epoch_names_the_term_that_decides_which_one_is_kept(family, knobs, term):
    model = registry.build(family, knobs, SPEC, torch.Generator().manual_seed(0))
    x = Tensors(torch.rand(100, *SPEC.shape), torch.zeros(100, dtype=torch.int64))
    for epoch in run(model, dataclasses.replace(SETTINGS, max_epochs=2), x, x).epochs:
        assert epoch.monitored == term
        assert epoch.monitor == epoch.validation[term]
        assert term in epoch.train


def test_patience_counts_epochs_without_a_better_value():
    heard = run(Scripted([3, 2, 2, 2.5, 1]), dataclasses.replace(SETTINGS, max_epochs=9, early_stopping_patience=2))
    assert [epoch.monitor for epoch in heard.epochs] == [3, 2, 2, 2.5]


def test_of_a_one_cycle_schedule_patience_counts_in_the_last_third():
    script = Scripted([1, 2, 2, 2, 2, 2, 3, 3, 3])
    settings = dataclasses.replace(SETTINGS, schedule="one_cycle", max_epochs=9, early_stopping_patience=2)
    assert len(run(script, settings).epochs) == 8


def test_a_budget_in_steps_is_evaluated_every_so_many_and_at_its_end():
    settings = dataclasses.replace(SETTINGS, max_epochs=None, max_steps=7, eval_every=3)
    heard = run(Scripted([3, 2, 1]), settings, train=data(120))
    assert [epoch.step for epoch in heard.epochs] == [3, 6, 7]
    assert heard.done == heard.total == 7
    assert [epoch.train["total"] for epoch in heard.epochs] == pytest.approx(
        # Adam moves the one weight by lr a step; batches of 50, 50, 20 images
        [-1e-3 * (0 * 50 + 1 * 50 + 2 * 20) / 120, -1e-3 * (3 * 50 + 4 * 50 + 5 * 20) / 120, -6e-3],
        rel=1e-3,
    )


def test_every_image_is_seen_once_per_epoch_wherever_evaluations_lie():
    seen = []

    class Watching(Scripted):
        def loss(self, batch, generator):
            if self.training:
                seen.extend(batch.label.tolist())
            return super().loss(batch, generator)

    train = Tensors(data(120).x, torch.arange(120))
    settings = dataclasses.replace(SETTINGS, max_epochs=None, max_steps=6, eval_every=2)
    run(Watching([1, 1, 1]), settings, train=train)
    assert sorted(seen[:120]) == sorted(seen[120:]) == list(range(120))
    assert seen[:120] != seen[120:]


def test_every_image_is_seen_once_per_epoch_and_the_last_batch_may_be_smaller():
    heard = run(Scripted([1, 1, 1, 1]), SETTINGS, train=data(120))
    assert heard.done == heard.total == 4 * 3
    assert heard.epochs[0].train["clean"] == pytest.approx(0.5)


def test_a_batch_larger_than_the_data_is_one_step():
    assert run(Scripted([1, 1, 1, 1]), dataclasses.replace(SETTINGS, batch_size=1000)).done == 4


def test_noise_is_drawn_fresh_for_training_and_the_same_for_every_validation():
    noisy = dataclasses.replace(SETTINGS, noise=("masking 0.5",))
    model = registry.build("dense", {"widths": (8,)}, SPEC, torch.Generator().manual_seed(0))
    seen = []
    plain = model.loss

    def spy(batch, generator):
        seen.append((model.training, batch.noisy.clone()))
        return plain(batch, generator)

    model.loss = spy  # type: ignore[method-assign]
    x = Tensors(torch.rand(50, *SPEC.shape), torch.zeros(50))
    run(model, noisy, x, x)
    drawn = [noisy for training, noisy in seen if training]
    held_out = [noisy for training, noisy in seen if not training]
    assert not torch.equal(drawn[0], drawn[1])
    assert all(torch.equal(each, held_out[0]) for each in held_out)
    assert (held_out[0] == 0).float().mean().item() == pytest.approx(0.5, abs=0.02)


def test_a_loss_that_blows_up_names_phase_epoch_and_step():
    model = registry.build("dense", {"widths": (8,)}, SPEC, torch.Generator().manual_seed(0))
    x = torch.rand(100, *SPEC.shape)
    x[70] = float("nan")
    with pytest.raises(DivergedError, match=r"phase all, step [12]: the loss is nan"):
        run(model, SETTINGS, Tensors(x, torch.zeros(100)), data(10)._replace(x=torch.rand(10, *SPEC.shape)))


def test_a_validation_loss_that_blows_up_stops_too():
    with pytest.raises(DivergedError, match=r"phase all, step 4: the validation loss is nan"):
        run(Scripted([1, float("nan")]), SETTINGS)
    model = registry.build("rbm", {"units": 8}, SPEC, torch.Generator().manual_seed(0))
    x = torch.full((10, *SPEC.shape), float("nan"))
    with pytest.raises(DivergedError, match=r"phase all, step 2: the validation reconstruction is nan"):
        run(model, SETTINGS, data()._replace(x=torch.rand(100, *SPEC.shape)), data(10)._replace(x=x))


def test_one_cycle_ends_with_a_vanishing_rate():
    model = registry.build("dense", {"widths": (8,)}, SPEC, torch.Generator().manual_seed(0))
    x = Tensors(torch.rand(100, *SPEC.shape), torch.zeros(100))
    heard = run(model, dataclasses.replace(SETTINGS, schedule="one_cycle", max_epochs=20), x, x)
    moved = [
        sum((b[name] - a[name]).abs().sum().item() for name in a)
        for a, b in zip(heard.weights[:-1], heard.weights[1:], strict=True)
    ]
    assert moved[-1] < 0.05 * max(moved)


@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_every_optimizer_lowers_the_loss(optimizer):
    model = registry.build("dense", {"widths": (8,), "reduction": "mean"}, SPEC, torch.Generator().manual_seed(0))
    x = Tensors(torch.rand(100, *SPEC.shape) ** 4, torch.zeros(100))
    heard = run(model, dataclasses.replace(SETTINGS, optimizer=optimizer, lr=0.01, max_epochs=10), x, x)
    assert heard.epochs[-1].train["total"] < heard.epochs[0].train["total"]


def test_losses_without_learning_are_means_over_images_whatever_the_chunks():
    model = registry.build("dense", {"widths": (8,)}, SPEC, torch.Generator().manual_seed(0))
    x = torch.rand(1500, *SPEC.shape)
    found = losses.over(model.loss, Tensors(x, torch.zeros(1500)), Noises(), torch.Generator())
    with torch.no_grad():
        expected = model.loss(Batch(x, x, torch.zeros(1500)), torch.Generator()).total.item()
    assert found["total"] == pytest.approx(expected, rel=1e-5)


def test_a_phase_moves_its_own_layer_and_no_other(digits):
    x = Tensors(digits[0][:100], digits[1][:100])
    stack = registry.build(
        "stacked", {"widths": (20, 10), "layer": "autoencoder"}, SPEC, torch.Generator().manual_seed(0)
    )
    before = {name: tensor.clone() for name, tensor in stack.state_dict().items()}
    heard = run(stack, dataclasses.replace(SETTINGS, max_epochs=2), x, x)
    first, second = heard.weights[1], heard.weights[3]
    assert [epoch.phase for epoch in heard.epochs] == ["layer0", "layer0", "layer1", "layer1"]
    moved = {name for name in before if not torch.equal(before[name], first[name])}
    then = {name for name in before if not torch.equal(first[name], second[name])}
    assert moved
    assert then
    assert not moved & then


def test_fine_tuning_moves_every_layer_and_learns_the_digits(digits):
    stack = registry.build("stacked", {"widths": (64, 32), "layer": "random"}, SPEC, torch.Generator().manual_seed(0))
    model = Classifier(stack, SPEC)
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    x, y = digits
    run(
        model,
        dataclasses.replace(SETTINGS, max_epochs=15, lr=3e-3),
        Tensors(x[:2000], y[:2000]),
        Tensors(x[2000:2500], y[2000:2500]),
    )
    assert all(not torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    assert (predictions(model, x[3000:4000]) == y[3000:4000]).float().mean() > 0.85
