"""How many cores this process may use, and turns on them for the processes of `aelab repro -j N`.

-j N means N cores: stages and the seeds that they fork take turns, so that at most N of them compute at once. A turn is
one byte of a file, locked by the process that has it; the lock of a dead process is free. Turns change no result.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Iterator
from typing import IO

SHARED = "AELAB_CORES"  # environment variable of a stage: "<count> <file>" of its turns
PAUSE = 0.02  # seconds between two attempts


def count() -> int:
    """The number of cores that this process may use: its CPU affinity, limited by the quota of its container."""
    from joblib import cpu_count

    return cpu_count()


class Turns:
    """The turns as one process sees them: at most `count` processes have one at a time."""

    def __init__(self, count: int, path: str) -> None:
        self.count, self.path = count, path
        self.file: IO[bytes] | None = None

    def take(self) -> None:
        """Wait for a free turn. Raises FileNotFoundError if turns are no longer handed out."""
        import fcntl

        file = open(self.path, "r+b")  # noqa: SIM115  (the lock lasts as long as it is open)
        while True:
            for number in range(self.count):
                with contextlib.suppress(BlockingIOError, PermissionError):  # either error says that the byte is locked
                    fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                    self.file = file
                    return
            time.sleep(PAUSE)

    def give_back(self) -> None:
        if self.file:
            self.file.close()
        self.file = None

    def of_a_fork(self) -> Turns:
        """The turns for a forked process."""
        return Turns(self.count, self.path)


@contextlib.contextmanager
def share(count: int) -> Iterator[dict[str, str]]:
    """Hand out `count` turns, to processes that have these environment variables."""
    with tempfile.NamedTemporaryFile(prefix="aelab-cores-") as file:
        yield {SHARED: f"{count} {file.name}"}


_mine: Turns | None = None  # the turn of this process


@contextlib.contextmanager
def turn() -> Iterator[None]:
    """Hold a turn of `aelab repro`; does nothing in a stage that was started otherwise."""
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
    """The turns of `aelab repro`, of which this process has one; or else one per core."""
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
