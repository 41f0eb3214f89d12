"""From a stage to the process that writes to the store: a file of JSON lines in the spool (see places.spool).

The process is `python -m aelab.tracking.writer`, one for all stages, since MLflow takes longer to start than to write.
It removes a file of which the store has everything; until then the file stays, whatever becomes of either process.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

from aelab.tracking import places

PATIENCE = 8.0  # seconds of waiting in which nobody writes, or a server takes nothing
LONGEST = 120.0  # seconds that even a slow, living store may take
DEFAULTS = {  # MLflow's own would wait 246 s for a server that is not there
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}


class Outbox:
    """What one stage sends. Raises OSError where the spool cannot be written."""

    def __init__(self) -> None:
        self.path = places.spool() / f"{time.time_ns()}-{os.getpid()}.jsonl"
        self.left, self.turn = b"", threading.Lock()  # what the disk did not take yet; listeners to seeds are threads
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        self.file = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.lockf(self.file, fcntl.LOCK_EX)  # until this process is gone; its forks do not have it
        draft.rename(self.path)  # only now: the writer takes a file without a lock for one whose stage is dead

    def send(self, kind: str, /, *args: Any, **fields: Any) -> None:
        """One line. Raises OSError, such as for a full disk: what is left of the line goes before the next one."""
        line = {"kind": kind, "args": args, "at": int(time.time() * 1000), **fields}
        with self.turn:
            self.left += json.dumps(line).encode() + b"\n"
            while self.left:
                self.left = self.left[os.write(self.file, self.left) :]

    def close(self, wait: bool) -> str:
        """Nothing more comes. What the store could not take, "" for nothing; wait: until it has everything."""
        os.close(self.file)
        heard = began = time.monotonic()
        seen, local = None, not places.store().startswith("http")
        while wait and not self.trouble() and self.path.exists():
            if (now := self.taken()) != seen or (local and writer_lives()):
                seen, heard = now, time.monotonic()
            if time.monotonic() > min(heard + PATIENCE, began + LONGEST):
                return "the store does not answer"
            time.sleep(0.05)
        return self.trouble()

    def trouble(self) -> str:
        """What the writer last could not do with these lines."""
        with contextlib.suppress(OSError):
            return self.path.with_suffix(".failed").read_text()
        return ""

    def taken(self) -> float:
        """When the store last took some of them."""
        with contextlib.suppress(OSError):
            return self.path.with_suffix(".at").stat().st_mtime
        return 0.0


def writer_lives() -> bool:
    """Whether a process writes what lies in the spool."""
    with open(places.spool() / "writer.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def start_writer() -> None:
    """See to it that one lives; of several, all but one leave at once."""
    if writer_lives():
        return
    environment = DEFAULTS | {k: v for k, v in os.environ.items() if k != "MLFLOW_RUN_ID"}  # it would be resumed
    with open(places.spool() / "writer.log", "ab") as log:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "aelab.tracking.writer"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # it outlives the stage, and Ctrl-C in the terminal is not meant for it
        )
