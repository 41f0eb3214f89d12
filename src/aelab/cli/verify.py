"""Reproduce models of the last commit, and compare them with its dvc.lock and metrics/.

The stages of a model run in a git worktree, .aelab/verify, which shares DVC's cache; what they depend on comes from
there, or runs too. On the kind of machine that made the committed result every byte must be the same: same device (for
a CPU its model and instructions, see `describe` in config/runtime.py), and the libraries of requirements.lock.
Elsewhere the headline metrics must agree within a tolerance (see headlines.Number).
"""

from __future__ import annotations

import contextlib
import difflib
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import networkx
from filelock import FileLock, Timeout

from aelab.cli import headlines
from aelab.cli.headlines import some
from aelab.data import storage
from aelab.report.provenance import LIBRARIES
from aelab.report.results import Item
from aelab.report.table import DIGITS
from aelab.runner import console, executors, pipeline, repository, stage
from aelab.runner.dvc_api import Config, PipelineStage, Repo, dump_yaml, load_yaml

HOME = Path(".aelab/verify")
LOCKED = Path("requirements.lock")
DIFFERS, FAILED = "DIFFERS", "FAILED"
Outs = dict[str, list[dict[str, Any]]]  # stage -> its outs as in dvc.lock


@dataclass(frozen=True)
class Verdict:
    """One line about one model."""

    name: str
    text: str
    fault: str = ""  # DIFFERS: by more than the tolerance; FAILED: nothing to compare

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.name, self.fault, self.text)))


def verify(names: Sequence[str], view: pipeline.View, jobs: int) -> list[Verdict]:
    """Reproduce models (none: all); returns a verdict for each, and for each stage upstream whose results differ.

    Raises ValueError for an unknown name, outside git, and while another `verify` runs; DvcException outside DVC.
    """
    with Repo() as repo:
        cache = repo.cache.local_cache_dir
    if (prefix := repository.git("rev-parse", "--show-prefix")) is None:
        raise ValueError("this runs the last commit, and there is no git repository here")
    HOME.parent.mkdir(exist_ok=True)
    root = str(Path.cwd())
    try:
        with FileLock(f"{HOME}.lock", timeout=0), worktree(cache, prefix) as folder:
            verdicts = reproduce(names, view, jobs, root)
            if not any(item.fault for item in verdicts):
                shutil.rmtree(folder)
            return verdicts
    except Timeout:
        raise ValueError("another `aelab verify` is at work here; wait for it or end it") from None


@contextlib.contextmanager
def worktree(cache: str, prefix: str) -> Iterator[Path]:
    """The files of the last commit in HOME, with DVC's cache; they become the working folder.

    prefix: where in git's repository the project lies.
    """
    shutil.rmtree(HOME, ignore_errors=True)
    repository.git("worktree", "prune")
    if repository.git("worktree", "add", "--detach", str(HOME), "HEAD") is None:
        raise ValueError("this runs the last commit, and there is none")
    config: Any
    with Config(str(HOME / prefix / ".dvc")).edit("local") as config:
        config.setdefault("core", {}).update(no_scm=True)
        config.setdefault("cache", {})["dir"] = cache
    home = HOME.absolute()
    try:
        with contextlib.chdir(home / prefix):
            yield home
    finally:
        repository.git("worktree", "prune")


def reproduce(names: Sequence[str], view: pipeline.View, jobs: int, root: str) -> list[Verdict]:
    """Run and compare, in the worktree."""
    lock = Path("dvc.lock")
    committed = load_yaml(str(lock)) if lock.exists() else {}
    before: Outs = {name: entry["outs"] for name, entry in committed.get("stages", {}).items()}
    with Repo() as repo:
        stages = {pipeline.name(item): item for item in repo.index.stages if isinstance(item, PipelineStage)}
        graph = networkx.relabel_nodes(repo.index.graph, {item: name for name, item in stages.items()})
        places = {Path(out.def_path): name for name, item in stages.items() for out in item.outs}
        ends = {place.name: name for place, name in places.items() if place.parent == stage.folder("evaluate")}
        for name in names:
            if name not in ends:
                near = difflib.get_close_matches(name, ends, 1)
                hint = f" (did you mean {near[0]}?)" if near else ""
                raise ValueError(f"{name}: no such model{hint}; there are: {', '.join(ends)}")
        order = list(reversed(list(networkx.topological_sort(graph))))  # upstream first
        plans = {}
        for name in names or ends:
            needed = {ends[name], *networkx.descendants(graph, ends[name])}
            plans[name] = [item for item in order if item in needed]
        status = repo.status(targets=list({item for plan in plans.values() for item in plan}))
        stale = {name: found for name, plan in plans.items() if (found := changed(status, plan))}
        wanted = {name: plan for name, plan in plans.items() if name not in stale}
        items = {item for plan in wanted.values() for item in plan if "@" in item}
        upstream = sorted({item for plan in wanted.values() for item in plan} - items)
        if wanted:
            kept = {name: entry for name, entry in committed["stages"].items() if name not in items}
            dump_yaml(str(lock), {**committed, "stages": kept})  # so the others have to run
            repo.checkout(targets=upstream, allow_missing=True, force=True)
    if wanted:
        environment = {"AELAB_TRACKING": "off", "DVC_ROOT": root}
        pipeline.repro(
            [ends[name] for name in wanted], view, executors.Local(jobs), run_cache=False, environment=environment
        )
    after: Outs = {name: entry["outs"] for name, entry in load_yaml(str(lock))["stages"].items()} if wanted else {}
    chains = {item: [item] for item in upstream if before[item] != after.get(item)}
    chains |= {name: [item for item in plan if "@" in item] for name, plan in wanted.items()}
    verdicts = [verdict(name, chain, before, after) for name, chain in chains.items()]
    for name, found in stale.items():
        verdicts.append(Verdict(name, f"changed since dvc.lock: {some(found)}; `aelab repro` first", FAILED))
    return verdicts


