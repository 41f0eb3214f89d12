"""`aelab sync`: fill the tracking store from the results that DVC keeps.

Every stage leaves its events as tracked.jsonl, so a store that was deleted, or was down, or belongs to a fresh clone
with a pulled cache, is filled again without training. Results are looked up in the dvc.lock of the commit, of DVC's
experiments and of the working folder, and then in the rest of DVC's run cache.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from aelab.runner.dvc_api import Git, Repo, exp_refs, load_yaml, lock_entry_hash, parse_yaml
from aelab.runner.repository import git
from aelab.tracking import events, state, store
from aelab.tracking.runs import Runs

DRAIN = 60.0  # seconds that the writer may take for pending events
UNCACHED = "results not made again, as DVC's cache lacks them (`dvc fetch --run-cache` brings what a remote has)"
UNREADABLE = "results not made again, as their events are of another form"
BARE = "made again without the files that DVC's cache lacks"


@dataclass(frozen=True)
class Result:
    """A stage's result. key: DVC's name of it; stage: DVC's name of the stage; parent: the state it belongs to; home:
    the folder of the events; files: path in the project -> a file with its content; whole: whether none is missing."""

    key: str
    stage: str
    parent: state.State
    home: PurePosixPath
    files: dict[PurePosixPath, Path]
    whole: bool
    events: list[events.Event]

    @property
    def evaluates(self) -> bool:
        """Whether it says something about models, so that it comes after the runs that trained them."""
        return any(event["event"] == "model" for event in self.events)

    def copy(self, path: str, folder: Path) -> Path:
        """A copy, in a new folder, of a file or folder beside the events."""
        base = self.home / path
        for name, file in self.files.items():
            if name.is_relative_to(base):
                target = folder / base.name / name.relative_to(base)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(file, target)
        return folder / base.name


class Sync:
    """One pass. made, there: numbers of results; lost: reason -> names of results that could not be re-created.

    Raises DvcException outside a DVC project, ValueError for a damaged store, and what the store raises.
    """

    def __init__(self) -> None:
        self.made = self.there = 0
        self.lost: dict[str, list[str]] = {}
        store.check()
        drain()
        with Repo() as repo:
            self.repo, self.known = repo, finished()
            found = list(self.results())
            found.sort(key=lambda result: (result.evaluates, result.parent != state.EARLIER))
            from tqdm import tqdm

            for result in tqdm(found, "sync", unit="result", leave=False, disable=None):
                self.write(result)

    def results(self) -> Iterator[Result]:
        """All results that are not in the store; those of the working folder last among the states, because its best
        models stay registered."""
        for parent, lock, folder in self.states():
            for stage, entry in lock.get("stages", {}).items():
                yield from self.result(entry, parent, stage, folder)
        for path in sorted(Path(self.repo.stage_cache.cache_dir).glob("*/*/*"), key=lambda path: path.stat().st_mtime):
            yield from self.result(load_yaml(str(path)), state.EARLIER, "", None)

    def states(self) -> Iterator[tuple[state.State, dict[str, Any], Path | None]]:
        """The states of the commit, of DVC's experiments and of the working folder, with dvc.lock and the folder."""
        root, revisions = Path(self.repo.root_dir), {}
        if isinstance(self.repo.scm, Git):
            scm = self.repo.scm
            revisions = {"HEAD": ""} | {scm.get_ref(str(ref)): ref.name or "" for ref in exp_refs(scm)}
        here = state.of_folder(root)
        for revision, experiment in revisions.items():
            parent = state.of_revision(root, revision, experiment)
            lock = git("-C", str(root), "show", f"{revision}:./dvc.lock")
            if parent and lock and (here is None or parent.key != here.key):
                yield parent, parse_yaml(lock, "dvc.lock"), None
        if here and (root / "dvc.lock").exists():
            yield here, load_yaml(str(root / "dvc.lock")), root

    def result(self, entry: dict[str, Any], parent: state.State, stage: str, folder: Path | None) -> Iterator[Result]:
        """A result by its entry in a dvc.lock or the run cache; nothing if the store has it, or it has no events."""
        key = lock_entry_hash(dict(entry), key=True)
        if key in self.known:
            self.there += self.known[key]
            self.known[key] = 0  # counted
            return
        self.known[key] = 0
        files, whole = self.files(entry, folder)
        record = next((path for path in files if path.name == events.FILE), None)
        name = stage or str(entry["cmd"])
        if record is None:
            if not whole:
                self.lose(UNCACHED, name)
            return
        try:
            told = events.recorded(str(record), files[record].read_bytes())
        except ValueError:
            self.lose(UNREADABLE, name)
            return
        stage = stage or "@".join(filter(None, (told[0]["stage"], told[0]["item"])))
        yield Result(key, stage, parent, record.parent, files, whole, told)

    def files(self, entry: dict[str, Any], folder: Path | None) -> tuple[dict[PurePosixPath, Path], bool]:
        """The files of an entry, in DVC's cache or else in `folder`, and whether all are there."""
        found, whole = {}, True
        for out in entry.get("outs", []):
            path, md5 = PurePosixPath(out["path"]), out.get("md5", "")
            cached = Path(self.repo.cache.local.oid_to_path(md5)) if md5 else Path()
            if md5 and cached.exists():
                listed = json.loads(cached.read_bytes()) if md5.endswith(".dir") else []
                files = {path / item["relpath"]: self.repo.cache.local.oid_to_path(item["md5"]) for item in listed}
                found |= {name: Path(file) for name, file in files.items()} if md5.endswith(".dir") else {path: cached}
            elif folder and (folder / path).exists():
                below = [folder / path, *(folder / path).rglob("*")]
                found |= {PurePosixPath(file.relative_to(folder)): file for file in below if file.is_file()}
            else:
                whole = False
        there = {path: file for path, file in found.items() if file.exists()}
        return there, whole and len(there) == len(found)

    def write(self, result: Result) -> None:
        """Write a result to the store."""
        runs, begin = Runs(), result.events[0]
        tags = {"dvc_stage": result.stage, "content_key": result.key}
        runs.open(events.now(), begin["experiment"], begin["stage"], begin["item"], tags, result.parent)
        with tempfile.TemporaryDirectory() as folder:
            for number, event in enumerate(result.events[1:]):
                if event["event"] == "artifact":
                    event = event | {"path": str(result.copy(event["path"], Path(folder, str(number))))}
                    if not result.whole:
                        self.lose(BARE, runs.name)
                    if not os.path.exists(event["path"]):
                        continue
                if result.parent != state.EARLIER or not event.get("task"):  # the registry is the present's
                    runs.take(event)
        runs.take({"event": "end", "status": "FINISHED"})
        self.made += 1

    def lose(self, why: str, name: str) -> None:
        self.lost.setdefault(why, []).append(name)

    def summary(self) -> list[str]:
        """What was done, in a line, and what could not be re-created, one line per reason."""
        lines = [f"{self.made} made again, {self.there} there already"]
        for why, names in self.lost.items():
            shown = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
            lines.append(f"{len(names)} {why}: {shown}")
        return lines


def finished() -> Counter[str]:
    """The keys of the results in the store."""
    client, known = store.client(), Counter[str]()
    experiments = [item.experiment_id for item in client.search_experiments()]
    token = None
    while experiments:
        page = client.search_runs(experiments, "attributes.status = 'FINISHED'", max_results=1000, page_token=token)
        for run in page:
            if "content_key" in run.data.tags and "replicate" not in run.data.tags:
                known[run.data.tags["content_key"]] = 1
        token = page.token
        if not token:
            break
    return known


def drain() -> None:
    """Wait until the events in the spool have been written."""
    spool, end = store.spool(), time.monotonic() + DRAIN
    if not any(spool.glob("*.jsonl")):
        return
    events.trouble(spool).unlink(missing_ok=True)
    events.start_writer()
    while time.monotonic() < end and any(spool.glob("*.jsonl")) and not events.trouble(spool).exists():
        time.sleep(0.2)
