"""What a stage logs.

    with Recorder(experiment="mnist5k", stage="train", item="vae") as recorder:
        recorder.params({"train": settings})
        recorder.metrics({"validation/total": 104.2}, step=3, replicate=0)

Every call is an event, a line in a file (see tracking/events.py) from which another process writes the MLflow store. So
a stage never waits for the store, and what the store did not take stays there until it does. It fails soft: whatever
happens costs one line on stderr, never a training. Wrong arguments are the caller's mistake and raise.

Runs: one per (stage, item), named "train vae", with a child "train vae #0" per replicate. The item's run carries all
parameters (nested ones joined with dots), the mean over replicates of each (metric, step) and, from two on, their
sample standard deviation as "variation/spread/<metric>" and half of the mean's 95% interval as
"variation/interval/<metric>" (named so that the UI shows these charts after the metrics themselves).

Environment: MLFLOW_TRACKING_URI names another store than <main checkout>/mlflow.db (relative paths are taken from the
main checkout); AELAB_TRACKING=off makes the Recorder do nothing; AELAB_ECHO names a folder where <stage>.jsonl (DVC's
name) gets the metrics too, as they come; AELAB_PARENT_RUN names the run below which all runs are made.
"""

from __future__ import annotations

import base64
import json
import os
import re
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from aelab.runner import repository
from aelab.tracking import events, facts

if TYPE_CHECKING:
    import numpy as np

    from aelab.runner.stage import Job

NAME = re.compile(r"[\w\-. :/]+")  # what MLflow allows in the name of a metric
CUT_SHORT = (SystemExit, KeyboardInterrupt, MemoryError, ChildProcessError)  # the last: a seed was killed


def track(job: Job, experiment: str) -> Recorder:
    """The MLflow run of a stage in `experiment`, the name of the data set; a study is an experiment of its own.

    Open it first: the writer process takes seconds to start, while the stage imports its libraries. It may still be
    writing when the stage has ended. The stage's results hold everything logged, as tracked.jsonl.
    """
    experiment = repository.study(Path.cwd()) or experiment
    return Recorder(experiment, job.stage, job.name or None, keep=job.out / events.FILE)