def changed(status: Any, plan: Sequence[str]) -> list[str]:
    """What stages depend on that differs from dvc.lock. Files that DVC's cache lacks do not count: they are made."""
    result = []
    for name in plan:
        for what in status.get(name, ()):
            if what == "changed command":
                result.append(f"the command of {name}")
            elif "changed deps" in what:
                result += [path for path, how in what["changed deps"].items() if how != "deleted"]
            elif "not in cache" not in str(what) and "deleted" not in str(what):
                result.append(f"{name} (not in dvc.lock)")
    return list(dict.fromkeys(result))


def verdict(name: str, chain: Sequence[str], before: Outs, after: Outs) -> Verdict:
    """The verdict on a model, whose chain of stages has run, or on a stage upstream of models."""
    if missing := [item for item in chain if item not in after]:
        log = pipeline.log_of(missing[0])
        text = f"{console.last_line(log)} (all of it: {HOME / log})" if log.exists() else "what it reads failed"
        return Verdict(name, f"{missing[0]}: {text}", FAILED)
    files = [out["path"] for item in chain for out, now in zip(before[item], after[item], strict=True) if out != now]
    values = stage.folder("evaluate", name) / "metrics.json", stage.folder(name) / f"{name}.json"
    about = next((storage.load_json(path) for path in values if path.exists()), {})
    rows = headlines.rows((stage.folder("compare") / headlines.TABLE).read_text(encoding="utf-8"))
    numbers = []
    if "metrics" in about and name in rows:
        item = Item(name, about, {})
        means = {metric: f"{item.mean(metric):.{DIGITS}g}" for metric in item.metrics}
        numbers = headlines.compared(rows[name], means)
    beyond, furthest = headlines.furthest(numbers)
    if not files and furthest:
        return Verdict(name, f"metrics/{headlines.TABLE} does not say what the result says: {furthest}", DIFFERS)
    if not files:
        return Verdict(name, f"identical, {sum(len(before[item]) for item in chain)} results")
    devices = {rows[name]["device"]} if name in rows else {row["device"] for row in rows.values()}
    ways = other_machine(devices, about["device"]) if about else []
    machines = f" ({'; '.join(ways)})" * bool(ways)
    if beyond:
        return Verdict(name, some(beyond) + machines, DIFFERS)
    if ways:
        text = f"differs within tolerance: {furthest}" if furthest else f"other bytes in {some(files)}"
        return Verdict(name, text + machines)
    text = f"other bytes in {some(files)}, where every byte should be the same"
    return Verdict(name, text + (f"; {furthest}" if furthest else ""), DIFFERS)


def other_machine(devices: set[str], here: str) -> list[str]:
    """How this machine differs from the one that made the committed results; empty: bytes must be equal.

    devices: of the committed results; here: that of the reproduction.
    """
    ways = [] if here in devices else [f"made on {' or '.join(sorted(devices)) or 'an unknown device'}, here {here}"]
    locked: dict[str, set[str]] = {}
    for library, number in re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCKED.read_text(), re.MULTILINE):
        locked.setdefault(library, set()).add(number)  # some by version of Python
    for library in LIBRARIES:
        if library in locked and (mine := version(library).partition("+")[0]) not in locked[library]:
            ways.append(f"{library} {mine} here, {' or '.join(sorted(locked[library]))} locked")
    return ways
