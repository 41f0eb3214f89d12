"""What a stage tells MLflow, and the process that writes it down. The only file that talks to the MLflow store.

    with tracking.Recorder(experiment="mnist5k", stage="train", item="vae") as recorder:
        recorder.params({"train": settings})
        recorder.metrics({"validation/total": 104.2}, step=3, replicate=0)

The Recorder starts `python -m aelab.tracking_worker` and hands it JSON lines through a pipe, so that the seconds MLflow
needs pass while the stage trains and while the next one starts. It fails soft: whatever happens to the store costs one
line on stderr and at most about ten seconds at the end, never a training. Wrong arguments are the caller's mistake and
raise.

Runs: one per (stage, item), named "train vae", with a child "train vae #0" per replicate. The item's run carries all
parameters (nested ones joined with dots), the mean over replicates of each (metric, step) and, from two on, their
sample standard deviation as "spread/<metric>".

Environment: MLFLOW_TRACKING_URI names another store than <main checkout>/mlflow.db (relative paths are taken from the
main checkout); AELAB_TRACKING=off makes the Recorder do nothing.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    import numpy as np

PATIENCE = 5.0  # seconds without a sign of progress, at close, after which the store counts as dead
LONGEST_CLOSE = 120.0  # seconds that even a slow, living store may take
NAME = re.compile(r"[\w\-. :/]+")  # what MLflow allows in the name of a metric
DEFAULTS = {  # MLflow's own would wait 246 s for a server that is not there
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}


class Recorder:
    """One tracked run of a stage; a context manager, used by one thread.

    experiment: the data set's name; stage, item: who runs (item may be None or "" for a stage that has none);
    tags: set on every run, and stronger than those tracking finds itself; wait: whether leaving waits until all is
    written, or only until it is handed over (the writer then ends by itself, after a minute at most).
    Leaving the `with` marks the runs FINISHED, or FAILED with a tag "error" where an exception passes; where the stage
    dies without a word they are KILLED. Raises ValueError for an unknown AELAB_TRACKING.
    """

    def __init__(
        self,
        experiment: str,
        stage: str,
        item: str | None = None,
        tags: Mapping[str, str] | None = None,
        wait: bool = True,
    ) -> None:
        switch = os.environ.get("AELAB_TRACKING", "on")
        if switch not in ("on", "off"):
            raise ValueError(f"AELAB_TRACKING: {switch!r} is unknown; allowed: on, off")
        self._outbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._process: subprocess.Popen[bytes] | None = None
        self._heard, self._warned, self._wait = 0.0, False, wait
        if switch == "off":
            return
        environment = DEFAULTS | {k: v for k, v in os.environ.items() if k != "MLFLOW_RUN_ID"}  # it would be resumed
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "aelab.tracking_worker"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env=environment,
                start_new_session=True,  # Ctrl-C in the terminal must not reach it before the runs are closed
            )
        except OSError as error:
            self._warn(str(error))
            return
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        self._writer = threading.Thread(target=self._write, args=(self._process,), daemon=True)
        self._writer.start()
        facts = {"stage": stage, **({"item": item} if item else {}), "command": shlex.join(sys.argv)}
        self._send(
            "begin",
            experiment=experiment,
            name=f"{stage} {item}" if item else stage,
            tags=facts | {"mlflow.source.name": sys.argv[0]} | {k: str(v) for k, v in (tags or {}).items()},
        )

    def params(self, values: Mapping[str, Any]) -> None:
        """Log nested parameters on the item's run, flattened with dots; dataclasses count as mappings."""
        plain = {key: asdict(each) if is_dataclass(each) else each for key, each in values.items()}  # type: ignore[arg-type]
        self._send("params", flatten(plain))

    def metrics(self, values: Mapping[str, float], step: int = 0, replicate: int | None = None) -> None:
        """Log numbers at a step, of one replicate (from 0) or, with None, of the item. A bad name raises ValueError."""
        for name in values:
            if not NAME.fullmatch(name):
                raise ValueError(f"metric {name!r}: allowed are letters, digits, _ - . : / and space")
        self._send("metrics", {k: float(v) for k, v in values.items()}, step=int(step), replicate=replicate)

    def image(self, name: str, pixels: np.ndarray, step: int = 0, replicate: int | None = None) -> None:
        """Log a picture, uint8 [H, W] or [H, W, 1 | 3 | 4], 0 black and 255 white. Others raise ValueError."""
        if str(pixels.dtype) != "uint8" or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,), (4,)):
            raise ValueError(f"image {name!r}: {pixels.dtype} {pixels.shape}; allowed: uint8 [H, W] or [H, W, 1|3|4]")
        data = base64.b64encode(pixels.tobytes()).decode()
        self._send("image", name, shape=pixels.shape, data=data, step=int(step), replicate=replicate)

    def dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Name the data used: where it came from, what for ("train"). A digest over 36 characters raises ValueError."""
        if not 0 < len(digest) <= 36:
            raise ValueError(f"dataset {name!r}: digest {digest!r} has {len(digest)} characters; allowed: 1 to 36")
        self._send("dataset", name, digest=digest, source=source, context=context)

    def artifact(self, path: str | Path, folder: str | None = None) -> None:
        """Copy a file, or what a folder holds, into `folder` of the item's artifacts, some time before close returns.

        So close waits. Raises FileNotFoundError.
        """
        os.stat(path)
        self._wait = True
        self._send("artifact", os.path.abspath(path), folder=folder)  # the worker's working folder is another one

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags on the item's run and all its replicates."""
        self._send("tags", {key: str(value) for key, value in values.items()})

    def close(self, error: BaseException | None = None) -> None:
        """Mark the runs FINISHED, or FAILED with `error`, and wait (see the class). Never raises for the store."""
        if self._process is None:
            return
        process, began = self._process, time.monotonic()
        first_line = f"{type(error).__name__}: {error}".splitlines()[0] if error else None
        self._send("end", "FAILED" if error else "FINISHED", error=first_line)
        self._outbox.put(None)
        self._process, self._heard = None, began
        if not self._wait:
            self._writer.join(PATIENCE)
            if self._writer.is_alive():
                self._warn("the process that writes does not listen")
                process.kill()
            return
        while (
            self._reader.is_alive()
            and (left := min(self._heard + PATIENCE, began + LONGEST_CLOSE) - time.monotonic()) > 0
        ):
            self._reader.join(left)
        if self._reader.is_alive():
            self._warn("the store does not answer")
            process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            if process.wait(timeout=2) != 0:
                self._warn(f"the process that writes ended with code {process.returncode}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.close(error)

    def _send(self, kind: str, /, *args: Any, **fields: Any) -> None:
        if self._process is not None:
            line = json.dumps({"kind": kind, "args": args, "at": int(time.time() * 1000), **fields})
            self._outbox.put(line.encode() + b"\n")

    def _write(self, process: subprocess.Popen[bytes]) -> None:
        """A thread, since a full pipe would stall the training."""
        assert process.stdin is not None
        with contextlib.suppress(OSError), process.stdin:  # a dead worker shows at close
            while (line := self._outbox.get()) is not None:
                while line:
                    line = line[os.write(process.stdin.fileno(), line) :]

    def _read(self, process: subprocess.Popen[bytes]) -> None:
        """A thread: each line from the worker is a sign of progress, or the word "failed" and why."""
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith(b"failed "):
                self._warn(line.decode(errors="replace").strip().removeprefix("failed "))
            else:
                self._heard = time.monotonic()

    def _warn(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            print(
                f"tracking: {problem}; training goes on, MLflow may lack parts of this run",
                file=sys.stderr,
                flush=True,
            )


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """{"train": {"lr": 0.1}} -> {"train.lr": "0.1"}; lists become JSON, and so does what has no keys."""
    flat: dict[str, str] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            text = json.dumps(value, default=str) if isinstance(value, Mapping | list | tuple) else str(value)
            flat[f"{prefix}{key}"] = text
    return flat


def root() -> Path:
    """The project's main checkout, also for an experiment that DVC runs in a temporary folder.

    DVC sets DVC_ROOT to it in every stage; elsewhere it is git's top level, or the working folder where git knows none.
    """
    top = os.environ.get("DVC_ROOT") or git("rev-parse", "--show-toplevel")
    return Path(top or os.getcwd()).resolve()


def store() -> str:
    """The URI of the MLflow store: MLFLOW_TRACKING_URI, or mlflow.db in the main checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def git(*command: str) -> str | None:
    """What git prints, stripped; None where there is no git or no repository. Takes no lock of git's."""
    try:
        return subprocess.run(
            ["git", "--no-optional-locks", *command], capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
