"""How many cores this process may use, and turns on them for processes that `aelab repro -j N` starts.

-j N means N cores: stages and the seeds that they fork take turns, so that no more than N of them compute at once. A
turn is a byte of a file that its process locks; a process that dies holds none. When one computes changes no result.
"""

from __future__ import annotations

import contextlib
import math
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from aelab.runner import cgroups

SHARED = "AELAB_CORES"  # of a stage's environment: "<count> <file>" of the turns that it takes part in
PAUSE = 0.02  # seconds between looks for a free turn


def count(root: Path = Path("/")) -> int:
    """The cores that this process may use: those of its affinity, at most its control groups' quota of time."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    for version, folder in cgroups.folders("cpu", root):
        with contextlib.suppress(FileNotFoundError):
            if version == 2:
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota, period = ((folder / f"cpu.cfs_{name}_us").read_text().strip() for name in ("quota", "period"))
            if quota not in ("max", "-1"):
                found = min(found, max(1, math.ceil(int(quota) / int(period))))
    return found


class Turns:
    """One process' part in turns that several take, at most `count` at once."""

    def __init__(self, count: int, path: str) -> None:
        self.count, self.path = count, path
        self.file: IO[bytes] | None = None

    def take(self) -> None:
        """Wait until one is free. Raises FileNotFoundError where nobody hands them out any more."""
        import fcntl

        file = open(self.path, "r+b")  # noqa: SIM115  (the lock lasts as long as it is open)
        while True:
            for number in range(self.count):
                with contextlib.suppress(BlockingIOError, PermissionError):  # either may say that it is taken
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                    self.file = file
                    return
            time.sleep(PAUSE)

    def give_back(self) -> None:
        if self.file:
            self.file.close()
        self.file = None

    def of_a_fork(self) -> Turns:
        """The part of a process that this one forks."""
        return Turns(self.count, self.path)


@contextlib.contextmanager
def share(count: int) -> Iterator[dict[str, str]]:
    """Hand out `count` turns meanwhile, to processes that have the variables in their environment."""
    with tempfile.NamedTemporaryFile(prefix="aelab-cores-") as file:
        yield {SHARED: f"{count} {file.name}"}


_mine: Turns | None = None  # this process' part in those of its environment


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Compute in turn with the other stages of `aelab repro`; a stage that was started otherwise just computes."""
    global _mine
    number, _, path = os.environ.get(SHARED, "").partition(" ")
    if not path:
        yield
        return
    _mine = Turns(int(number), path)
    _mine.take()
    try:
        yield
    finally:
        _mine.give_back()
        _mine = None


@contextlib.contextmanager
def turns() -> Iterator[Turns]:
    """The turns that this process takes part in, and has one of; where it does not, as many as there are cores."""
    if _mine:
        yield _mine
        return
    with share(count()) as shared:
        number, _, path = shared[SHARED].partition(" ")
        own = Turns(int(number), path)
        own.take()
        try:
            yield own
        finally:
            own.give_back()
