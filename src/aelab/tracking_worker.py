"""The half of tracking that runs in a process of its own: reads a Recorder's messages on stdin, writes them to MLflow.

Its stdout answers with one short line per sign of progress and "failed <why>" for what could not be written; where the
stage no longer listens, the first failure is said on stderr. It ends with the message "end", or a few seconds after its
stage died without that word.
"""

from __future__ import annotations

import base64
import contextlib
import json
import math
import os
import queue
import re
import signal
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aelab.tracking import root, store
from aelab.tracking_facts import content_key, facts
from aelab.tracking_store import STARTING, connect

WRITING = 30.0  # the same for one write to a store on this machine, or one file; a server has to answer by itself
ORPHAN = 8.0  # seconds between the death of the stage and ours
LAST = 60.0  # seconds that a stage's last words may take once it is gone
LONGEST = 6000  # characters of a parameter that MLflow keeps

Values = dict[tuple[str, int], dict[int | None, float]]  # (metric, step) -> replicate -> value


class Line:
    """The two pipes to the stage, and a pulse that tells it whether we work or wait."""

    def __init__(self) -> None:
        self.inbox: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._replies, self._stderr = os.dup(1), os.dup(2)
        with open(os.devnull, "w") as void:
            os.dup2(void.fileno(), 1)  # MLflow prints links on stdout
            os.dup2(void.fileno(), 2)  # MLflow and alembic are chatty
        self._busy: dict[int, float] = {}  # thread -> until when its silence counts as work
        self._allowance = 0.0 if store().startswith("http") else WRITING  # a dead server must not look busy
        self._stage = os.getppid()
        self._ended = threading.Event()  # the stage has said its last word
        for loop in (self._listen, self._beat):
            threading.Thread(target=loop, daemon=True).start()

    @contextlib.contextmanager
    def busy(self, seconds: float) -> Iterator[None]:
        """Count what follows as progress, for so long at most."""
        thread = threading.get_ident()
        before = self._busy.get(thread, 0.0)
        self._busy[thread] = max(before, time.monotonic() + seconds)
        try:
            yield
        finally:
            self._busy[thread] = before

    def say(self, word: str) -> bool:
        """Send one line to the stage; whether it still listens."""
        try:
            os.write(self._replies, word.encode() + b"\n")
        except OSError:
            return False
        return True

    def attempt(self, action: Callable[..., None], *args: Any, **fields: Any) -> None:
        """The one place where trouble with the store ends: it is reported, and the next message has its chance."""
        try:
            with self.busy(self._allowance):
                action(*args, **fields)
        except Exception as error:
            self.failed(error)
        else:
            self.say("ok")

    def failed(self, error: Exception) -> None:
        """Tell the stage in one line, without a password from the store's URI."""
        text = re.sub(r"//[^/@\s]*@", "//", (str(error).strip() or type(error).__name__).splitlines()[0])
        text = text if len(text) < 160 else text[:150] + "..."
        if not self.say(f"failed {text}") and self._stderr is not None:
            os.write(self._stderr, f"tracking: {text}; MLflow may lack the end of a run\n".encode())
            self._stderr = None

    def _listen(self) -> None:
        for line in sys.stdin.buffer:
            if line.endswith(b"\n"):  # a stage may die in the middle of one
                message = json.loads(line)
                if message["kind"] == "end":
                    self._ended.set()
                self.inbox.put(message)
        self._orphaned()

    def _beat(self) -> None:
        """Processes forked by the stage may keep our stdin open after its death, so watch the parent too."""
        while True:
            time.sleep(0.5)
            if time.monotonic() < max(list(self._busy.values()), default=0.0):
                self.say(".")
            if os.getppid() != self._stage:
                self._ended.wait(1)  # its last words may still lie in the pipe
                self._orphaned()

    def _orphaned(self) -> None:
        if self._ended.is_set():
            time.sleep(LAST)
            os._exit(1)
        self.inbox.put({"kind": "end", "args": ["KILLED"], "at": int(time.time() * 1000), "error": None})
        time.sleep(ORPHAN)
        os._exit(1)


