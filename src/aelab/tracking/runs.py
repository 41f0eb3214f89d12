"""The MLflow runs of one stage, from its events: of the running stage (writer.py) or of its result (sync.py)."""

from __future__ import annotations

import base64
import json
import math
import os
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aelab.tracking import events, facts, models, state, store

LONGEST = 6000  # characters of a parameter that MLflow keeps
EVENTS = ("begin", "params", "metrics", "image", "dataset", "artifact", "table", "model", "headlines", "tags", "end")


class Runs:
    """The runs of one stage: an item, and a child per replicate.

    A stage that runs again with the same inputs, because it was killed or its result was lost, replaces its earlier
    run when it ends.
    """

    def __init__(self) -> None:
        self.client: Any = None
        self.name = self.experiment_id = ""
        self.parent: str | None = None  # the run of the pipeline's state, or of a sweep's trial
        self.ids: dict[int | None, str] = {}  # replicate (None: the item) -> run id
        self.every: dict[str, str] = {}  # tags of every run
        self.model_id: str | None = None  # the model that the metrics of the item are about
        # (metric, step) -> replicate -> value; and what waits until the store takes it
        self.values: dict[tuple[str, int], dict[int | None, float]] = defaultdict(dict)
        self.unsent: dict[int | None, list[Any]] = defaultdict(list)

    def take(self, event: Mapping[str, Any]) -> None:
        """Write one event. Raises the store's errors, and ValueError for an unknown event."""
        fields = {"at": events.now(), **event}
        if (name := fields.pop("event")) not in EVENTS:
            raise ValueError(f"event {name!r} is unknown; allowed: {', '.join(EVENTS)}")
        if name != "metrics":
            self.flush()
        getattr(self, name)(**fields)

    def begin(
        self, at: int, experiment: str, stage: str, item: str, tags: dict[str, str], folder: str, dvc_stage: str
    ) -> None:
        """Begin the runs of a stage that runs in `folder`."""
        trial, found = tags.get(state.PARENT), None
        try:  # first of all: the folder of an experiment is deleted soon
            key, inputs = facts.lineage(Path(folder), dvc_stage)
            tags = tags | {"content_key": key or "", "inputs": json.dumps(inputs) if inputs else ""}
            found = None if trial else state.of_folder(Path(folder), tags.get("dvc_experiment", ""))
        except Exception as error:  # an error of DVC costs the key, not the run
            print(f"{stage} {item}: no content key ({error})", flush=True)
        self.open(at, experiment, stage, item, tags | {"dvc_stage": dvc_stage}, found or trial)

    def open(
        self, at: int, experiment: str, stage: str, item: str, tags: dict[str, str], parent: state.State | str | None
    ) -> None:
        """Create the item's run, so that it is visible from the start, below a state or the run `parent`."""
        made = tags.get("dvc_stage", "").removeprefix("dvc.yaml:")
        tags = {
            "stage": stage,
            "item": item,
            "mlflow.note.content": f"Made by `aelab repro {made}`." * bool(made),
        } | tags
        self.every = {key: cut(value) for key, value in tags.items() if value}
        self.name, self.started = f"{stage} {item}".strip(), at
        self.client, self.experiment_id = store.connect(experiment)
        if isinstance(parent, state.State):
            parent = state.run(self.client, self.experiment_id, parent, at)
        self.parent = parent
        if "spool" in tags:  # of a writer that died
            for run in self.same("spool"):
                models.delete_run(self.client, run)
        self.run()

    def same(self, tag: str) -> list[Any]:
        """The items' runs of this name with the same tag."""
        where = f"attributes.run_name = '{self.name}' and tags.`{tag}` = '{self.every.get(tag, '')}'"
        return self.client.search_runs([self.experiment_id], where) if self.every.get(tag) else []

    def replaced(self) -> list[Any]:
        """The runs in whose place this one is: with the same inputs, or of the same trial of a sweep.

        Asked late: a killed stage's run may still be written when the next one begins, or even when the trial's folder
        is gone, without which nothing is known of its inputs.
        """
        found = {run.info.run_id: run for tag in ("content_key", state.PARENT) for run in self.same(tag)}
        return [
            run
            for run in found.values()
            if run.info.run_id != self.run()
            and (
                run.info.status == "KILLED"
                or (run.info.status == "FINISHED" and run.data.tags.get(state.PARENT) == self.parent)
            )
        ]

    def run(self, replicate: int | None = None) -> str:
        """The id of a run, created on first use."""
        if replicate not in self.ids:
            name, tags = self.name, self.every | ({state.PARENT: self.parent} if self.parent else {})
            if replicate is not None:
                name = f"{name} #{replicate}"
                tags = tags | {"replicate": str(replicate), state.PARENT: self.run()}
            run = self.client.create_run(self.experiment_id, self.started, tags, name)
            self.ids[replicate] = run.info.run_id
        return self.ids[replicate]

    def params(self, at: int, values: dict[str, str]) -> None:
        from mlflow.entities import Param

        params = [Param(re.sub(r"[^\w\-. :/]", "_", key), cut(value)) for key, value in values.items()]
        self.client.log_batch(self.run(), params=params)

    def metrics(self, at: int, values: dict[str, float], step: int, replicate: int | None) -> None:
        """Keep values for the next flush: one write for many takes as long as one for one."""
        from mlflow.entities import Metric

        for name, value in values.items():
            self.values[name, step][replicate] = value
            self.unsent[replicate].append(Metric(name, value, at, step))

    def flush(self) -> None:
        """Write the pending values."""
        for replicate in list(self.unsent):
            self.client.log_batch(self.run(replicate), metrics=self.unsent[replicate])
            del self.unsent[replicate]

    def system(self, readings: dict[str, float], step: int) -> None:
        """Log CPU and memory of the stage; not sent by the stage, so not in its record."""
        from mlflow.entities import Metric

        now = events.now()
        self.client.log_batch(self.run(), metrics=[Metric(name, value, now, step) for name, value in readings.items()])

    def image(self, at: int, name: str, shape: list[int], data: str, step: int, replicate: int | None) -> None:
        import numpy as np

        pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(shape)
        self.client.log_image(self.run(replicate), pixels, key=name, step=step, timestamp=at, synchronous=True)

    def dataset(self, at: int, name: str, digest: str, source: str, context: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind = "http" if source.startswith("http") else "local"
        data = Dataset(name, digest, kind, json.dumps({"url" if kind == "http" else "uri": source}))
        self.client.log_inputs(self.run(), [DatasetInput(data, [InputTag("mlflow.data.context", context)])])

    def artifact(self, at: int, path: str, folder: str | None) -> None:
        log = self.client.log_artifacts if os.path.isdir(path) else self.client.log_artifact
        log(self.run(), path, folder)

    def table(self, at: int, name: str, columns: dict[str, list[Any]]) -> None:
        import pandas as pd

        self.client.log_table(self.run(), pd.DataFrame(columns), name)

    def model(
        self,
        at: int,
        about: dict[str, Any],
        numbers: dict[str, list[float]],
        task: str,
        why: str,
        aliases: Sequence[str],
    ) -> None:
        """Log a model; its test metrics also go to the run that trained it, the best of a task to the registry."""
        card = models.Card(about, numbers, task, why, tuple(aliases))
        self.model_id = models.log(self.client, self.experiment_id, self.run(), card)
        if task:
            models.register(self.client, self.model_id, self.run(), card, [run.info.run_id for run in self.replaced()])
        else:
            models.measured(self.client, self.experiment_id, card, at)

    def headlines(self, at: int, values: dict[str, float]) -> None:
        """Log the headline metrics on the state's run."""
        if self.parent and self.client.get_run(self.parent).data.tags.get(state.KEY) != state.EARLIER.key:
            models.add(self.client, self.client.get_run(self.parent), values, at)

    def tags(self, at: int, values: dict[str, str]) -> None:
        from mlflow.entities import RunTag

        values = {key: cut(value) for key, value in values.items()}
        self.every |= values
        self.run()
        for run in self.ids.values():
            self.client.log_batch(run, tags=[RunTag(*pair) for pair in values.items()])

    def means(self, at: int) -> None:
        """Mean, sample standard deviation and half of the mean's 95% interval (Student's t) over replicates, on the
        item's run unless it logged a value itself."""
        from mlflow.entities import Metric
        from scipy.special import stdtrit

        for (name, step), by_replicate in self.values.items():
            if None in by_replicate:
                continue
            # sorted: seeds report in any order while they train, and a sum of floats depends on it
            numbers, count = sorted(by_replicate.values()), len(by_replicate)
            mean = sum(numbers) / count  # also of NaN, on which the module statistics raises
            self.unsent[None].append(Metric(name, mean, at, step, model_id=self.model_id))
            if count > 1:
                spread = math.sqrt(sum((number - mean) ** 2 for number in numbers) / (count - 1))
                self.unsent[None].append(Metric(f"variation/spread/{name}", spread, at, step))
                half = spread * float(stdtrit(count - 1, 0.975)) / math.sqrt(count)
                self.unsent[None].append(Metric(f"variation/interval/{name}", half, at, step))

    def end(self, at: int, status: str, error: str | None = None) -> None:
        """End all runs."""
        if status != "KILLED":  # whoever runs it again knows more
            self.means(at)
        self.flush()
        if error:
            self.tags(at, {"error": error})
        for run in self.ids.values():
            self.client.set_terminated(run, status, at)
        for earlier in self.replaced():
            if status == "FINISHED" or earlier.info.status == "KILLED":
                if earlier.data.tags.get("weights") == self.every.get("weights"):  # evaluated already
                    tested = {name: value for name, value in earlier.data.metrics.items() if name.startswith("test/")}
                    models.add(self.client, self.client.get_run(self.run()), tested, at)
                models.delete_run(self.client, earlier)
        if self.parent:
            state.settle(self.client, self.experiment_id, self.parent, at)

    def reachable(self) -> bool:
        """Whether the store answers."""
        try:
            self.client.get_experiment(self.experiment_id)
        except Exception:
            return False
        return True


def cut(text: str) -> str:
    """Text cut to the length that MLflow allows, with a mark."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 50]} ... [cut: {len(text)} characters]"
