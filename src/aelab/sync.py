"""`aelab sync`: the tracking store as the results have it, those in the working folder and those of experiments.

MLflow is a projection of what DVC keeps: every stage leaves what it tracked among its results (tracked.json), so a
store that was deleted, or was down, or belongs to a fresh clone with a pulled cache, is filled again without training.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.experiments.utils import exp_refs
from dvc.stage import PipelineStage
from dvc.stage.cache import _can_hash, _get_stage_hash

from aelab.tracking import places, rebuild, recorder, state

FILE = "tracked.json"
DRAIN = 60.0  # seconds that the process which writes may take with what stages left


def sync() -> Counter[str]:
    """Bring the store up to date; how many runs were `made`, `linked`, `there`, `ended` (see tracking.rebuild).

    Raises DvcException outside a DVC project, and what the store raises.
    """
    drain()
    counts, experiments = Counter[str](), dict[str, rebuild.Known]()
    with Repo() as repo:
        for found, stages in states(repo):
            for stage in stages:
                record = told(repo, stage)
                if record is None:
                    continue
                name = record["experiment"]
                if name not in experiments:
                    experiments[name] = rebuild.known(name)
                key = _get_stage_hash(stage) if _can_hash(stage) else None
                counts[rebuild.place(experiments[name], found, record, stage.addressing, key)] += 1
    counts["ended"] = rebuild.reap()
    return counts


def drain() -> None:
    """Let what lies in the spool arrive first."""
    if not any(places.spool().glob("*.jsonl")):
        return
    recorder.start_writer()
    end = time.monotonic() + DRAIN
    while time.monotonic() < end and any(places.spool().glob("*.jsonl")) and not any(places.spool().glob("*.failed")):
        time.sleep(0.2)


def states(repo: Repo) -> Iterator[tuple[state.State, list[PipelineStage]]]:
    """The state of the working folder and those of DVC's experiments, each with the stages of its dvc.lock."""
    here = state.of_folder(places.root())
    if here:
        yield here, pipeline(repo)
    for ref in exp_refs(repo.scm):
        revision = repo.scm.get_ref(str(ref))
        found = state.of_revision(revision, ref.name or "")
        if found and (not here or found.key != here.key):
            with repo.switch(revision):
                yield found, pipeline(repo)


def pipeline(repo: Repo) -> list[PipelineStage]:
    """The stages that have a result."""
    return [each for each in repo.index.stages if isinstance(each, PipelineStage) and each.outs[0].hash_info]


def told(repo: Repo, stage: PipelineStage) -> dict[str, Any] | None:
    """What a stage tracked; None where its results are not at hand, in the folder or DVC's cache."""
    places = [out.fspath if out.fspath.endswith(FILE) else f"{out.fspath}/{FILE}" for out in stage.outs]
    for path in sorted(places, key=lambda each: each.count("/")):
        relative = path.removeprefix(f"{repo.root_dir}/")
        try:
            return rebuild.record(relative, repo.dvcfs.read_bytes(relative))
        except (OSError, DvcException):
            continue
    return None
