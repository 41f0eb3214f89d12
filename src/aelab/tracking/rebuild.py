"""Re-create MLflow runs from the results of stages (tracked.json), without training."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from aelab.tracking import models, places, store, tree
from aelab.tracking.runs import Runs, cut
from aelab.tracking.state import State

WORD = re.compile(r"\w[\w.-]*")  # experiments, stages and items: folders are called so
YOUNG = 60.0  # seconds in which the process of a new run may not have logged its name yet

Fetch = Callable[[str], str | None]
Owner = State | dict[str, str]  # the parent of a run: a state, or the tags of a sweep's trial


class Known:
    """The finished runs of the store. Raises the store's errors."""

    def __init__(self) -> None:
        self.client, self.ids = store.client(), {}  # experiment -> its id
        self.by_key: dict[str, str] = {}  # content key -> the item's run
        self.below: dict[tuple[str, str], str] = {}  # parent, stage and item -> run
        self.parents: dict[str, str | None] = {}
        experiments = [item.experiment_id for item in self.client.search_experiments()]
        for run in every_run(self.client, experiments, "attributes.status = 'FINISHED'"):
            tags = run.data.tags
            if "stage" in tags and "replicate" not in tags:
                self.below[tags.get(tree.PARENT, ""), run.info.run_name] = run.info.run_id
                if "content_key" in tags:
                    self.by_key.setdefault(tags["content_key"], run.info.run_id)

    def experiment(self, name: str) -> str:
        """The id of an experiment, created if missing."""
        if name not in self.ids:
            self.client, self.ids[name] = store.connect(name)
        return self.ids[name]

    def parent(self, experiment: str, owner: Owner, make: bool) -> str | None:
        """The run of a state or a trial; None if there is none and none should be created."""
        tags = {tree.KEY: owner.key} if isinstance(owner, State) else owner
        name, where = f"{experiment} {tags}", " and ".join(f"tags.{key} = '{value}'" for key, value in tags.items())
        if self.parents.get(name) is None:
            result = self.client.search_runs([self.experiment(experiment)], where, max_results=1)
            self.parents[name] = result[0].info.run_id if result else None
        if self.parents[name] is None and make and isinstance(owner, State):
            self.parents[name] = tree.parent(self.client, self.experiment(experiment), owner, now())
        return self.parents[name]

    def has(self, owner: Owner, experiment: str, name: str, key: str | None) -> str:
        """Whether a stage's result is in the store: `there`, `linked` to the run of another state with the same content
        key, or ""."""
        parent = self.parent(experiment, owner, make=False)
        if owner != tree.EARLIER and (run := self.below.get((parent or "", name))):
            if key:
                self.by_key.setdefault(key, run)
            return "there"
        run = self.by_key.get(key or "")
        if run and isinstance(owner, State):
            parent, tag = self.parent(experiment, owner, make=True), tree.linked(name)
            if self.client.get_run(parent).data.tags.get(tag) == run:
                return "there"
            self.client.set_tag(parent, tag, run)
            return "linked"
        return "there" if run else ""


def place(known: Known, owner: Owner, record: dict[str, Any], stage: str, key: str | None, fetch: Fetch) -> str:
    """Make sure that a stage's result is below its owner.

    Returns `there`, `linked` to the run of another state with the same content key, `made`, or `homeless` if the sweep
    of a trial is gone. fetch(path): a file or folder beside the record on this disk; None if it is missing.
    """
    experiment, name = record["experiment"], run_name(record)
    how = known.has(owner, experiment, name, key)
    parent = known.parent(experiment, owner, make=not how)
    if parent is None and not how:
        return "homeless"
    if not how:
        how, run = "made", make(known, parent or "", record, stage, key, fetch)
        known.below[parent or "", name] = run
        known.by_key |= {key: run} if key else {}
    numbers(known, owner, record)
    return how


def numbers(known: Known, owner: Owner, record: dict[str, Any]) -> None:
    """Make sure that test metrics are also on the state's run, and on the runs that trained the models."""
    experiment, at = record["experiment"], now()
    parent = known.parent(experiment, owner, make=False)
    if parent and owner != tree.EARLIER and record.get("headlines"):
        models.add(known.client, known.client.get_run(parent), record["headlines"], at)
    for model in record.get("models", []):
        if not model["task"]:
            card = models.Card(model["about"], model["numbers"])
            models.measured(known.client, known.experiment(experiment), card, at)


