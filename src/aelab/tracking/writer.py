"""The process that writes events to the MLflow store: `python -m aelab.tracking.writer`.

MLflow takes longer to start than to write, so one process writes for all stages. writer.lock guards it, and it exits
when nothing has arrived for a while. A writer that follows a dead one starts every file again: see runs.Runs.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import signal
import sys
import time
from pathlib import Path

from aelab.runner import repository
from aelab.tracking import events, store
from aelab.tracking.runs import Runs
from aelab.tracking.system import Meter

PAUSE = 0.2  # seconds between looks at the spool
GATHER = 2.0  # seconds for which events of a running stage are collected: every write costs the store a commit
IDLE = 15.0  # idle seconds after which the process exits
RETRY = 3.0  # seconds until a store that failed is tried again


class Feed:
    """One stage's file, and how much of it the store has."""

    def __init__(self, path: Path) -> None:
        self.path, self.runs, self.at = path, Runs(), 0
        self.later = self.retry = 0.0  # when to look again while the stage lives, and after an error
        self.ended = self.refused = False
        self.meter = Meter(int(path.stem.rpartition("-")[2]))

    def pump(self) -> bool:
        """Write new events; returns whether there were any. Raises the store's errors."""
        alive, begun = locked(self.path), self.at
        if time.monotonic() < (max(self.later, self.retry) if alive else self.retry):
            return False
        with open(self.path, "rb") as file:
            file.seek(self.at)
            content = file.read()
        for line in content[: content.rfind(b"\n") + 1].splitlines(keepends=True):  # a stage may die in a line
            self.take(line)
            self.at += len(line)
        if not alive and not self.ended:  # it died without a word
            self.take(b'{"event": "end", "status": "KILLED"}')
        self.runs.flush()
        if alive and (readings := self.meter.read()):
            self.runs.system(readings, self.meter.count)
        self.later = time.monotonic() + GATHER
        return self.at > begun

    def take(self, line: bytes) -> None:
        """Send one event; one that a working store rejects costs an error line."""
        try:
            event = json.loads(line)
            self.runs.take(event)
            self.ended = event["event"] == "end"
        except json.JSONDecodeError:  # cut by a full disk
            return
        except Exception as error:
            if not self.runs.reachable():
                raise
            self.refused = True
            note(self.path, error)

    def remove(self) -> None:
        """Remove the file: everything is in the store."""
        shutil.rmtree(events.files(self.path), ignore_errors=True)
        self.path.unlink()


def locked(path: Path) -> bool:
    """Whether the stage that writes this file is alive."""
    with open(path, "rb") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def note(path: Path, error: Exception) -> None:
    """Leave an error line for the stages, without a password of the store's URI."""
    text = re.sub(r"//[^/@\s]*@", "//", (str(error).strip() or type(error).__name__).splitlines()[0])
    events.trouble(path.parent).write_text(text if len(text) < 160 else text[:150] + "...")
    print(time.strftime("%F %T"), path.name, text, flush=True)


def write(spool: Path, idle: float = IDLE) -> None:
    """Write all events, until none have arrived for `idle` seconds and every known stage has ended."""
    feeds: dict[Path, Feed] = {}
    news = time.monotonic()
    while time.monotonic() - news < idle:
        for path in sorted(spool.glob("*.jsonl")):
            feed = feeds.setdefault(path, Feed(path))
            try:
                fresh = feed.pump()
            except Exception as error:
                note(path, error)
                feed.retry = time.monotonic() + RETRY
                continue
            if fresh and not feed.refused:
                events.trouble(spool).unlink(missing_ok=True)
            if fresh or locked(path):
                news = time.monotonic()
            if feed.ended:
                feed.remove()
                del feeds[path]
        time.sleep(PAUSE)


def main() -> None:
    """Write until there is nothing left; exit at once, because MLflow's threads would wait."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.nice(10)  # stages come first
    os.chdir(repository.root())  # a temporary experiment's folder is deleted; relative stores mean the main checkout
    spool = store.spool()
    while (lock := events.hold(spool)) is not None:
        write(spool)
        lock.close()
        if events.trouble(spool).exists() or not any(spool.glob("*.jsonl")):  # a stage may have seen the lock held
            break
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
