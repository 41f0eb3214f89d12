"""Stages killed at random moments of their learning, typed again, end in the bytes of a run that was never killed.

One moment for three kinds of stages; with `--faults` twenty for each. Every file counts: weights, history, panel, what
tracking heard.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import random
import shutil
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from conftest import alive, wait_for
from entries import in_epochs

from aelab.training import weight_files

MODELS = {
    "dense": {"family": "dense", "widths": [16], "code_activation": "relu", "dropout": 0.2, "noise": ["masking 0.3"]},
    "conv": {
        "family": "conv",
        "encoder": ["conv 4 k3 p1 relu", "maxpool 2"],
        "decoder": ["up 2", "conv 1 k3 p1"],
        "augment": ["rotate 7"],
    },
    "vae": {"family": "vae", "hidden": [32], "latent_dim": 4},
    "vq": {"family": "vq_vae", "channels": [4, 8], "depth": 4, "codebook_size": 8},
}
RBM = {"family": "stacked", "widths": [30, 20], "layer": "rbm"}
KINDS = {  # kind: the stage, and those whose results it reads
    "dense": ["train dense"],
    "conv": ["train conv"],
    "vae": ["train vae"],
    "vq": ["train vq"],
    "rbm stack": ["pretrain rbm"],
    "fine-tuning": ["finetune rbm", "pretrain rbm"],
    "unroll": ["unroll unrolled", "pretrain narrow_stacks/narrow"],
}
FEW = ("dense", "rbm stack", "fine-tuning")
EPOCHS = 6
VICTIMS = ("the stage", "one seed", "all at once")  # kill -9, the out-of-memory killer, a power cut


def shrink(tree) -> None:
    for section in ("train", "pretrain", "finetune", "unroll"):
        tree[section] |= {
            "batch_size": 20,
            **in_epochs(EPOCHS),
            "num_seeds": 2,
            "preview_steps": [1, 3],
            "schedule": "one_cycle",
        }
    tree["finetune"]["labels"] = [20, "all"]
    tree["prepare"]["limit"] = 100
    tree["models"], tree["stacks"] = MODELS, {"rbm": RBM}
    tree["narrow_stacks"] = {"narrow": RBM | {"code_activation": "linear"}}
    tree["unrolled"] = {"unrolled": {"stack": "narrow"}}


@pytest.fixture
def small(prepared, spawner):
    prepared.change(shrink)
    spawner.works(prepared, "prepare")
    return prepared


def kept(lab) -> list:
    return sorted((lab.folder / "data/.checkpoints").rglob("*.safetensors"))


@dataclass
class Moment:
    """When to kill whom: after so much of the processor's time since the first checkpoint, and then some."""

    share: float  # of what it takes from there to the result, 0 to 1
    later: float  # seconds: it may wait for the disk
    victim: str

    @staticmethod
    def random(words: str) -> Moment:
        draw = random.Random(words)
        return Moment(draw.random(), draw.uniform(0, 0.03), draw.choice(VICTIMS))


class Clock:
    """The processor's time of a stage since its first checkpoint: it runs no faster on an idle machine."""

    def __init__(self, lab, pid: int) -> None:
        self.lab, self.process = lab, psutil.Process(pid)
        self.began: float | None = None
        self.passed = 0.0

    def running(self) -> bool:
        """Look again; False where the process has ended. Raises psutil.NoSuchProcess where nothing is left of it."""
        time.sleep(0.002)
        if self.process.status() == psutil.STATUS_ZOMBIE:
            return False
        used = self.process.cpu_times()
        if self.began is None and kept(self.lab):
            self.began = used.user + used.system
        self.passed = 0.0 if self.began is None else used.user + used.system - self.began
        return True


def result(lab, words: str) -> Path:
    stage, item = words.split()
    return lab.folder / "data" / stage / item


def whole(lab, spawner, words: str) -> tuple[dict, float]:
    """The files of a run that nobody kills, and how long it takes from its first checkpoint to its result."""
    passed = [0.0]

    def watch(pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended
            clock = Clock(lab, pid)
            while clock.running():
                if not result(lab, words).exists():
                    passed.append(clock.passed)

    ended = spawner.run(lab, words, watch, AELAB_CHECKPOINT="0")
    assert (ended.code, ended.errors) == (0, ""), ended.errors
    return lab.files(), passed[-1]


def cut_short(lab, spawner, words: str, moment: Moment, length: float) -> bool:
    """Run a stage and kill it; whether it had not ended before."""

    def watch(pid: int) -> None:
        with contextlib.suppress(psutil.NoSuchProcess):  # it has ended
            clock = Clock(lab, pid)
            while clock.running() and (clock.began is None or clock.passed < moment.share * length):
                pass
            time.sleep(moment.later)
            seeds = clock.process.children(recursive=True)
            killed = {"the stage": [clock.process], "one seed": seeds, "all at once": [clock.process, *seeds]}
            for process in killed[moment.victim]:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            wait_for(lambda: not any(alive(seed.pid) for seed in seeds))

    return spawner.run(lab, words, watch, AELAB_CHECKPOINT="0").code != 0


def behind(lab) -> int:
    """Epochs that lie behind the checkpoints there are, over all seeds, phases and tasks."""
    numbers = [json.loads(weight_files.load_tensors(path)[1]) for path in kept(lab)]
    return sum(len(each["extra"]["history"]) for each in numbers)


def epochs(lab) -> tuple[int, int]:
    """How many epochs a stage did itself, and how many it told of: over all seeds, phases and tasks."""
    told = [json.loads(line)["values"] for line in (lab.folder / "echo/stage.jsonl").read_text().splitlines()]
    names = [name for values in told for name in values]
    return sum(name.endswith("seconds_per_epoch") for name in names), sum(
        name.endswith("train/total") for name in names
    )


@pytest.mark.parametrize("kind", KINDS)
def test_killed_at_any_moment_and_typed_again_every_byte_is_the_same(kind, small, spawner, moments, record_property):
    if moments == 1 and kind not in FEW:
        pytest.skip("one of the kinds that `make test-faults` adds")
    words, *before = KINDS[kind]
    for stage in reversed(before):
        spawner.works(small, stage)
    expected, length = whole(small, spawner, words)
    out, echo = result(small, words), small.folder / "echo"
    shutil.rmtree(out)
    counts = Counter[str]()
    for number in range(moments):
        draws = itertools.count()
        while not cut_short(small, spawner, words, Moment.random(f"{kind} {number} {next(draws)}"), length):
            shutil.rmtree(out)  # it had ended: nothing was killed
        shutil.rmtree(out, ignore_errors=True)  # as DVC does; it is there where only the goodbye was cut short
        saved = behind(small)
        echo.mkdir()
        spawner.works(small, words, AELAB_CHECKPOINT="1000", AELAB_ECHO=str(echo), DVC_STAGE="stage")
        did, all_epochs = epochs(small)
        assert did == all_epochs - saved, "what lay behind the checkpoints was not done again"
        counts += Counter(kills=1, same=int(small.files() == expected), saved=saved, epochs=all_epochs)
        shutil.rmtree(out)
        shutil.rmtree(echo)
    kept_share = f"{counts['saved']} of {counts['epochs']}"
    record_property("kills", f"| {kind} | `{words}` | {counts['kills']} | {counts['same']} | {kept_share} |")
    assert counts["same"] == moments