def make(known: Known, parent: str, record: dict[str, Any], stage: str, key: str | None, fetch: Fetch) -> str:
    """Re-create the run of a result from its record; returns its id. A run on which another `sync` died is
    continued."""
    tags = {"stage": record["stage"], "dvc_stage": stage, "rebuilt": "true", **record["tags"]}
    tags |= {"item": record["item"]} if record["item"] else {}
    tags |= {"mlflow.note.content": tree.made_by(stage)}
    tags |= {"content_key": key} if key else {}
    runs, at = Runs(), now()
    runs.experiment, runs.name, runs.started = record["experiment"], run_name(record), at
    runs.every = {name: cut(value) for name, value in tags.items()}
    runs.client, runs.experiment_id, runs.parent = known.client, known.experiment(record["experiment"]), parent
    here = f"tags.`{tree.PARENT}` = '{parent}' and "
    for left in ("tags.rebuilt = 'true' and attributes.status = 'RUNNING'", "attributes.status = 'KILLED'"):
        if runs.resume(here + left + (f" and tags.content_key = '{key}'" if key else "")):
            break
    runs.run()
    runs.params(record["params"], at)
    for data in record["datasets"]:
        runs.dataset(at=at, **data)
    for metric, by_replicate in record["metrics"].items():
        for replicate, values in by_replicate.items():
            for step, value in values:
                runs.metrics({metric: value}, at, step, int(replicate) if replicate else None)
    runs.flush()
    for image in record["images"]:
        runs.image(at=at, **image)
    for table in record.get("tables", []):
        runs.table(at=at, **table)
    for model in record.get("models", []):
        runs.model(at=at, **model)
    for artifact in record.get("artifacts", []):
        if path := fetch(artifact["path"]):
            runs.artifact(path, at, artifact["folder"])
    runs.end("FINISHED", at, None)
    return runs.ids[None]


def run_name(record: dict[str, Any]) -> str:
    return f"{record['stage']} {record['item']}".strip()


def now() -> int:
    return int(time.time() * 1000)


def reap() -> int:
    """End the runs that dead processes of this machine left RUNNING; returns their number."""
    import platform

    client, ended = store.client(), 0
    experiments = [item.experiment_id for item in client.search_experiments()]
    alive = {path.stem for path in places.spool().glob("*.jsonl")}
    old = now() - YOUNG * 1000
    states = set()
    for run in every_run(client, experiments, "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        if tree.KEY in tags:
            states.add((run.info.experiment_id, run.info.run_id))
        elif tags.get("spool") not in alive and run.info.start_time < old and tags.get("host") == platform.node():
            client.set_terminated(run.info.run_id, "KILLED")
            ended += 1
    for experiment, run in states:
        tree.settle(client, experiment, run, now())
    return ended


def every_run(client: Any, experiments: list[str], where: str) -> Iterator[Any]:
    """All runs of a filter, page by page."""
    token = None
    while True:
        page = client.search_runs(experiments, where, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def record(path: Path | str, content: bytes) -> dict[str, Any]:
    """The content of a tracked.json. Raises ValueError, with its name, for another file, and for one that names paths
    outside its folder and the store."""
    import json

    try:
        result = json.loads(content)
        if {"experiment", "stage", "item", "params", "tags", "datasets", "metrics", "images"} <= set(result):
            text = [result["experiment"], result["stage"], *filter(None, [result["item"]])]
            inside = [item["path"] for item in result.get("artifacts", [])]
            inside += [item["folder"] or "." for item in result.get("artifacts", [])]
            inside += [item["name"] for kind in ("images", "tables") for item in result.get(kind, [])]
            if all(map(WORD.fullmatch, text)) and not any(outside(item) for item in inside):
                return result
    except (ValueError, TypeError, KeyError):
        pass
    raise ValueError(f"{path}: not a record of what a stage tracked; `dvc repro` makes it again")


def outside(path: str) -> bool:
    """Whether a path leads out of the folder that it is relative to."""
    return Path(path).is_absolute() or ".." in Path(path).parts
