"""Run the stages of a model again in a temporary folder, without changing anything of the user's.

What a model depends on comes from DVC's cache; what the cache lacks is run too, and compared with dvc.lock as well. The
results go to no cache and no dvc.lock.
"""

from __future__ import annotations

import contextlib
import difflib
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.repo.reproduce import get_active_graph, plan_repro
from dvc.stage import PipelineStage
from filelock import FileLock, Timeout

from aelab.cli.verify.verdict import FAILED, Content, Verdict, some, verdict_of
from aelab.data import storage
from aelab.runner import pipeline, project_copy, stage
from aelab.runner.lockfile import LockfileWriter

HOME = Path(".aelab/verify")
LOGS = project_copy.LOGS / "verify"


def verify(names: Sequence[str], view: pipeline.View, jobs: int) -> list[Verdict]:
    """Reproduce models (none: all); returns a verdict for each, and for each stage upstream that had to run.

    Raises ValueError for an unknown name, outside git, and while another `verify` runs; DvcException outside DVC.
    """
    with Repo() as repo:
        cache, known = repo.cache.local_cache_dir, list(measured(repo))
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise ValueError(f"{name}: no such model{hint}; there are: {', '.join(known)}")
    HOME.parent.mkdir(exist_ok=True)
    try:
        with FileLock(f"{HOME}.lock", timeout=0):
            return _verify(list(dict.fromkeys(names)) or known, cache, view, jobs)
    except Timeout:
        raise ValueError("another `aelab verify` is at work here; wait for it or end it") from None


def _verify(names: Sequence[str], cache: str, view: pipeline.View, jobs: int) -> list[Verdict]:
    for left in (HOME, LOGS):
        shutil.rmtree(left, ignore_errors=True)
    with project_copy.copy(HOME, cache, LOGS):
        pass
    root = Path.cwd()
    with contextlib.chdir(HOME):
        result = again(names, view, jobs, root)
    if not any(item.fault for item in result):
        shutil.rmtree(HOME)
    return result


def again(names: Sequence[str], view: pipeline.View, jobs: int, root: Path) -> list[Verdict]:
    """Run and compare, in the copy."""
    with Repo() as repo:
        graph, ends = get_active_graph(repo.index.graph), measured(repo)
        plans = {
            name: [item for item in plan_repro(graph, [ends[name]]) if isinstance(item, PipelineStage)]
            for name in names
        }
        chains = {name: [item for item in plan if is_item(item)] for name, plan in plans.items()}
        upstream = dict.fromkeys(item for plan in plans.values() for item in plan if not is_item(item))
        with repo.lock:
            chains |= {pipeline.name(item): [item] for item in upstream if not restored(item)}
        anew = {out.fs_path for chain in chains.values() for item in chain for out in item.outs}
        made_from = chains | plans  # for a model, with everything upstream
        stale = {name: text for name, chain in made_from.items() if (text := some(moved(chain, anew)))}
        chosen = list(dict.fromkeys(item for name, chain in chains.items() if name not in stale for item in chain))
        wanted = {pipeline.name(item): contents(item) for item in chosen}
        run = Again(repo, view, jobs, chosen)
        run.environment = {"AELAB_TRACKING": "off", "DVC_ROOT": str(root)}
        if chosen:
            run.everything([pipeline.name(item) for item in chosen])
    return [
        Verdict(name, f"changed since dvc.lock: {stale[name]}; `aelab repro` first", FAILED)
        if name in stale
        else ended(name, [pipeline.name(item) for item in chain], wanted, run, root)
        for name, chain in sorted(chains.items(), key=lambda pair: pair[0] in plans)  # upstream first
    ]


def ended(name: str, chain: Sequence[str], wanted: Mapping[str, Any], run: Again, root: Path) -> Verdict:
    """The verdict on a chain of stages that has ended, successfully or not."""
    made = run.apart.outs
    if failed := [item for item in chain if item in run.failed]:
        from aelab.runner.console import last_line

        log = pipeline.log_of(failed[0])
        return Verdict(name, f"{failed[0]}: {last_line(log)} (all of it: {LOGS / log.name})", FAILED)
    if missing := [item for item in chain if item not in made]:
        return Verdict(name, f"{missing[0]} could not run: what it reads failed", FAILED)
    before, after = ({k: v for item in chain for k, v in outs[item].items()} for outs in (wanted, made))
    values = (
        stage.folder("evaluate", name) / "metrics.json",
        stage.folder(name) / f"{name}.json",
    )  # of model, of baselines
    path = next(filter(Path.exists, values), None)
    return verdict_of(name, before, after, storage.load_json(path) if path else None, root)


class Again(pipeline.Run):
    """Runs the chosen stages although they are up to date."""

    def __init__(self, repo: Repo, view: pipeline.View, jobs: int, chosen: Sequence[PipelineStage]) -> None:
        super().__init__(repo, view, jobs, force=True)
        self.chosen = chosen
        self.lockfile = self.apart = Apart(repo)

    def plan(self, graph: Any, stages: list[Any]) -> list[PipelineStage]:
        return [item for item in super().plan(graph, stages) if item in self.chosen]


class Apart(LockfileWriter):
    """Notes what stages made, without writing to DVC's cache or dvc.lock."""

    def __init__(self, repo: Repo) -> None:
        super().__init__(repo)
        self.outs: dict[str, dict[str, Content]] = {}

    def keep(self, stage: PipelineStage) -> bool:
        stage.save(run_cache=False)
        self.outs[pipeline.name(stage)] = contents(stage)
        return True


def measured(repo: Repo) -> dict[str, PipelineStage]:
    """Model -> the stage that evaluates it, the last of those that make its results."""
    place, stages = stage.folder("evaluate"), [item for item in repo.index.stages if isinstance(item, PipelineStage)]
    paths = {Path(out.def_path): item for item in stages for out in item.outs}
    return {path.name: item for path, item in paths.items() if path.parent == place}


def is_item(each: PipelineStage) -> bool:
    """Whether a stage belongs to one entry of params.yaml."""
    return "@" in pipeline.name(each)


def restored(each: PipelineStage) -> bool:
    """Restore a stage's outs from DVC's cache; returns whether it has them."""
    if any(out.get_obj() is None for out in each.outs):
        return False
    with contextlib.suppress(DvcException, OSError):
        each.checkout(force=True)
    return not any(out.workspace_status() for out in each.outs)


def moved(chain: Iterable[PipelineStage], anew: set[str]) -> list[str]:
    """Dependencies of these stages that differ from dvc.lock; results that will be made again do not count."""
    result = []
    for item in chain:
        if any(not out.hash_info for out in item.outs):
            result.append(f"{pipeline.name(item)} (not in dvc.lock)")
        result += [f"the command of {pipeline.name(item)}"] if item.cmd_changed else []
        for dep in item.deps:
            if not any(path == dep.fs_path or Path(dep.fs_path) in Path(path).parents for path in anew):
                result += dep.workspace_status()
    return list(dict.fromkeys(result))


def contents(each: PipelineStage) -> dict[str, Content]:
    """A stage's outs as in dvc.lock or, if it has just run, as they are."""
    from dvc_data.hashfile.tree import Tree

    result = {}
    for out in each.outs:
        content, path, value = out.get_obj(), out.def_path, str(out.hash_info.value if out.hash_info else "")
        files = {path: value} if not value.endswith(".dir") else None
        if isinstance(content, Tree):
            files = {"/".join((path, *key)): str(info.value) for key, _, info in content if info}
        result[path] = Content(value, out.meta.nfiles or 1 if out.meta else 1, files)
    return result
