"""`aelab sync`: the tracking store as the results have it, those in the working folder and those of experiments.

MLflow is a projection of what DVC keeps: every stage leaves what it tracked among its results (tracked.json), so a
store that was deleted, or was down, or belongs to a fresh clone with a pulled cache, is filled again without training.
"""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.experiments.utils import exp_refs
from dvc.scm import Git
from dvc.stage import PipelineStage
from dvc.stage.cache import _get_cache_hash
from dvc.stage.serialize import to_single_stage_lockfile
from dvc_data.index import DataIndexDirError

from aelab.tracking import outbox, places, rebuild, state, store

FILE = "tracked.json"
DRAIN = 60.0  # seconds that the process which writes may take with what stages left


def sync() -> Counter[str]:
    """Bring the store up to date; how many runs were `made`, `linked`, `there`, `ended` (see tracking.rebuild).

    Raises DvcException outside a DVC project, ValueError for a damaged store, and what the store raises.
    """
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    store.check()
    drain()
    counts, experiments = Counter[str](), dict[str, rebuild.Known]()
    with Repo() as repo:
        for found, stages in states(repo):
            for stage in stages:
                folder, record = told(repo, stage)
                if record is None:
                    continue
                name = record["experiment"]
                if name not in experiments:
                    experiments[name] = rebuild.known(name)
                key = content_key(stage)
                with tempfile.TemporaryDirectory() as copy:

                    def fetch(path: str, folder: str = folder, copy: str = copy) -> str:
                        repo.dvcfs.get(os.path.normpath(f"{folder}/{path}"), copy, recursive=True)
                        return copy

                    how = rebuild.place(experiments[name], found, record, str(stage.addressing), key, fetch)
                counts[how] += 1
    if list(Path(".aelab/sweeps").glob("*")):
        from aelab.sweeps import run

        run.tell_again(print)
    counts["ended"] = rebuild.reap()
    return counts


def drain() -> None:
    """Let what lies in the spool arrive first."""
    if not any(places.spool().glob("*.jsonl")):
        return
    outbox.start_writer()
    end = time.monotonic() + DRAIN
    while time.monotonic() < end and any(places.spool().glob("*.jsonl")) and not any(places.spool().glob("*.failed")):
        time.sleep(0.2)


def states(repo: Repo) -> Iterator[tuple[state.State, list[PipelineStage]]]:
    """The state of the commit, those of DVC's experiments and that of the working folder, where they differ, each with
    the stages of its dvc.lock."""
    seen, revisions = set(), {}
    if isinstance(repo.scm, Git):
        revisions = {"HEAD": ""} | {repo.scm.get_ref(str(ref)): ref.name or "" for ref in exp_refs(repo.scm)}
    for revision, experiment in revisions.items():
        found = state.of_revision(revision, experiment)
        if found and found.key not in seen:
            seen.add(found.key)
            with repo.switch(revision):
                yield found, pipeline(repo)
    here = state.of_folder(places.root())
    if here and here.key not in seen:
        yield here, pipeline(repo)


def pipeline(repo: Repo) -> list[PipelineStage]:
    """The stages that have a result."""
    return [each for each in repo.index.stages if isinstance(each, PipelineStage) and each.outs[0].hash_info]


def content_key(stage: PipelineStage) -> str:
    """DVC's run-cache key of a stage as dvc.lock has it (see tracking.facts.lineage); nothing is hashed anew."""
    return _get_cache_hash(to_single_stage_lockfile(stage), key=True)


def told(repo: Repo, stage: PipelineStage) -> tuple[str, dict[str, Any] | None]:
    """The folder of a stage's results and what it tracked; None where they are not at hand, here or in DVC's cache."""
    paths = [os.path.relpath(out.fspath, repo.root_dir) for out in stage.outs]
    for path in sorted(paths, key=lambda each: not each.endswith(FILE)):
        folder = os.path.dirname(path) if path.endswith(FILE) else path
        try:
            return folder, rebuild.record(f"{folder}/{FILE}", repo.dvcfs.read_bytes(f"{folder}/{FILE}"))
        except (OSError, DvcException, DataIndexDirError):  # the last: DVC's cache lacks the folder's listing
            continue
    return "", None
