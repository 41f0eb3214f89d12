"""The frame of every stage: work in a scratch folder, publish all or nothing, fail with one line.

A stage script calls `stage.main(train)`: the function fills the scratch folder `job.out`, which is renamed to
data/<stage>[/<item>] when it returns; that of `compare` goes into metrics/, beside other files.
"""

from __future__ import annotations

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

DATA, METRICS = Path("data"), Path("metrics")
SCRATCH = DATA / ".scratch"  # outside every folder that DVC hashes
CHECKPOINTS = DATA / ".checkpoints"  # of stages that were killed, see training/checkpoints.py
OUT_OF_MEMORY = ("can't allocate memory", "out of memory")  # torch's messages, on CPU and GPU
ITEM = re.compile(r"(\w+/)?\w[\w.-]*")  # "vae", "train/vae": never a path out of the stage's folder
DEATHSIG = 1  # prctl's PR_SET_PDEATHSIG


@dataclass(frozen=True)
class Job:
    """The argument of a stage function: the names of stage and item."""

    stage: str
    item: str | None

    @property
    def name(self) -> str:
        """The name of the item: "vae" for "vae" and for "train/vae"."""
        return Path(self.item or "").name

    @property
    def result(self) -> Path:
        return folder(self.stage, self.item)

    @property
    def out(self) -> Path:
        """The scratch folder to fill."""
        return SCRATCH / "-".join(self.result.parts)

    @property
    def checkpoints(self) -> Path:
        """The folder for checkpoints, which a stage that was killed resumes from."""
        return CHECKPOINTS / self.out.name


def folder(stage: str, item: str | None = None) -> Path:
    """The folder of a stage's result: data/<stage>[/<item>], or metrics/ for `compare`."""
    return METRICS if stage == "compare" else DATA.joinpath(stage, *([Path(item).name] if item else []))


def main(body: Callable[[Job], None]) -> None:
    """Run one stage and exit with code 0, or print one line and exit with 1.

    The function's name is that of the stage, its script, and its folder under data/. The first argument of the command
    line, if any, is the item.
    """
    stage, items = body.__name__, sys.argv[1:]
    if len(items) > 1 or not all(map(ITEM.fullmatch, items)):
        sys.exit(f"{stage}: arguments {items}; allowed: one name, or none where the stage has no items")
    job = Job(stage, items[0] if items else None)
    die_with_parent()
    try:
        with cores.turn():
            run(job, body)
    except KeyboardInterrupt:
        sys.exit(130)
    except (ValueError, OSError, ArithmeticError, MemoryError, RuntimeError) as error:
        memory = isinstance(error, MemoryError) or any(text in str(error) for text in OUT_OF_MEMORY)
        if isinstance(error, RuntimeError) and not memory:
            raise
        if os.environ.get("AELAB_TRACEBACK"):
            traceback.print_exc()
        what = str(error)
        if memory:
            what = "out of memory; smaller widths, batches or fewer images need less"
        elif isinstance(error, FileNotFoundError):
            what = f"{error.filename}: not found; `dvc repro` makes it"
        elif isinstance(error, OSError) and error.strerror and not error.filename:  # of a full disk
            what = f"{job.result}: not made ({error.strerror})"
        sys.exit(f"{' '.join([stage, *items])}: {' '.join(what.split())}")


def run(job: Job, body: Callable[[Job], None]) -> None:
    """Fill the scratch folder and publish it. Raises ValueError while another process does so."""
    from filelock import FileLock, Timeout

    SCRATCH.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(f"{job.out}.lock", timeout=0):
            shutil.rmtree(job.out, ignore_errors=True)  # of a run that was killed
            job.out.mkdir()
            try:
                body(job)
                publish(job.out, job.result)
                shutil.rmtree(job.checkpoints, ignore_errors=True)
            finally:
                shutil.rmtree(job.out, ignore_errors=True)
    except Timeout:
        raise ValueError(f"{job.result}: another run of this stage is at work on it; wait for it or end it") from None


def publish(scratch: Path, result: Path) -> None:
    """Replace the old result, or, in metrics/, the files that the new one has too. Raises OSError."""
    result.parent.mkdir(parents=True, exist_ok=True)
    moves = {path: result / path.name for path in scratch.iterdir()} if result == METRICS else {scratch: result}
    for old in moves.values():  # all of them first: a kill in between leaves no old file beside a new one
        shutil.rmtree(old) if old.is_dir() and not old.is_symlink() else old.unlink(missing_ok=True)
    for new, place in moves.items():
        place.parent.mkdir(exist_ok=True)
        new.rename(place)


def die_with_parent() -> None:
    """End this process when its parent dies, so that a killed dvc leaves no stage and a killed stage no children.

    Linux only; elsewhere the lock of the scratch folder protects the result.
    """
    parent = os.getppid()
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(DEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:  # the parent died before the call
            sys.exit(1)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
