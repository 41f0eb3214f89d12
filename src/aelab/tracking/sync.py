"""`aelab sync`: fill the tracking store from the results that DVC keeps.

MLflow is a projection of DVC's results: every stage leaves what it logged as tracked.json, so a store that was deleted,
or was down, or belongs to a fresh clone with a pulled cache, is filled again without training. Results are looked up in
this order: those recorded when they were made (see tracking/results.py), those of the commit, of DVC's experiments and
of the working folder, and finally the rest of DVC's run cache.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path, PurePosixPath
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.experiments.utils import exp_refs
from dvc.scm import Git
from dvc.stage import PipelineStage
from dvc.stage.cache import _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc.utils.serialize import load_yaml
from dvc_data.index import DataIndexDirError

from aelab.runner import repository
from aelab.tracking import outbox, places, rebuild, results, state, store, tree

FILE = "tracked.json"
DRAIN = 60.0  # seconds that the writer may take for pending events
EVERY = 15.0  # seconds between two lines in a log
HOMELESS = "results not made again, as their sweep is gone"
UNCACHED = "results not made again, as DVC's cache lacks them (`dvc fetch --run-cache` brings what a remote has)"
UNREADABLE = "results not made again, as their records are of another form"
BARE = "made again without the files that DVC's cache lacks"
Get = Callable[[str, str], None]  # copies a path beside a record into a folder


class Sync:
    """One pass. counts: numbers of runs `made`, `linked`, `there`, `ended` (see tracking.rebuild); lost: reason ->
    names of results that could not be re-created."""

    def __init__(self) -> None:
        self.counts, self.lost = Counter[str](), dict[str, list[str]]()
        self.missing: list[dict[str, Any]] = []  # recorded, but not found yet
        self.total, self.last, self.bar = 0, 0.0, None

    def everything(self, before: Callable[[], None] = lambda: None) -> None:
        """Bring the store up to date. before: called first, as soon as the store is known to be sound.

        Raises DvcException outside a DVC project, ValueError for a damaged store, and what the store raises.
        """
        store.check()
        drain()
        with Repo() as repo:
            before()
            self.known, self.repo, self.notes = rebuild.Known(), repo, results.every()
            try:
                at_hand = states(repo)
                self.noted([note for note in self.notes if key(note) not in at_hand])
                for name, (result, revision) in at_hand.items():
                    with repo.switch(revision) if revision else nullcontext():
                        placed = self.state(result, pipeline(repo))
                    self.noted([note for note in self.notes if key(note) == name and note["stage"] not in placed])
                self.rest()
                missing, self.missing = self.missing, []
                self.noted(missing)
                for item in self.missing:
                    self.lose(UNCACHED, item["name"])
            finally:
                if self.bar is not None:
                    self.bar.close()
        self.counts["ended"] = rebuild.reap()

    def noted(self, notes: list[dict[str, Any]]) -> None:
        """Process results that were recorded when they were made."""
        for item in self.steps(notes):
            owner = state.State(**item["below"]["state"]) if key(item) else item["below"]
            how = self.known.has(owner, item["experiment"], item["name"], item["key"])
            self.counts[how] += bool(how)
            if how == "there":
                continue
            try:
                record = rebuild.record(f"result {item['record']}", self.content(item["record"]))
            except FileNotFoundError:
                self.missing += [item] * (not how)
                continue
            if how:
                rebuild.numbers(self.known, owner, record)
                continue
            self.place(owner, record, item["stage"], item["key"], self.outs(item["key"]))

    def state(self, found: state.State, stages: list[PipelineStage]) -> set[str]:
        """Process the results of a dvc.lock, while DVC's file system is that of its commit; returns the names of
        available ones."""
        placed = set()
        noted = {item["stage"]: item for item in self.notes if key(item) == found.key}
        for stage in self.steps(stages):
            folder, record = told(self.repo, stage)
            name = str(stage.addressing)
            if record is None:
                if name not in noted and self.tracked(stage):
                    self.lose(UNCACHED, name)
                continue

            def fetch(path: str, to: str, folder: str = folder, stage: PipelineStage = stage) -> None:
                base = PurePosixPath(os.path.normpath(f"{folder}/{path}"))
                for out in stage.outs:  # not the folder, which may hold files of others
                    for name in self.repo.dvcfs.find(os.path.relpath(out.fspath, self.repo.root_dir)):
                        file = PurePosixPath(name.lstrip("/"))
                        if file.is_relative_to(base):
                            place = laid_out(file, base, to)
                            self.repo.dvcfs.get_file(name, str(place))

            self.place(found, record, name, content_key(stage), fetch)
            placed.add(name)
        return placed

    def tracked(self, stage: PipelineStage) -> bool:
        """Whether a stage's results include a record."""
        try:
            return any(file.name == FILE for file in self.files(to_single_stage_lockfile(stage)))
        except FileNotFoundError:
            return True

    def rest(self) -> None:
        """Process the rest of the run cache, in the order in which it was made."""
        paths = sorted(Path(self.repo.stage_cache.cache_dir).glob("*/*"), key=lambda path: path.stat().st_mtime)
        noted = {item["record"] for item in self.notes}
        for path in self.steps([path for path in paths if path.name not in self.known.by_key]):
            entry = self.entry(path.name)
            try:
                files = self.files(entry)
                for file in [file for file in files if file.name == FILE and files[file] not in noted]:
                    record = rebuild.record(str(file), self.content(files[file]))
                    stage = "@".join(filter(None, (record["stage"], record["item"])))
                    self.place(tree.EARLIER, record, stage, path.name, self.outs(path.name))
            except FileNotFoundError:
                self.lose(UNCACHED, str(entry["cmd"]))
            except ValueError:
                self.lose(UNREADABLE, str(entry["cmd"]))

    def place(
        self, below: state.State | dict[str, str], record: dict[str, Any], stage: str, key: str | None, get: Get
    ) -> None:
        name = rebuild.run_name(record)
        with tempfile.TemporaryDirectory() as folder:

            def fetch(path: str) -> str | None:
                try:
                    get(path, folder)
                    return folder
                except (OSError, DvcException, DataIndexDirError):
                    self.lose(BARE, name)
                    return None

            how = rebuild.place(self.known, below, record, stage, key, fetch)
        if how == "homeless":
            self.lose(HOMELESS, name)
        else:
            self.counts[how] += 1

    def lose(self, why: str, name: str) -> None:
        self.lost.setdefault(why, []).append(name)

    def entry(self, key: str | None) -> dict[str, Any]:
        """The newest entry of the run cache for a key; {} if there is none."""
        folder = Path(self.repo.stage_cache._get_cache_dir(key or "none"))
        result = sorted(folder.glob("*"), key=lambda path: path.stat().st_mtime)
        return load_yaml(str(result[-1])) if result else {}

    def files(self, entry: dict[str, Any]) -> dict[PurePosixPath, str]:
        """The outs of an entry: path -> MD5. Raises FileNotFoundError if the cache lacks the listing of a folder."""
        files = {}
        for out in entry.get("outs", []):
            path, md5 = PurePosixPath(out["path"]), out.get("md5", "")
            if md5.endswith(".dir"):
                files |= {path / item["relpath"]: item["md5"] for item in json.loads(self.content(md5))}
            else:
                files[path] = md5
        return files

    def content(self, md5: str) -> bytes:
        """The content of a file in DVC's cache. Raises FileNotFoundError."""
        return Path(self.repo.cache.local.oid_to_path(md5)).read_bytes()

    def outs(self, key: str | None) -> Get:
        """A function that copies a path beside the record of a run-cache entry."""

        def get(path: str, to: str) -> None:
            files = self.files(self.entry(key))
            home = next((file.parent for file in files if file.name == FILE), None)
            if home is None:
                raise FileNotFoundError(key)
            for file, md5 in files.items():
                if file.is_relative_to(home / path):
                    shutil.copy(self.repo.cache.local.oid_to_path(md5), laid_out(file, home / path, to))

        return get

    def steps(self, items: list[Any]) -> Iterator[Any]:
        """The items, with a progress bar on a terminal or a line now and then in a log."""
        self.total += len(items)
        self.last = self.last or time.monotonic()
        if self.bar is None and sys.stderr.isatty():
            from tqdm import tqdm

            self.bar = tqdm(desc="sync", unit="result", leave=False)
        if self.bar is not None:
            self.bar.total = self.total
            self.bar.refresh()
        for done, item in enumerate(items, self.total - len(items)):
            if self.bar is None and time.monotonic() - self.last > EVERY:
                self.last = time.monotonic()
                print(f"sync: result {done} of {self.total}", file=sys.stderr, flush=True)
            yield item
            if self.bar is not None:
                self.bar.update()

    def summary(self) -> list[str]:
        """What was done, in a line, and what could not be re-created, one line per reason."""
        phrase = {"made": "made again", "linked": "linked", "there": "there already"}
        phrase |= {"ended": "left by dead processes, ended"}
        lines = [", ".join(f"{self.counts[key]} {text}" for key, text in phrase.items())]
        for why, names in self.lost.items():
            shown = ", ".join(names[:5]) + ", ..." * (len(names) > 5)
            lines.append(f"{len(names)} {why}: {shown}")
        return lines


