"""Runs made again from what stages left among their results (tracked.json): nothing is trained for it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aelab.tracking import places, store, tree
from aelab.tracking.runs import Runs, cut
from aelab.tracking.state import State

WORD = re.compile(r"\w[\w.-]*")  # experiments, stages and items: folders are called so
YOUNG = 60.0  # seconds in which a run's process may not have noted its name yet


@dataclass
class Known:
    """One experiment of the store, and the finished runs in it."""

    client: Any
    id: str
    by_key: dict[str, str] = field(default_factory=dict)  # content key -> the item's run
    below: set[tuple[str, str]] = field(default_factory=set)  # (parent, stage and item)


def known(experiment: str) -> Known:
    """The experiment as the store has it. Raises what the store raises."""
    found = Known(*store.connect(experiment))
    for run in every_run(found.client, [found.id], "attributes.status = 'FINISHED'"):
        tags = run.data.tags
        if "stage" in tags and "replicate" not in tags:
            found.below.add((tags.get(tree.PARENT, ""), run.info.run_name))
            if "content_key" in tags:
                found.by_key.setdefault(tags["content_key"], run.info.run_id)
    return found


def place(
    known: Known, state: State, record: dict[str, Any], stage: str, key: str | None, fetch: Callable[[str], str]
) -> str:
    """See to it that a stage's result is found under its state: `there`, `linked` to the run of another state that has
    the same content key, or `made`. fetch(path): a file or folder beside the record, as one on this disk."""
    name = f"{record['stage']} {record['item']}".strip()
    now = int(time.time() * 1000)
    parent = tree.parent(known.client, known.id, state, now)
    if (parent, name) in known.below:
        return "there"
    if key in known.by_key:
        return "linked" if link(known.client, parent, name, known.by_key[key]) else "there"
    tags = {"stage": record["stage"], "dvc_stage": stage, "rebuilt": "true", **record["tags"]}
    tags |= {"item": record["item"]} if record["item"] else {}
    tags |= {"mlflow.note.content": tree.made_by(stage)}
    tags |= {"content_key": key} if key else {}
    runs = Runs()
    runs.experiment, runs.name, runs.started = record["experiment"], name, now
    runs.every = {name: cut(value) for name, value in tags.items()}
    runs.client, runs.experiment_id, runs.parent = known.client, known.id, parent
    runs.run()
    runs.params(record["params"], now)
    for data in record["datasets"]:
        runs.dataset(at=now, **data)
    for metric, by_replicate in record["metrics"].items():
        for replicate, values in by_replicate.items():
            for step, value in values:
                runs.metrics({metric: value}, now, step, int(replicate) if replicate else None)
    runs.flush()
    for image in record["images"]:
        runs.image(at=now, **image)
    for table in record.get("tables", []):
        runs.table(at=now, **table)
    for model in record.get("models", []):
        runs.model(at=now, **model)
    for artifact in record.get("artifacts", []):
        runs.artifact(fetch(artifact["path"]), now, artifact["folder"])
    runs.end("FINISHED", now, None)
    known.below.add((parent, name))
    if key:
        known.by_key[key] = runs.ids[None]
    return "made"


def link(client: Any, parent: str, name: str, run: str) -> bool:
    """Note at a state's run where the run of a stage is that had nothing to do for it; whether that was news."""
    tag = f"linked/{name.replace(' ', '/')}"
    if client.get_run(parent).data.tags.get(tag) == run:
        return False
    client.set_tag(parent, tag, run)
    return True


def reap() -> int:
    """End the runs that dead processes of this machine left RUNNING; how many there were."""
    import platform

    client, ended = store.client(), 0
    experiments = [each.experiment_id for each in client.search_experiments()]
    alive = {run for path in places.spool().glob("*.at") for run in places.run_ids(path)}
    old = (time.time() - YOUNG) * 1000
    states = set()
    for run in every_run(client, experiments, "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        if tree.KEY in tags:
            states.add((run.info.experiment_id, run.info.run_id))
        elif run.info.run_id not in alive and run.info.start_time < old and tags.get("host") == platform.node():
            client.set_terminated(run.info.run_id, "KILLED")
            ended += 1
    for experiment, run in states:
        tree.settle(client, experiment, run, int(time.time() * 1000))
    return ended


def every_run(client: Any, experiments: list[str], where: str) -> Iterator[Any]:
    """All runs that a filter finds, page by page."""
    token = None
    while True:
        page = client.search_runs(experiments, where, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def record(path: Path | str, content: bytes) -> dict[str, Any]:
    """What a tracked.json says. Raises ValueError, with its name, for another file, and for one that names places
    outside its folder and the store."""
    import json

    try:
        found = json.loads(content)
        if {"experiment", "stage", "item", "params", "tags", "datasets", "metrics", "images"} <= set(found):
            words = [found["experiment"], found["stage"], *filter(None, [found["item"]])]
            inside = [each["path"] for each in found.get("artifacts", [])]
            inside += [each["folder"] or "." for each in found.get("artifacts", [])]
            inside += [each["name"] for kind in ("images", "tables") for each in found.get(kind, [])]
            if all(map(WORD.fullmatch, words)) and not any(outside(each) for each in inside):
                return found
    except (ValueError, TypeError, KeyError):
        pass
    raise ValueError(f"{path}: not a record of what a stage tracked; `dvc repro` makes it again")


def outside(path: str) -> bool:
    """Whether a path may lead out of the folder that it is relative to."""
    return Path(path).is_absolute() or ".." in Path(path).parts
