"""Cut short at any step and taken up again, learning ends in the same bits as if it had never stopped."""

import dataclasses
import json
import os
import random
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from entries import FAMILIES, in_epochs, name_of

from aelab.config import params, runtime, seeding
from aelab.data.tensors import Tensors
from aelab.models.common import Spec, registry
from aelab.training import checkpoints, weight_files
from aelab.training.classifier import Classifier
from aelab.training.loop import fit
from aelab.training.settings import Training

SPEC = Spec((1, 28, 28), 10)
IMAGES = 40


class Killed(BaseException):
    """Nobody may catch it on the way."""


class Watch:
    """Remembers, as the real one does, and kills at step `end`."""

    def __init__(self, end=None):
        self.end, self.done, self.epochs, self.restored = end, 0, [], False

    def steps(self, phase, total): ...

    def step(self):
        self.done += 1
        if self.done == self.end:
            raise Killed

    def evaluated(self, evaluation, model):
        self.epochs.append(dataclasses.asdict(evaluation))

    def state(self):
        return self.epochs, {"seen": torch.tensor(self.done)}

    def restore(self, epochs, tensors):
        self.epochs, self.restored = epochs, True


@pytest.fixture
def often(monkeypatch):
    monkeypatch.setenv("AELAB_CHECKPOINT", "0")


@pytest.fixture
def splits(digits):
    x, y = digits
    return Tensors(x[:IMAGES], y[:IMAGES]), Tensors(x[IMAGES : 2 * IMAGES], y[IMAGES : 2 * IMAGES])


def make(group, section, name):
    """A builder of the entry's model and its settings, small."""
    block, entry = params.load(section, f"{group}.{name}")
    settings = params.merge(section, block, entry)
    settings = dataclasses.replace(settings, batch_size=16, **in_epochs(2), schedule="one_cycle")
    return lambda: registry.build(entry.family, entry.config, SPEC, torch.Generator().manual_seed(0)), settings


def learn(build, settings, splits, folder=None, end=None, about="a"):
    """The model and what its watch heard; None where it was killed."""
    model, watch = build(), Watch(end)
    keeper = checkpoints.CheckpointManager(folder, about, (*splits[0], *splits[1]), watch) if folder else None
    try:
        fit(model, *splits, settings, partial(seeding.generator, 0), watch, keeper)
    except Killed:
        return None
    return model.state_dict(), json.dumps(watch.epochs), watch.done


def same(one, other):
    return one[0].keys() == other[0].keys() and all(torch.equal(one[0][k], other[0][k]) for k in one[0])


@pytest.mark.parametrize("entry", FAMILIES, ids=name_of)
def test_every_entry_goes_on_from_a_random_step(entry, splits, tmp_path, often):
    build, settings = make(*entry)
    whole = learn(build, settings, splits)
    if whole[2] == 0:  # nothing to learn
        return
    end = random.Random(entry[2]).randint(1, whole[2])
    assert learn(build, settings, splits, tmp_path / "0", end) is None
    again = learn(build, settings, splits, tmp_path / "0")
    assert same(whole, again)
    assert whole[1] == again[1]


def classifier():
    pretrained = registry.build(
        "stacked",
        {"widths": [30, 20], "layer": "autoencoder", "dropout": 0.3},
        SPEC,
        torch.Generator().manual_seed(0),
    )
    return Classifier(pretrained, SPEC)


@pytest.mark.parametrize("budget", [(3, None, None), (None, 8, 2)], ids=["epochs", "steps"])  # 3 steps are an epoch
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "sgd"])
def test_killed_at_every_single_step_a_net_with_dropout_noise_and_augmentation_ends_alike(
    optimizer, budget, splits, tmp_path, often
):
    settings = Training(
        optimizer, 1e-3, "one_cycle", 1e-2, 16, *budget, 1, 1, ("masking 0.3",), ("rotate 7", "shift 1"), ()
    )
    whole, folder = learn(classifier, settings, splits), tmp_path / "0"
    kills = 0
    while (again := learn(classifier, settings, splits, folder, end=checkpointed(folder) + 2)) is None:
        kills += 1
    assert kills >= whole[2] - 2
    assert same(whole, again)
    assert whole[1] == again[1]


