"""The frame around every stage: lock the out, work in a scratch folder, publish whole or not at all, fail in one line.

A stage script is `stage.main(train)`: the function fills the scratch folder `job.out`, which becomes
data/<stage>[/<item>] in one rename when it returns; that of `compare` goes into metrics/, beside the files of others.
Scratch folders live in data/.scratch, outside every folder that DVC hashes.
"""

from __future__ import annotations

import dataclasses
import os
import re
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from aelab.runner import cores

DATA = Path("data")
METRICS = Path("metrics")  # what people read: of the last stage, and of sweeps
SCRATCH = DATA / ".scratch"
CHECKPOINTS = DATA / ".checkpoints"  # of stages that were killed, see training/checkpoints.py
OUT_OF_MEMORY = ("can't allocate memory", "out of memory")  # as torch says it, of CPU and GPU
ITEM = re.compile(r"(\w+/)?\w[\w.-]*")  # "vae", "train/vae": never a way out of the stage's folder
DEATHSIG = 1  # prctl's PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Job:
    """What a stage's body is given: who it is and the scratch folder to fill."""

    stage: str
    item: str | None
    out: Path

    @property
    def name(self) -> str:
        """The item's own name: "vae" of "vae" and of "train/vae"."""
        return Path(self.item or "").name

    @property
    def checkpoints(self) -> Path:
        """The folder for checkpoints, which a stage that was killed resumes from."""
        return CHECKPOINTS / self.out.name


def main(body: Callable[[Job], None]) -> None:
    """Run one stage and leave with exit code 0, or print one line and leave with 1.

    The body's name is the stage, its folder under data/ (or, for `compare`, metrics/) and its script; the first
    argument on the command line, where there is one, is the item.
    """
    if len(sys.argv) > 2 or not all(map(ITEM.fullmatch, sys.argv[1:])):
        sys.exit(f"{body.__name__}: arguments {sys.argv[1:]}; allowed: one name, or none where the stage has no items")
    item = sys.argv[1] if len(sys.argv) > 1 else None
    die_with_parent()
    try:
        with cores.turn():
            _run(Job(body.__name__, item, SCRATCH), body)
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, ArithmeticError, MemoryError, RuntimeError) as error:
        memory = isinstance(error, MemoryError) or any(words in str(error) for words in OUT_OF_MEMORY)
        if isinstance(error, RuntimeError) and not memory:
            raise
        if os.environ.get("AELAB_TRACEBACK"):
            traceback.print_exc()
        what = str(error)
        if isinstance(error, FileNotFoundError):
            what = f"{error.filename}: not found; `dvc repro` makes it"
        elif memory:
            what = "out of memory; smaller widths, batches or fewer images need less"
        elif isinstance(error, OSError) and error.strerror and not error.filename:  # a full disk does not say where
            what = f"{folder(body.__name__, item)}: not made ({error.strerror})"
        sys.exit(f"{body.__name__}{f' {item}' if item else ''}: {' '.join(what.split())}")


def folder(stage: str, item: str | None = None) -> Path:
    """Where a stage's result lies: data/<stage>[/<item>]; what people read, of the last stage, is in metrics/."""
    return METRICS if stage == "compare" else DATA.joinpath(stage, *([Path(item).name] if item else []))


def _run(job: Job, body: Callable[[Job], None]) -> None:
    from filelock import FileLock, Timeout

    target = folder(job.stage, job.item)
    scratch = SCRATCH / "-".join(target.parts)
    SCRATCH.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{scratch}.lock", timeout=0):
            shutil.rmtree(scratch, ignore_errors=True)
            scratch.mkdir()
            try:
                body(dataclasses.replace(job, out=scratch))
                publish(scratch, target)
                shutil.rmtree(CHECKPOINTS / scratch.name, ignore_errors=True)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    except Timeout:
        raise ValueError(f"{target}: another run of this stage is at work on it; wait for it or end it") from None


def publish(scratch: Path, target: Path) -> None:
    """Put a finished result in the place of the old one: a folder of the stage's own as a whole.

    metrics/ is shared: only what this result replaces is deleted there, all of it before anything new comes, so that
    a kill in between leaves no old file beside a new one. Raises OSError.
    """
    if target != METRICS:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(target, ignore_errors=True)
        scratch.rename(target)
        return
    target.mkdir(exist_ok=True)
    made = sorted(scratch.iterdir())
    for old in [target / path.name for path in made]:
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink(missing_ok=True)
    for path in made:
        path.rename(target / path.name)


def die_with_parent() -> None:
    """A killed dvc leaves no stage behind, a killed stage no children (Linux; elsewhere the lock still guards)."""
    parent = os.getppid()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(DEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # it died before we asked
            sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
