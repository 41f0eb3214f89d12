"""The events of a stage: what it logs, one line of JSON each.

    {"event": "begin", "experiment": "mnist5k", "stage": "train", "item": "vae", ...}
    {"event": "metrics", "step": 3, "replicate": 0, "values": {"validation/total": 104.2}, ...}

While the stage runs, they are appended to a file in the spool folder (see store.spool), each with its time `at`; the
writer process sends them to the MLflow store and removes the file, which stays until the store has everything, even if
either process dies. Among its results the stage leaves them as tracked.jsonl, without times and whatever else differs
from run to run, so that the file depends on the results only. Both are read by the same code (see tracking/runs.py).
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from aelab.tracking import store

FILE = "tracked.jsonl"
CLOCK = ("seconds_per_epoch", "images_per_second")  # ends of the names of metrics that differ from run to run
WORD = re.compile(r"(\w[\w.-]*)?")  # experiments, stages and items: folders are called so

Event = dict[str, Any]


class Outbox:
    """The event file of a running stage. Raises OSError if the spool is not writable."""

    def __init__(self) -> None:
        self.path = store.spool() / f"{time.time_ns()}-{os.getpid()}.jsonl"
        # what the disk did not take yet; metrics of seeds come from threads
        self.left, self.turn, self.copies = b"", threading.Lock(), 0
        self.path.parent.mkdir(parents=True, exist_ok=True)
        draft = self.path.with_suffix(".new")
        self.file = os.open(draft, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o644)
        fcntl.lockf(self.file, fcntl.LOCK_EX)  # until this process ends; its forks do not have it
        draft.rename(self.path)  # only now: the writer takes an unlocked file for that of a dead stage

    def send(self, event: Event) -> None:
        """Append one line. Raises OSError, e.g. for a full disk; the rest of the line is written before the next
        one."""
        with self.turn:
            self.left += json.dumps(event | {"at": now()}).encode() + b"\n"
            while self.left:
                self.left = self.left[os.write(self.file, self.left) :]

    def copy(self, path: Path) -> str:
        """Copy a file or folder to where the writer finds it when the stage has moved on; returns the path."""
        self.copies += 1
        place = files(self.path) / str(self.copies) / path.name
        place.parent.mkdir(parents=True)
        (shutil.copytree if path.is_dir() else shutil.copy)(path, place)
        return str(place)

    def close(self) -> str:
        """End of the events; returns the store's last error, or ""."""
        os.close(self.file)
        with contextlib.suppress(OSError):
            return trouble(self.path.parent).read_text()
        return ""


def files(path: Path) -> Path:
    """The folder with the artifacts of an event file."""
    return path.with_suffix(".files")


def trouble(spool: Path) -> Path:
    """The file with the store's last error; there is none while the store accepts everything."""
    return spool / "writer.error"


def start_writer() -> None:
    """Make sure that a writer process runs; if several start, all but one exit at once."""
    if (lock := hold(store.spool())) is None:
        return
    lock.close()
    environment = store.TIMEOUTS | {k: v for k, v in os.environ.items() if k != "MLFLOW_RUN_ID"}  # or it is resumed
    with open(store.spool() / "writer.log", "ab") as log:
        subprocess.Popen(
            [sys.executable, "-P", "-m", "aelab.tracking.writer"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,  # it outlives the stage, and does not get Ctrl-C
        )


def hold(spool: Path) -> TextIO | None:
    """The lock of the spool's writer; None if another process holds it."""
    lock = open(spool / "writer.lock", "a")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        return None
    return lock


def record(events: Iterable[Event]) -> bytes:
    """The content of tracked.jsonl: no clock, no trace of the order in which seeds logged."""
    curves: dict[tuple[int, int], dict[str, float]] = {}
    lines = []
    for event in events:
        if event["event"] == "metrics":
            replicate = -1 if event["replicate"] is None else event["replicate"]
            values = {name: value for name, value in event["values"].items() if not name.endswith(CLOCK)}
            curves.setdefault((replicate, event["step"]), {}).update(values)
        else:
            lines.append(event)
    for (replicate, step), values in sorted(curves.items()):
        about = {"step": step, "replicate": replicate if replicate >= 0 else None}
        lines += [{"event": "metrics", **about, "values": values}] * bool(values)
    return b"".join(json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n" for line in lines)


def recorded(name: str, content: bytes) -> list[Event]:
    """The events of a tracked.jsonl. Raises ValueError, with its name, for another file, and for one that names paths
    outside its folder and the store."""
    try:
        events = [json.loads(line) for line in content.splitlines()]
        begin = events[0]
        words = [begin["experiment"], begin["stage"], begin["item"]]
        inside = [event[key] or "." for event in events for key in ("name", "path", "folder") if key in event]
        if begin["event"] == "begin" and all(map(WORD.fullmatch, words)) and not any(map(outside, inside)):
            return events
    except (ValueError, TypeError, KeyError, IndexError):
        pass
    raise ValueError(f"{name}: not the events of a stage; `dvc repro` makes it again")


def outside(path: str) -> bool:
    """Whether a path leads out of the folder that it is relative to."""
    return Path(path).is_absolute() or ".." in Path(path).parts


def run_name(begin: Mapping[str, Any]) -> str:
    """The name of the MLflow run of a stage, by its first event."""
    return f"{begin['stage']} {begin['item']}".strip()


def now() -> int:
    """MLflow's time, in ms."""
    return int(time.time() * 1000)
