"""One stage's runs in MLflow, written message by message as its Recorder sent them."""

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

from aelab.tracking import facts, models, state, store, tree

LONGEST = 6000  # characters of a parameter that MLflow keeps

Values = dict[tuple[str, int], dict[int | None, float]]  # (metric, step) -> replicate -> value


class Runs:
    """Everything known of one stage's runs. Each public method is a message of the Recorder."""

    def __init__(self) -> None:
        self.client: Any = None
        self.experiment_id = ""
        self.parent: str | None = None  # the run of the pipeline's state
        self.ids: dict[int | None, str] = {}  # replicate (None: the item) -> run id
        self.every: dict[str, str] = {}  # tags of every run
        self.values: Values = defaultdict(dict)
        self.had: set[tuple[str, int, int | None]] = set()  # what a resumed run has from before
        self.model_id: str | None = None  # the model that the numbers of the item are about
        self.unsent: dict[int | None, list[Any]] = defaultdict(list)  # stays here until the store took it

    def begin(self, at: int, experiment: str, name: str, folder: str, stage: str, tags: dict[str, str]) -> None:
        """Make the item's run, so that it can be seen from the start, or take up one that was cut short."""
        self.remember(at, experiment, name, folder, stage, tags)
        key = found = None
        try:  # first of all: the folder of an experiment goes soon
            key, inputs = facts.lineage(Path(folder), stage)
            self.every |= {"inputs": cut(json.dumps(inputs))} if inputs else {}
            if tree.PARENT not in tags:
                found = state.of_folder(Path(folder), tags.get("dvc_experiment", ""))
        except Exception as error:  # DVC's trouble costs the key, not the run
            print(f"{name}: no content key ({error})", flush=True)
        self.client, self.experiment_id = store.connect(experiment)
        self.parent = tree.parent(self.client, self.experiment_id, found, at) if found else None
        if key:
            self.every["content_key"] = key
        if "spool" in tags:  # a writer that died may have made the run and had no time to note it
            self.resume(f"tags.spool = '{tags['spool']}'")
        if tree.PARENT in tags:  # a trial of a sweep; its folder, and so its key, may be gone
            self.resume(f"tags.`{tree.PARENT}` = '{tags[tree.PARENT]}' and attributes.status = 'KILLED'")
        elif key:
            self.resume(f"tags.content_key = '{key}' and attributes.status = 'KILLED'")
        self.run()

    def remember(self, at: int, experiment: str, name: str, folder: str, stage: str, tags: dict[str, str]) -> None:
        """What `begin` says, without the store."""
        self.experiment, self.name, self.started = experiment, name, at
        self.every = {key: cut(value) for key, value in tags.items()}
        if stage:
            self.every["mlflow.note.content"] = tree.made_by(stage)

    def run(self, replicate: int | None = None) -> str:
        """The id of a run, created when first asked for."""
        if self.client is None:  # another process wrote `begin`
            self.client, self.experiment_id = store.connect(self.experiment)
        if replicate not in self.ids:
            name, tags = self.name, self.every | ({tree.PARENT: self.parent} if self.parent else {})
            if replicate is not None:
                name = f"{name} #{replicate}"
                tags = tags | {"replicate": str(replicate), tree.PARENT: self.run()}
            run = self.client.create_run(self.experiment_id, self.started, tags, name)
            self.ids[replicate] = run.info.run_id
        return self.ids[replicate]

    def resume(self, where: str) -> None:
        """Take up the runs of this same work that was cut short, with the numbers they have."""
        where += f" and attributes.run_name = '{self.name}'"
        found = [] if self.ids else self.client.search_runs([self.experiment_id], where, max_results=1)
        if not found:
            return
        parent = found[0].info.run_id
        below = self.client.search_runs([self.experiment_id], f"tags.`{tree.PARENT}` = '{parent}'")
        if above := self.parent or self.every.get(tree.PARENT):
            self.client.set_tag(parent, tree.PARENT, above)
        self.ids = {None: parent} | {int(run.data.tags["replicate"]): run.info.run_id for run in below}
        for replicate, run in self.ids.items():
            self.client.update_run(run, status="RUNNING")
            for file in self.client.list_artifacts(run, "images"):
                name, _, step = file.path.removeprefix("images/").split("+")[:3]
                self.had.add((name, int(step), replicate))
            for name in self.client.get_run(run).data.metrics:
                for metric in self.client.get_metric_history(run, name):
                    self.values[name, metric.step][replicate] = metric.value
                    self.had.add((name, metric.step, replicate))

    def params(self, values: dict[str, str], at: int) -> None:
        from mlflow.entities import Param

        params = [Param(re.sub(r"[^\w\-. :/]", "_", key), cut(value)) for key, value in values.items()]
        self.client.log_batch(self.run(), params=params)

    def metrics(self, values: dict[str, float], at: int, step: int, replicate: int | None) -> None:
        """Keep numbers for the next flush: one write for many costs what one for one does."""
        from mlflow.entities import Metric

        for name, value in values.items():
            if (name, step, replicate) not in self.had:
                self.values[name, step][replicate] = value
                self.unsent[replicate].append(Metric(name, value, at, step))

    def flush(self) -> None:
        """Write the numbers kept so far."""
        for replicate in list(self.unsent):
            run = self.run(replicate)
            self.client.log_batch(run, metrics=self.unsent[replicate])
            del self.unsent[replicate]

    def system(self, readings: dict[str, float], step: int) -> None:
        """What the stage takes of the machine; not told by the stage, so in no record of it."""
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

        self.client.log_table(self.run(), pd.DataFrame(columns), name)

    def model(
        self,
        at: int,
        about: dict[str, Any],
        numbers: dict[str, list[float]],
        task: str,
        why: str,
        aliases: Sequence[str] = ("champion",),  # of older results, which name none
    ) -> None:
        card = models.Card(about, numbers, task, why, tuple(aliases))
        self.model_id = models.log(self.client, self.experiment_id, self.run(), card)

    def tags(self, values: dict[str, str], at: int) -> None:
        from mlflow.entities import RunTag

        values = {key: cut(value) for key, value in values.items()}
        self.every |= values
        self.run()
        for run in self.ids.values():
            self.client.log_batch(run, tags=[RunTag(*pair) for pair in values.items()])

    def means(self, at: int) -> None:
        """Mean, sample standard deviation and half of the mean's 95% interval (Student's t) over replicates, for the
        item's run where it logged no value itself."""
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

    def end(self, status: str, at: int, error: str | None) -> None:
        """Close all runs."""
        if status != "KILLED":  # whoever goes on knows more
            self.means(at)
        self.flush()
        if error:
            self.tags({"error": error}, at)
        for run in self.ids.values():
            self.client.set_terminated(run, status, at)
        if self.parent:
            tree.settle(self.client, self.experiment_id, self.parent, at)


def mean(by_replicate: Mapping[int | None, float]) -> float:
    """Over replicates; not by the module statistics, which raises on NaN."""
    return sum(by_replicate.values()) / len(by_replicate)


def cut(text: str) -> str:
    """At most as long as MLflow keeps, and visibly cut where it is longer."""
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 50]} ... [cut: {len(text)} characters]"
