"""The process that writes the events of the spool to the MLflow store: `python -m aelab.tracking.writer`.

One per spool, guarded by writer.lock; it exits when nothing has arrived for a while. For each file <name>.jsonl of a
stage:

<name>.at       empty; touched whenever the store has accepted something
<name>.failed   one line: the last error of the store; the file stays until it is written

A writer that continues after another one died starts at the file's first line: events that the store has are not
written twice (see runs.Runs.resume).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any, TextIO

from aelab.runner import repository
from aelab.tracking import places
from aelab.tracking.runs import Runs
from aelab.tracking.system import Meter

PAUSE = 0.2  # seconds between looks at the spool
GATHER = 2.0  # seconds for which events of a running stage are collected: every write costs the store a commit
IDLE = 15.0  # idle seconds after which the process exits
RETRY = 3.0  # seconds until a store that failed is tried again


class Feed:
    """One stage's file, and how much of it the store has."""

    def __init__(self, path: Path) -> None:
        self.path, self.runs = path, Runs()
        self.meter = Meter(int(path.stem.rpartition("-")[2]))
        self.at, self.retry, self.later, self.done, self.refused = 0, 0.0, 0.0, False, False
        self.file = open(path, "rb")  # noqa: SIM115  (for the life of the stage)

    def messages(self) -> list[dict[str, Any]]:
        """The complete lines from `at` on; a stage may die in the middle of one, and a full disk may cut one."""
        self.file.seek(self.at)
        data = self.file.read()
        data = data[: data.rfind(b"\n") + 1]
        result, length = [], 0
        for line in data.splitlines(keepends=True):
            length += len(line)
            with contextlib.suppress(json.JSONDecodeError):
                result.append(json.loads(line) | {"end": length})
                length = 0
        return result

    def take(self, message: dict[str, Any]) -> None:
        message = {key: value for key, value in message.items() if key != "end"}
        getattr(self.runs, message.pop("kind"))(*message.pop("args"), **message)

    def pump(self) -> bool:
        """Write new events; returns whether there were any. Raises the store's errors."""
        alive = locked(self.path)
        if time.monotonic() < (max(self.retry, self.later) if alive else self.retry):
            return False
        messages = self.messages()
        if not messages and not alive:
            messages = [{"kind": "end", "args": ["KILLED"], "at": int(time.time() * 1000), "error": None, "end": 0}]
        for message in messages:
            try:
                if message["kind"] != "metrics":
                    self.runs.flush()
                self.take(message)
            except Exception as error:
                if not self.reachable():
                    raise
                self.refused = True  # the store works: it rejects this event
                note(self.path, error)
            self.at += message["end"]
            self.done = message["kind"] == "end"
        self.runs.flush()
        if messages:
            self.path.with_suffix(".at").touch()
            self.later = time.monotonic() + GATHER
        if alive and (readings := self.meter.read()):
            self.runs.system(readings, self.meter.count)
        if not self.refused:
            self.path.with_suffix(".failed").unlink(missing_ok=True)
        return bool(messages)

    def reachable(self) -> bool:
        """Whether the store answers."""
        try:
            self.runs.client.get_experiment(self.runs.experiment_id)
        except Exception:
            return False
        return True

    def remove(self) -> None:
        """Remove the file: everything is in the store."""
        self.file.close()
        for suffix in (".at", ".failed", ".jsonl"):
            self.path.with_suffix(suffix).unlink(missing_ok=True)


def locked(path: Path) -> bool:
    """Whether the stage that writes this file is alive."""
    with open(path, "rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def note(path: Path, error: Exception) -> None:
    """Leave an error line for the stage, without a password of the store's URI."""
    text = re.sub(r"//[^/@\s]*@", "//", (str(error).strip() or type(error).__name__).splitlines()[0])
    path.with_suffix(".failed").write_text(text if len(text) < 160 else text[:150] + "...")
    print(time.strftime("%F %T"), path.name, text, flush=True)


def write(spool: Path, idle: float = IDLE) -> None:
    """Write all events, until none have arrived for `idle` seconds and every known stage has ended."""
    feeds: dict[Path, Feed] = {}
    news = time.monotonic()
    while time.monotonic() - news < idle:
        for path in sorted(set(spool.glob("*.jsonl")) - set(feeds)):
            feeds[path] = Feed(path)
        for path, feed in list(feeds.items()):
            try:
                fresh = feed.pump()
            except Exception as error:
                note(path, error)
                feed.retry = time.monotonic() + RETRY
                continue
            if fresh or locked(path):
                news = time.monotonic()
            if feed.done:
                feed.remove()
                del feeds[path]
        time.sleep(PAUSE)


def hold(spool: Path) -> TextIO | None:
    """The lock of the spool's writer; None if another process holds it."""
    lock = open(spool / "writer.lock", "a")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def main() -> None:
    """Write until there is nothing left; exit at once, because MLflow's threads would wait."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # stages come first
    os.chdir(
        repository.root()
    )  # DVC deletes the folder of a temporary experiment; relative stores mean the main checkout
    spool = places.spool()
    while (lock := hold(spool)) is not None:
        write(spool)
        left = {path.stem for path in spool.glob("*.failed")}
        lock.close()
        if not {path.stem for path in spool.glob("*.jsonl")} - left:  # a stage may have seen the lock held
            break
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