def laid_out(file: PurePosixPath, base: PurePosixPath, folder: str) -> Path:
    """Where a file of `base` (a folder, or the file itself) belongs in a folder, which is made."""
    place = Path(folder, file.name if file == base else file.relative_to(base))
    place.parent.mkdir(parents=True, exist_ok=True)
    return place


def key(note: dict[str, Any]) -> str | None:
    """The key of the state for which a result was made; None for a trial of a sweep."""
    return note["below"].get("state", {}).get("key")


def drain() -> None:
    """Wait until the events in the spool have been written."""
    if not any(places.spool().glob("*.jsonl")):
        return
    outbox.start_writer()
    end = time.monotonic() + DRAIN
    while time.monotonic() < end and any(places.spool().glob("*.jsonl")) and not any(places.spool().glob("*.failed")):
        time.sleep(0.2)


def states(repo: Repo) -> dict[str, tuple[state.State, str]]:
    """The states of the commit, of DVC's experiments and of the working folder, by key, with their revisions ("" for
    the working folder, which comes last because its best models stay registered)."""
    result, revisions = {}, {}
    if isinstance(repo.scm, Git):
        revisions = {"HEAD": ""} | {repo.scm.get_ref(str(ref)): ref.name or "" for ref in exp_refs(repo.scm)}
    for revision, experiment in revisions.items():
        if made := state.of_revision(revision, experiment):
            result.setdefault(made.key, (made, revision))
    if here := state.of_folder(repository.root()):
        result.pop(here.key, None)
        result[here.key] = (here, "")
    return result


def pipeline(repo: Repo) -> list[PipelineStage]:
    """The stages that have a result."""
    return [item for item in repo.index.stages if isinstance(item, PipelineStage) and item.outs[0].hash_info]


def content_key(stage: PipelineStage) -> str:
    """DVC's run-cache key of a stage as dvc.lock has it (see tracking.facts.lineage); nothing is hashed anew."""
    return _get_cache_hash(to_single_stage_lockfile(stage), key=True)


def told(repo: Repo, stage: PipelineStage) -> tuple[str, dict[str, Any] | None]:
    """The folder of a stage's results and what it logged; None if they are not available, here or in DVC's cache."""
    paths = [os.path.relpath(out.fspath, repo.root_dir) for out in stage.outs]
    for path in sorted(paths, key=lambda each: not each.endswith(FILE)):
        folder = os.path.dirname(path) if path.endswith(FILE) else path
        try:
            return folder, rebuild.record(f"{folder}/{FILE}", repo.dvcfs.read_bytes(f"{folder}/{FILE}"))
        except (OSError, DvcException, DataIndexDirError):  # the last: DVC's cache lacks the folder's listing
            continue
    return "", None