def checkpointed(folder):
    """Steps behind the snapshot."""
    if not folder.exists():
        return 0
    [path] = folder.iterdir()
    numbers = json.loads(weight_files.load_tensors(path)[1])["learning"]
    return numbers["step"]


@pytest.fixture
def kept(splits, tmp_path, often):
    """A net that was killed at its fourth step: how to build and teach it, and its snapshot."""
    build, settings = make("models", "train", "ae")
    assert learn(build, settings, splits, tmp_path / "0", 4) is None
    [path] = (tmp_path / "0").iterdir()
    return build, settings, path


CHANGES = ("nothing", "a parameter", "a first weight", "an image", "a line of code", "the version of torch")
CHANGES += ("the number of threads", "the kind of device")


@pytest.mark.parametrize("change", CHANGES)
def test_a_snapshot_of_other_work_is_never_used(change, kept, splits, monkeypatch, tmp_path):
    build, settings, path = kept
    monkeypatch.setenv("AELAB_CHECKPOINT", "1000")
    model, watch, about = build(), Watch(), "b" if change == "a parameter" else "a"
    images = splits[0].x.clone()
    if change == "an image":
        images[0, 0, 0, 0] = 0.5
    if change == "a first weight":
        next(model.parameters()).data[0, 0] += 1
    if change == "a line of code":
        for folder in checkpoints.CODE:
            shutil.copytree(checkpoints.PACKAGE / folder, tmp_path / "code" / folder)
        (tmp_path / "code" / "models" / "dense.py").write_text("# another\n")
        monkeypatch.setattr(checkpoints, "PACKAGE", tmp_path / "code")
    if change == "the version of torch":
        monkeypatch.setattr(torch, "__version__", "1.0")
    if change == "the number of threads":
        monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    if change == "the kind of device":
        monkeypatch.setattr(runtime, "describe", lambda device: "another GPU")
    keeper = checkpoints.CheckpointManager(path.parent, about, (images, splits[0].y, *splits[1]), watch)
    before = path.read_bytes()
    fit(model, splits[0], splits[1], settings, partial(seeding.generator, 0), watch, keeper)
    assert watch.restored == (change == "nothing")
    assert path.read_bytes() == before


DAMAGE = {
    "cut": lambda good: good[:-100],
    "empty": lambda good: b"",
    "zeros": lambda good: bytes(len(good)),  # what some file systems leave after a power cut
    "one bit of a weight": lambda good: good[:-9] + bytes([good[-9] ^ 1]) + good[-8:],
    "one number": lambda good: good.replace(rb"\"waited\": 0", rb"\"waited\": 1"),
    "another file": lambda good: b"hello",
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_torn_snapshot_is_ignored_with_a_word(damage, kept, splits, capsys):
    build, settings, path = kept
    good = path.read_bytes()
    path.write_bytes(damage(good))
    assert path.read_bytes() != good
    assert same(learn(build, settings, splits, path.parent), learn(build, settings, splits))
    line = capsys.readouterr().err.strip()
    assert line.startswith(f"{path}: ignored, learning starts afresh")
    assert "\n" not in line


def test_a_snapshot_is_on_the_disk_before_it_takes_the_last_one_s_place(kept, splits, monkeypatch):
    build, settings, path = kept
    done = []
    monkeypatch.setattr(os, "fsync", lambda file: done.append(("on the disk", Path(f"/proc/self/fd/{file}").resolve())))
    rename = Path.rename
    monkeypatch.setattr(Path, "rename", lambda old, new: (done.append(("in its place", old)), rename(old, new)))
    learn(build, settings, splits, path.parent)
    draft = path.with_suffix(".new")
    assert done == [("on the disk", draft), ("in its place", draft)] * (len(done) // 2)
    assert done


def test_a_full_disk_costs_the_snapshot_only(kept, splits, capsys, monkeypatch):
    build, settings, path = kept
    before = path.read_bytes()

    def full(path, *_):
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(weight_files, "save_tensors", full)
    assert same(learn(build, settings, splits, path.parent), learn(build, settings, splits))
    assert path.read_bytes() == before
    assert "not written (No space left on device)" in capsys.readouterr().err
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_the_interval_is_a_number(monkeypatch):
    monkeypatch.setenv("AELAB_CHECKPOINT", "often")
    with pytest.raises(ValueError, match="AELAB_CHECKPOINT: 'often' is wrong; allowed: a number of seconds"):
        checkpoints.interval()
