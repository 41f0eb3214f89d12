"""The frame of every stage: lock the out, work in a scratch folder, publish all or nothing, fail with one line.

A stage script calls `stage.main(train)`: the function fills the scratch folder `job.out`, which is renamed to
data/<stage>[/<item>] when it returns; that of `compare` goes into metrics/, beside other files. Scratch folders are in
data/.scratch, outside every folder that DVC hashes.
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
METRICS = Path("metrics")  # results for people: of `compare`, and of sweeps
SCRATCH = DATA / ".scratch"
CHECKPOINTS = DATA / ".checkpoints"  # of stages that were killed, see training/checkpoints.py
OUT_OF_MEMORY = ("can't allocate memory", "out of memory")  # torch's messages, on CPU and GPU
ITEM = re.compile(r"(\w+/)?\w[\w.-]*")  # "vae", "train/vae": never a path out of the stage's folder
DEATHSIG = 1  # prctl's PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Job:
    """The argument of a stage function: the names of stage and item, and the scratch folder to fill."""

    stage: str
    item: str | None
    out: Path

    @property
    def name(self) -> str:
        """The name of the item: "vae" for "vae" and for "train/vae"."""
        return Path(self.item or "").name

    @property
    def checkpoints(self) -> Path:
        """The folder for checkpoints, which a stage that was killed resumes from."""
        return CHECKPOINTS / self.out.name


def main(body: Callable[[Job], None]) -> None:
    """Run one stage and exit with code 0, or print one line and exit with 1.

    The function's name is that of the stage, its script, and its folder under data/ (for `compare`: metrics/). The
    first argument of the command line, if any, is the item.
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
        memory = isinstance(error, MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY)
        if isinstance(error, RuntimeError) and not memory:
            raise
        if os.environ.get("AELAB_TRACEBACK"):
            traceback.print_exc()
        what = str(error)
        if isinstance(error, FileNotFoundError):
            what = f"{error.filename}: not found; `dvc repro` makes it"
        elif memory:
            what = "out of memory; smaller widths, batches or fewer images need less"
        # the error of a full disk has no file name
        elif isinstance(error, OSError) and error.strerror and not error.filename:
            what = f"{folder(body.__name__, item)}: not made ({error.strerror})"
        sys.exit(f"{body.__name__}{f' {item}' if item else ''}: {' '.join(what.split())}")


def folder(stage: str, item: str | None = None) -> Path:
    """The folder of a stage's result: data/<stage>[/<item>], or metrics/ for `compare`."""
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
    """Replace the old result by the new one.

    A stage's own folder is replaced as a whole. metrics/ is shared: only what the new result replaces is deleted, all
    of it before anything is moved, so that a kill in between leaves no old file beside a new one. Raises OSError.
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
    """End this process when its parent dies, so that a killed dvc leaves no stage and a killed stage no children.

    Linux only; elsewhere the lock of the out protects it.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(DEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent died before the call
            sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