class Recorder:
    """One tracked run of a stage; a context manager. Several threads may log metrics.

    experiment: the data set's name; stage, item: who runs (item may be None or "" for a stage that has none);
    tags: set on every run, and stronger than those tracking finds itself; keep: the file of events to leave at the end,
    unless an exception passes.
    Leaving the `with` marks the runs FINISHED, or FAILED with a tag "error" where an exception passes; where the stage
    dies without a word, or was cut short (see CUT_SHORT), they are KILLED. Raises ValueError for an unknown
    AELAB_TRACKING.
    """

    def __init__(
        self,
        experiment: str,
        stage: str,
        item: str | None = None,
        tags: Mapping[str, str] | None = None,
        keep: Path | None = None,
    ) -> None:
        switch = os.environ.get("AELAB_TRACKING", "on")
        if switch not in ("on", "off"):
            raise ValueError(f"AELAB_TRACKING: {switch!r} is unknown; allowed: on, off")
        self._outbox: events.Outbox | None = None
        self._events: list[events.Event] = []
        self._warned, self._keep, self._echo = False, keep, open_echo()
        if switch == "on":
            try:
                self._outbox = events.Outbox()
            except OSError as error:
                self._warn(str(error))
        found: dict[str, Any] = {}
        if self._outbox:
            found = facts.found() | {"command": shlex.join(sys.argv), "mlflow.source.name": sys.argv[0]}
            found |= {"spool": self._outbox.path.stem, **(tags or {})}
            found = {"tags": found, "folder": os.getcwd(), "dvc_stage": os.environ.get("DVC_STAGE", "")}
        self._log("begin", found, experiment=experiment, stage=stage, item=item or "")
        if self._outbox:
            events.start_writer()

    def params(self, values: Mapping[str, Any]) -> None:
        """Log nested parameters on the item's run, flattened with dots; dataclasses count as mappings."""
        plain = {key: _plain(item) for key, item in values.items()}
        self._log("params", values=flatten(plain))

    def metrics(self, values: Mapping[str, float], step: int = 0, replicate: int | None = None) -> None:
        """Log numbers at a step, of one replicate (from 0) or, with None, of the item. A bad name raises ValueError."""
        for name in values:
            if not NAME.fullmatch(name):
                raise ValueError(f"metric {name!r}: allowed are letters, digits, _ - . : / and space")
        plain = {name: float(value) for name, value in values.items()}
        self._log("metrics", values=plain, step=int(step), replicate=replicate)
        if self._echo is not None:
            line = json.dumps({"values": plain, "step": int(step), "replicate": replicate})
            os.write(self._echo, line.encode() + b"\n")

    def image(self, name: str, pixels: np.ndarray, step: int = 0, replicate: int | None = None) -> None:
        """Log a picture, uint8 [H, W] or [H, W, 1 | 3 | 4], 0 black and 255 white. Others raise ValueError."""
        if str(pixels.dtype) != "uint8" or pixels.ndim not in (2, 3) or pixels.shape[2:] not in ((), (1,), (3,), (4,)):
            raise ValueError(f"image {name!r}: {pixels.dtype} {pixels.shape}; allowed: uint8 [H, W] or [H, W, 1|3|4]")
        data = base64.b64encode(pixels.tobytes()).decode()
        self._log("image", name=name, shape=pixels.shape, data=data, step=int(step), replicate=replicate)

    def dataset(self, name: str, digest: str, source: str, context: str) -> None:
        """Name the data used: where it came from, what for ("train"). A digest over 36 characters raises ValueError."""
        if not 0 < len(digest) <= 36:
            raise ValueError(f"dataset {name!r}: digest {digest!r} has {len(digest)} characters; allowed: 1 to 36")
        self._log("dataset", name=name, digest=digest, source=source, context=context)

    def model(
        self,
        about: Mapping[str, Any],
        numbers: Mapping[str, Sequence[float]],
        task: str = "",
        why: str = "",
        aliases: Sequence[str] = ("champion",),
    ) -> None:
        """Log a trained model: `about` says how to build it and where its weights lie (see predictor.of), `numbers` how
        good each seed of it is. With a task it also becomes the registry's model of that task, under
        these aliases; why says by what it was chosen."""
        self._log("model", about=dict(about), numbers=dict(numbers), task=task, why=why, aliases=list(aliases))

    def headlines(self, values: Mapping[str, float]) -> None:
        """The few numbers by which states of the pipeline are compared: they go to the state's own run."""
        self._log("headlines", values={name: float(value) for name, value in values.items()})

    def table(self, name: str, columns: Mapping[str, Sequence[Any]]) -> None:
        """Log a table, column by column, that the UI shows and compares; `name` ends in .json."""
        self._log("table", name=name, columns={key: list(values) for key, values in columns.items()})

    def artifact(self, path: str | Path, folder: str | None = None) -> None:
        """Log a file, or what a folder holds, as it is now, into `folder` of the item's artifacts. Raises
        FileNotFoundError."""
        os.stat(path)
        copied = {}
        if self._outbox:
            try:
                copied = {"path": self._outbox.copy(Path(path))}
            except OSError as error:
                self._warn(str(error))
        beside = os.path.relpath(path, self._keep.parent) if self._keep else str(path)
        self._log("artifact", copied, path=beside, folder=folder)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags on the item's run and all its replicates."""
        self._log("tags", values={key: str(value) for key, value in values.items()})

    def close(self, error: BaseException | None = None) -> None:
        """Mark the runs FINISHED, or FAILED with `error`. Never raises for the store, but OSError where `keep` cannot
        be written."""
        if self._keep and not error:
            self._keep.write_bytes(events.record(self._events))
        if self._echo is not None:
            os.close(self._echo)
            self._echo = None
        if self._outbox is None:
            return
        status = "KILLED" if isinstance(error, CUT_SHORT) else "FAILED" if error else "FINISHED"
        first_line = f"{type(error).__name__}: {error}".splitlines()[0] if status == "FAILED" else None
        self._log("end", status=status, error=first_line)
        box, self._outbox = self._outbox, None  # whoever logs from now on is not heard
        if trouble := box.close():
            self._warn(trouble)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> None:
        self.close(error)

    def _log(self, event: str, here: Mapping[str, Any] | None = None, /, **fields: Any) -> None:
        """Keep an event, and send it; here: fields that are true of this run of the stage only."""
        fields = {"event": event, **fields}
        self._events.append(fields)
        if self._outbox is None:
            return
        try:
            self._outbox.send(fields | dict(here or {}))
        except OSError as error:
            self._warn(str(error))

    def _warn(self, problem: str) -> None:
        if not self._warned:
            self._warned = True
            text = f"tracking: {problem}; training goes on, MLflow may lack parts of this run"
            print(text, file=sys.stderr, flush=True)


def open_echo() -> int | None:
    """The file that gets every metric (see AELAB_ECHO)."""
    folder, stage = os.environ.get("AELAB_ECHO"), os.environ.get("DVC_STAGE")
    if not (folder and stage):
        return None
    return os.open(Path(folder) / f"{stage}.jsonl", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)


def _plain(item: Any) -> Any:
    """A dataclass as a mapping, as it says itself how it is recorded; anything else as it is."""
    if hasattr(item, "recorded"):
        return item.recorded()
    return asdict(item) if is_dataclass(item) else item  # type: ignore[arg-type]


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
