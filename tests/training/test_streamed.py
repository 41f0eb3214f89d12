"""Streamed from its file, a data set is learnt in the same bits as in memory, by every entry and by whole stages."""

import json
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from conftest import PATIENCE
from test_checkpoints import ENTRIES, Watch, make

from aelab.config import seeding
from aelab.data import memory, splits, streaming, tensors
from aelab.data.tensors import Tensors
from aelab.training import checkpoints
from aelab.training.loop import fit

CPU = torch.device("cpu")
IMAGES = {"train": 44, "validation": 40}
# a stage as it runs where no split fits; `rest` may do more harm
STAGE = """
import runpy, sys
from aelab.config import runtime
from aelab.data import memory, streaming
memory.fits = lambda size, device: False
{rest}
sys.argv = {argv}
sys.path.insert(0, "stages")
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def both(digits, tmp_path, monkeypatch):
    """Train and validation in memory, and streamed, several chunks long."""
    monkeypatch.setattr(splits, "LEARNING", tmp_path)
    monkeypatch.setattr(streaming, "SCRATCH", tmp_path)
    monkeypatch.setattr(streaming, "CHUNK", 16)
    x, y = digits
    for first, (name, n) in zip((0, 100), IMAGES.items(), strict=True):
        part = x[first : first + n, 0].mul(255).round().to(torch.uint8).numpy(), y[first : first + n].numpy()
        splits.save(tmp_path, name, part)
    found = []
    for fits in (True, False):
        monkeypatch.setattr(memory, "fits", lambda size, device, fits=fits: fits)
        found.append(tuple(tensors.split(name, CPU) for name in IMAGES))
    return found


@pytest.mark.parametrize("entry", ENTRIES, ids=[name for _, _, name in ENTRIES])
def test_every_entry_learns_the_same_bits(entry, both):
    build, settings = make(*entry)
    heard = []
    for train, validation in both:
        model, watch = build(), Watch()
        fit(model, train, validation, settings, partial(seeding.generator, 0), watch)
        heard.append((model.state_dict(), json.dumps(watch.epochs)))
    (weights, epochs), (streamed, told) = heard
    assert epochs == told
    assert all(torch.equal(weights[name], streamed[name]) for name in weights)


def test_a_snapshot_fits_the_same_data_streamed_or_not(both, tmp_path):
    (train, validation), streamed = both
    keys = []
    for data in ((train, validation), streamed, (Tensors(1 - train.x, train.y), validation)):
        keeper = checkpoints.CheckpointManager(tmp_path / "0", "a", (*data[0], *data[1]), Watch())
        keeper.latest(torch.nn.ReLU())
        keys.append(keeper.path.name)
    assert keys[0] == keys[1] != keys[2]


# Stages


def shrink(tree) -> None:
    for section in ("train", "pretrain", "finetune"):
        tree[section] |= {"epochs": 1, "epochs_factor": {}, "num_seeds": 2}
    tree["finetune"]["labels"] = [20, "all"]
    tree["corrupt"]["noises"] = ["masking 0.25"]
    tree["baselines"] |= {"epochs": 1, "steps": 5, "max_train_codes": 500, "max_ood_images": 50, "num_samples": 200}
    tree["models"] = {"rbm": {"family": "rbm", "units": 30, "k": 1}}
    tree["stacks"] = {"stack": {"family": "stacked", "widths": [30, 20], "layer": "rbm"}}


def start(lab, rest, stage, *items):
    """A stage as a process in which every training split streams."""
    code = STAGE.format(rest=rest, argv=[f"stages/{stage}.py", *items])
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=lab.folder, env=lab.env, stdout=pipe, stderr=pipe, text=True
    )


def result(lab, stage, *items):
    """The files of a stage's result, and their bytes."""
    folder = lab.folder.joinpath("data", stage, *(Path(item).name for item in items))
    return {str(each.relative_to(folder)): each.read_bytes() for each in folder.rglob("*") if each.is_file()}


def test_whole_stages_leave_the_same_bytes(prepared):
    prepared.change(shrink)
    prepared.run("corrupt")
    stages = [("baselines",), ("train", "rbm"), ("pretrain", "stack"), ("finetune", "stack"), ("evaluate", "train/rbm")]
    for words in stages:
        prepared.run(*words)
        in_memory = result(prepared, *words)
        process = start(prepared, "", *words)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
        assert "data/prepare/learning/train.npz: streams" in errors
        assert result(prepared, *words) == in_memory, words
    assert not list((prepared.folder / "data").glob("tmp*"))


CUT = """
taken, step = [], streaming.Streamed.__getitem__
def cut(self, which):
    taken.append(which)
    if len(taken) == 20:
        open(self.stored.path, "r+b").truncate(5000)
    return step(self, which)
streaming.Streamed.__getitem__ = cut
"""
FULL = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (10**6, 10**6))"  # of a file, as on a full disk


@pytest.mark.parametrize(
    ("rest", "line"),
    [
        (CUT, "data/prepare/learning/train.npz: changed while it was read; `dvc checkout` or `dvc repro` restores it"),
        (
            FULL,
            "data: no room for a scratch file of what does not fit into memory (File too large); "
            "fewer images (prepare.limit) need less",
        ),
    ],
)
def test_a_stage_that_cannot_stream_ends_in_one_line_and_leaves_nothing(rest, line, prepared):
    prepared.change(shrink)
    process = start(prepared, rest, "train", "rbm")
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (1, "")
    *told, last = errors.splitlines()
    assert last == f"train rbm: {line}"
    assert all(": streams, " in each for each in told)
    assert {each.name for each in (prepared.folder / "data").iterdir()} == {".scratch", "download", "prepare"}
