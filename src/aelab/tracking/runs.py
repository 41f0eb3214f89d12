"""The MLflow runs of one stage, written event by event as its Recorder sent them."""

from __future__ import annotations

import base64
import json
import math
import os
import re
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aelab.tracking import facts, models, results, state, store, tree

LONGEST = 6000  # characters of a parameter that MLflow keeps

Values = dict[tuple[str, int], dict[int | None, float]]  # (metric, step) -> replicate -> value


class Runs:
    """The runs of one stage. Each public method is an event of the Recorder; any event may arrive twice."""

    def __init__(self) -> None:
        self.client: Any = None
        self.experiment = self.experiment_id = ""
        self.parent: str | None = None  # the run of the pipeline's state, or of a sweep's trial
        self.ids: dict[int | None, str] = {}  # replicate (None: the item) -> run id
        self.every: dict[str, str] = {}  # tags of every run
        self.values: Values = defaultdict(dict)
        self.had: set[tuple[str, int, int | None]] = set()  # metrics and images that a resumed run has from before
        self.files: set[str] = set()  # and its artifacts
        self.models: dict[tuple[str, str], str] = {}  # and its models: name, MD5 of the weights -> id
        self.model_id: str | None = None  # the model that the numbers of the item are about
        self.unsent: dict[int | None, list[Any]] = defaultdict(list)  # stays here until the store took it

    def begin(self, at: int, experiment: str, name: str, folder: str, stage: str, tags: dict[str, str]) -> None:
        """Create the item's run, so that it is visible from the start, or resume the existing one.

        Existing: of a writer that died, of a stage that was interrupted, or of a stage whose result DVC lost before it
        was recorded.
        """
        self.experiment, self.name, self.started = experiment, name, at
        self.every = {key: cut(value) for key, value in tags.items()}
        if stage:
            self.every["mlflow.note.content"] = tree.made_by(stage)
        trial, result = tags.get(tree.PARENT), None
        try:  # first of all: the folder of an experiment is deleted soon
            key, inputs = facts.lineage(Path(folder), stage)
            self.every |= {"content_key": key} if key else {}
            self.every |= {"inputs": cut(json.dumps(inputs))} if inputs else {}
            result = None if trial else state.of_folder(Path(folder), tags.get("dvc_experiment", ""))
        except Exception as error:  # an error of DVC costs the key, not the run
            print(f"{name}: no content key ({error})", flush=True)
        self.client, self.experiment_id = store.connect(experiment)
        self.parent = tree.parent(self.client, self.experiment_id, result, at) if result else trial
        if "spool" in tags and self.resume(f"tags.spool = '{tags['spool']}'"):
            return
        here = f"tags.`{tree.PARENT}` = '{self.parent}'"
        same = here if trial else f"tags.content_key = '{self.every.get('content_key')}'"
        if not self.resume(f"{here} and {same} and attributes.status = 'FINISHED'"):
            self.resume(f"{same} and attributes.status = 'KILLED'")
        self.run()

    def run(self, replicate: int | None = None) -> str:
        """The id of a run, created on first use."""
        if replicate not in self.ids:
            name, tags = self.name, self.every | ({tree.PARENT: self.parent} if self.parent else {})
            if replicate is not None:
                name = f"{name} #{replicate}"
                tags = tags | {"replicate": str(replicate), tree.PARENT: self.run()}
            run = self.client.create_run(self.experiment_id, self.started, tags, name)
            self.ids[replicate] = run.info.run_id
        return self.ids[replicate]

    def resume(self, where: str) -> bool:
        """Resume the runs of a filter, with what they have; returns whether there are any."""
        where += f" and attributes.run_name = '{self.name}'"
        result = self.client.search_runs([self.experiment_id], where, max_results=1)
        if not result:
            return False
        item = result[0].info.run_id
        kept = {key: result[0].data.tags[key] for key in ("content_key", "inputs") if key in result[0].data.tags}
        self.parent, self.every = self.parent or result[0].data.tags.get(tree.PARENT), kept | self.every
        below = self.client.search_runs([self.experiment_id], f"tags.`{tree.PARENT}` = '{item}'")
        self.ids = {None: item} | {int(run.data.tags["replicate"]): run.info.run_id for run in below}
        self.tags(self.every, 0)
        if self.parent:
            self.client.set_tag(item, tree.PARENT, self.parent)
        for run in [*result, *below]:
            replicate = int(run.data.tags["replicate"]) if "replicate" in run.data.tags else None
            self.client.update_run(run.info.run_id, status="RUNNING")
            for file in self.client.list_artifacts(run.info.run_id, "images"):
                name, _, step = file.path.removeprefix("images/").split("+")[:3]
                self.had.add((name, int(step), replicate))
            for name in run.data.metrics:
                for metric in self.client.get_metric_history(run.info.run_id, name):
                    self.values[name, metric.step][replicate] = metric.value
                    self.had.add((name, metric.step, replicate))
        self.files = {file.path for file in self.client.list_artifacts(item)}
        self.models = models.of_run(self.client, self.experiment_id, item)
        return True

    def params(self, values: dict[str, str], at: int) -> None:
        from mlflow.entities import Param

        params = [Param(re.sub(r"[^\w\-. :/]", "_", key), cut(value)) for key, value in values.items()]
        self.client.log_batch(self.run(), params=params)

    def metrics(self, values: dict[str, float], at: int, step: int, replicate: int | None) -> None:
        """Keep values for the next flush: one write for many takes as long as one for one."""
        from mlflow.entities import Metric

        for name, value in values.items():
            if (name, step, replicate) not in self.had:
                self.values[name, step][replicate] = value
                self.unsent[replicate].append(Metric(name, value, at, step))

    def flush(self) -> None:
        """Write the pending values."""
        for replicate in list(self.unsent):
            run = self.run(replicate)
            self.client.log_batch(run, metrics=self.unsent[replicate])
            del self.unsent[replicate]

    def system(self, readings: dict[str, float], step: int) -> None:
        """Log CPU and memory of the stage; not sent by the stage, so not in its record."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self.client.log_batch(self.run(), metrics=[Metric(name, value, now, step) for name, value in readings.items()])

    def image(self, name: str, at: int, shape: list[int], data: str, step: int, replicate: int | None) -> None:
        import numpy as np

        if (name, step, replicate) in self.had:
            return
        pixels = np.frombuffer(base64.b64decode(data), np.uint8).reshape(shape)
        self.client.log_image(self.run(replicate), pixels, key=name, step=step, timestamp=at, synchronous=True)

    def dataset(self, name: str, at: int, digest: str, source: str, context: str) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag

        kind = "http" if source.startswith("http") else "local"
        data = Dataset(name, digest, kind, json.dumps({"url" if kind == "http" else "uri": source}))
        run = self.run()
        self.client.log_inputs(run, [DatasetInput(data, [InputTag("mlflow.data.context", context)])])

    def artifact(self, path: str, at: int, folder: str | None) -> None:
        log = self.client.log_artifacts if os.path.isdir(path) else self.client.log_artifact
        log(self.run(), path, folder)

    def table(self, name: str, at: int, columns: dict[str, list[Any]]) -> None:
        import pandas as pd

        if name not in self.files:  # MLflow would append the rows to existing ones
            self.client.log_table(self.run(), pd.DataFrame(columns), name)

    def model(
        self,
        at: int,
        about: dict[str, Any],
        numbers: dict[str, list[float]],
        task: str,
        why: str,
        aliases: Sequence[str] = ("champion",),  # of older results, which have none
    ) -> None:
        """Log a model; its test metrics also go to the run that trained it, the best of a task to the registry."""
        card = models.Card(about, numbers, task, why, tuple(aliases))
        self.model_id = self.models.get((card.task or card.name, card.key)) or models.log(
            self.client, self.experiment_id, self.run(), card
        )
        self.models[card.task or card.name, card.key] = self.model_id
        if task:
            models.register(self.client, self.model_id, self.run(), card)
        else:
            models.measured(self.client, self.experiment_id, card, at)

    def headlines(self, values: dict[str, float], at: int) -> None:
        """Log the headline metrics on the state's run."""
        if self.parent:
            models.add(self.client, self.client.get_run(self.parent), values, at)

    def tags(self, values: dict[str, str], at: int) -> None:
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
            numbers, middle, count = by_replicate.values(), mean(by_replicate), len(by_replicate)
            self.unsent[None].append(Metric(name, middle, at, step, model_id=self.model_id))
            if count > 1:
                spread = math.sqrt(sum((number - middle) ** 2 for number in numbers) / (count - 1))
                self.unsent[None].append(Metric(f"variation/spread/{name}", spread, at, step))
                half = spread * float(stdtrit(count - 1, 0.975)) / math.sqrt(count)
                self.unsent[None].append(Metric(f"variation/interval/{name}", half, at, step))

    def end(self, status: str, at: int, error: str | None, record: str | None = None) -> None:
        """End all runs. record: the MD5 of the stage's tracked.json."""
        if status != "KILLED":  # whoever continues knows more
            self.means(at)
        self.flush()
        if error:
            self.tags({"error": error}, at)
        for run in self.ids.values():
            self.client.set_terminated(run, status, at)
        if self.parent:
            if record and status == "FINISHED":
                made = {"experiment": self.experiment, "name": self.name, "record": record}
                made |= {"stage": self.every.get("dvc_stage", ""), "key": self.every.get("content_key")}
                results.add({"below": tree.owner(self.client, self.parent), **made})
            tree.settle(self.client, self.experiment_id, self.parent, at)


def mean(by_replicate: Mapping[int | None, float]) -> float:
    """The mean over replicates, also of NaN, on which the module statistics raises."""
    return sum(by_replicate.values()) / len(by_replicate)


def cut(text: str) -> str:
    """Text cut to the length that MLflow allows, with a mark."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 50]} ... [cut: {len(text)} characters]"