class Writer:
    """Everything known of one stage's runs. Each public method is a message of the Recorder."""

    def __init__(self, line: Line, begin: dict[str, Any], folder: Path) -> None:
        self.experiment, self.name = begin["experiment"], begin["name"]
        self.started, self.line = begin["at"], line
        self.every = {key: cut(value) for key, value in (facts(folder) | begin["tags"]).items()}  # tags of every run
        self.client: Any = None
        self.experiment_id = ""
        self.runs: dict[int | None, str] = {}  # replicate (None: the item) -> run id
        self.values: Values = defaultdict(dict)
        self.unsent: dict[int | None, list[Any]] = defaultdict(list)  # stays here until the store took it

    def begin(self) -> None:
        """Make the item's run, so that it can be seen from the start."""
        self.run()

    def run(self, replicate: int | None = None) -> str:
        """The id of a run, created when first asked for."""
        if replicate not in self.runs:
            if self.client is None:
                self.client, self.experiment_id = connect(self.experiment, self.line.busy(STARTING))
            name, tags = self.name, self.every
            if replicate is not None:
                name = f"{name} #{replicate}"
                tags = tags | {"replicate": str(replicate), "mlflow.parentRunId": self.run()}
            run = self.client.create_run(self.experiment_id, self.started, tags, name)
            self.runs[replicate] = run.info.run_id
        return self.runs[replicate]

    def params(self, values: dict[str, str], at: int) -> None:
        from mlflow.entities import Param

        params = [Param(re.sub(r"[^\w\-. :/]", "_", key), cut(value)) for key, value in values.items()]
        self.client.log_batch(self.run(), params=params)

    def metrics(self, values: dict[str, float], at: int, step: int, replicate: int | None) -> None:
        """Keep numbers for the next flush: one write for many costs what one for one does."""
        from mlflow.entities import Metric

        for name, value in values.items():
            self.values[name, step][replicate] = value
            self.unsent[replicate].append(Metric(name, value, at, step))

    def flush(self) -> None:
        """Write the numbers kept so far."""
        for replicate in list(self.unsent):
            run = self.run(replicate)
            self.client.log_batch(run, metrics=self.unsent[replicate])
            del self.unsent[replicate]

    def image(self, name: str, at: int, shape: list[int], data: str, step: int, replicate: int | None) -> None:
        import numpy as np

        pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(shape)
        run = self.run(replicate)
        with self.line.busy(WRITING):
            self.client.log_image(run, pixels, key=name, step=step, timestamp=at, synchronous=True)

    def dataset(self, name: str, at: int, digest: str, source: str, context: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind = "http" if source.startswith("http") else "local"
        data = Dataset(name, digest, kind, json.dumps({"url" if kind == "http" else "uri": source}))
        run = self.run()
        self.client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", context)])])

    def artifact(self, path: str, at: int, folder: str | None) -> None:
        run = self.run()
        with self.line.busy(WRITING):
            log = self.client.log_artifacts if os.path.isdir(path) else self.client.log_artifact
            log(run, path, folder)

    def tags(self, values: dict[str, str], at: int) -> None:
        from mlflow.entities import RunTag

        values = {key: cut(value) for key, value in values.items()}
        self.every |= values
        for run in self.runs.values():
            self.client.log_batch(run, tags=[RunTag(*pair) for pair in values.items()])

    def means(self, at: int) -> None:
        """Mean and sample standard deviation over replicates, for the item's run where it logged no value itself."""
        from mlflow.entities import Metric

        for (name, step), by_replicate in self.values.items():
            if None in by_replicate:
                continue
            numbers, count = by_replicate.values(), len(by_replicate)
            mean = sum(numbers) / count  # not the module statistics: it raises on NaN
            self.unsent[None].append(Metric(name, mean, at, step))
            if count > 1:
                spread = math.sqrt(sum((number - mean) ** 2 for number in numbers) / (count - 1))
                self.unsent[None].append(Metric(f"spread/{name}", spread, at, step))

    def end(self, status: str, at: int) -> None:
        """Close all runs."""
        for run in self.runs.values():
            self.client.set_terminated(run, status, at)


def cut(text: str) -> str:
    """At most as long as MLflow keeps, and visibly cut where it is longer."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 50]} ... [cut: {len(text)} characters]"


def work(line: Line, folder: Path) -> None:
    """Write what the Recorder sends until it says "end"; `folder` is the stage's working folder."""
    begin = line.inbox.get()
    if begin["kind"] == "end":  # the stage died at once
        return
    last: dict[str, str] = {}  # tags set at the end
    seeker = threading.Thread(target=line.attempt, args=(find_key, folder, last), daemon=True)
    seeker.start()
    with line.busy(STARTING):
        import mlflow  # noqa: F401  (the slow part, done while the stage trains)

        writer = Writer(line, begin, folder)
    line.attempt(writer.begin)
    while (message := line.inbox.get())["kind"] != "end":
        line.attempt(getattr(writer, message.pop("kind")), *message.pop("args"), **message)
        if line.inbox.empty():
            line.attempt(writer.flush)
    [status], at = message["args"], message["at"]
    if status != "KILLED":
        with line.busy(WRITING):
            seeker.join(WRITING)
    if message["error"]:
        last["error"] = message["error"]
    line.attempt(writer.means, at)
    line.attempt(writer.flush)
    line.attempt(writer.tags, last, at)
    line.attempt(writer.end, status, at)


def find_key(folder: Path, tags: dict[str, str]) -> None:
    """Add the content key, where there is one, to `tags`."""
    if key := content_key(folder):
        tags["content_key"] = key


def main() -> None:
    """Serve one Recorder; leaves at once, since MLflow's threads would wait at exit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = Path.cwd()
    os.chdir(root())  # DVC deletes the folder of a temporary experiment; relative stores mean the main checkout
    line = Line()
    try:
        work(line, folder)
    except Exception as error:
        line.failed(error)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main()
