"""From a stage to the writer process: a file of JSON lines in the spool folder (see places.spool).

The writer is `python -m aelab.tracking.writer`, one for all stages, because MLflow takes longer to start than to write.
It removes a file when the store has everything; until then the file stays, even if either process dies.
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

PATIENCE = 8.0  # seconds to wait without a writer, or without progress of the server
LONGEST = 120.0  # seconds that even a slow, living store may take
DEFAULTS = {  # MLflow's defaults would wait 246 s for a server that is not there
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}


class Outbox:
    """The outgoing events of one stage. Raises OSError if the spool is not writable."""

    def __init__(self) -> None:
        self.path = places.spool() / f"{time.time_ns()}-{os.getpid()}.jsonl"
        # what the disk did not take yet; messages of seeds come from threads
        self.left, self.turn = b"", threading.Lock()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        self.file = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.lockf(self.file, fcntl.LOCK_EX)  # until this process ends; its forks do not have it
        draft.rename(self.path)  # only now: the writer takes an unlocked file for that of a dead stage

    def send(self, kind: str, /, *args: Any, **fields: Any) -> None:
        """Append one line. Raises OSError, e.g. for a full disk; the rest of the line is written before the next
        one."""
        line = {"kind": kind, "args": args, "at": int(time.time() * 1000), **fields}
        with self.turn:
            self.left += json.dumps(line).encode() + b"\n"
            while self.left:
                self.left = self.left[os.write(self.file, self.left) :]

    def close(self, wait: bool) -> str:
        """End of the events; returns the store's last error, or "". wait: until the store has everything."""
        os.close(self.file)
        received = began = time.monotonic()
        seen, local = None, not places.store().startswith("http")
        while wait and not self.trouble() and self.path.exists():
            if (now := self.taken()) != seen or (local and writer_lives()):
                seen, received = now, time.monotonic()
            if time.monotonic() > min(received + PATIENCE, began + LONGEST):
                return "the store does not answer"
            time.sleep(0.05)
        return self.trouble()

    def trouble(self) -> str:
        """The writer's last error for this file."""
        with contextlib.suppress(OSError):
            return self.path.with_suffix(".failed").read_text()
        return ""

    def taken(self) -> float:
        """When the store last accepted events of this file."""
        with contextlib.suppress(OSError):
            return self.path.with_suffix(".at").stat().st_mtime
        return 0.0


def writer_lives() -> bool:
    """Whether a writer process works on the spool."""
    with open(places.spool() / "writer.lock", "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def start_writer() -> None:
    """Make sure that a writer process runs; if several start, all but one exit at once."""
    if writer_lives():
        return
    environment = DEFAULTS | {k: v for k, v in os.environ.items() if k != "MLFLOW_RUN_ID"}  # or it would be resumed
    with open(places.spool() / "writer.log", "ab") as log:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "aelab.tracking.writer"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # it outlives the stage, and does not get Ctrl-C
        )
