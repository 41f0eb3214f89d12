"""A parallel `dvc repro`: DVC decides what has to run, this schedules it.

`dvc repro` runs one stage at a time. Here the repository is loaded once, and every stage whose dependencies are done
is handed to an executor (see executors.py), which runs it in a process of its own. Change detection, run cache,
hashes, cache, locks and the format of dvc.lock are DVC's own (see lockfile.py), so the result is that of `dvc repro`,
byte for byte.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import networkx

from aelab.runner import hash_cache, recovery, yaml_cache
from aelab.runner.dvc_api import (
    DvcException,
    LockError,
    PipelineStage,
    Repo,
    RWLockFileCorruptedError,
    collect_stages,
    get_active_graph,
    plan_repro,
)
from aelab.runner.executors import Executor, Process
from aelab.runner.lockfile import LockfileWriter

LOGS = Path("logs")
NOT_KEPT = "DVC's cache took its outs twice and holds others; does a process still write to them, or is a disk damaged?"
PAUSE = 0.05  # seconds between two looks at the running stages
RETRY = 2.0  # seconds until a stage is retried whose files another DVC process uses


class View(Protocol):
    """Shows the progress of a run; names are DVC's, such as train@vae."""

    def plan(self, names: Sequence[str]) -> None: ...

    def started(self, name: str, log: Path) -> None: ...

    def ended(self, name: str, how: str, seconds: float) -> None:
        """how: ran, cached (restored by DVC), unchanged, failed, skipped (a dependency failed)."""
        ...

    def tick(self) -> None:
        """Called regularly while stages run."""
        ...


@dataclass
class Running:
    """A running stage, with locks on the files that it reads and writes, which other DVC processes respect."""

    stage: PipelineStage
    process: Process
    began: float
    held: contextlib.ExitStack


class Run:
    """One run of the pipeline in the working folder; see `everything`."""

    def __init__(
        self,
        repo: Repo,
        view: View,
        executor: Executor,
        force: bool = False,
        check: Callable[[], None] | None = None,
        run_cache: bool = True,
        environment: Mapping[str, str] | None = None,
        allow_missing: bool = False,
    ) -> None:
        """executor: runs the stages; check: called before the first stage that has to run; its exception ends the run;
        run_cache: whether DVC's run cache is used; environment: extra environment variables of the stages;
        allow_missing: stages whose results are missing, and that nothing else has changed, do not run."""
        self.repo, self.view, self.executor, self.force, self.check = repo, view, executor, force, check
        self.lockfile, self.run_cache = LockfileWriter(repo, run_cache), run_cache
        self.environment, self.allow_missing = dict(environment or {}), allow_missing
        self.needed: set[PipelineStage] = set()  # despite allow_missing
        self.waiting: dict[PipelineStage, set[PipelineStage]] = {}  # stage -> the stages that it waits for
        self.later: dict[PipelineStage, float] = {}  # locked elsewhere -> when to retry
        self.running: list[Running] = []
        self.failed: list[str] = []

    def everything(self, targets: Sequence[str] = ()) -> list[str]:
        """Bring `targets` (none: all of dvc.yaml) up to date; returns the names of the stages that failed.

        Raises DvcException if the pipeline cannot be loaded or is locked by another process.
        """
        # the view prints instead, also instead of DVC's progress bars
        logging.getLogger("dvc").setLevel(logging.CRITICAL)
        with self.lockfile.locked(), self.repo.scm_context(quiet=True):
            recovery.mend(self.repo)
            graph = get_active_graph(self.repo.index.graph)
            wanted = collect_stages(self.repo, list(targets) or ["dvc.yaml"])
            plan = [stage for stage in plan_repro(graph, wanted) if isinstance(stage, PipelineStage)]
            self.lockfile.open(plan)
            if self.allow_missing:
                self.needed = needed(graph, plan)
            self.waiting = {stage: set(graph.successors(stage)) & set(plan) for stage in first(graph, plan)}
            self.view.plan([name(stage) for stage in plan])
            try:
                self.executor.begin(self.repo)
                while self.waiting or self.running:
                    self.start_ready()
                    self.wait()
                    for item in self.ended():
                        self.finish(item)
                    self.lockfile.write()
            finally:
                self.stop()
                self.lockfile.write(everything=True)
        return self.failed

    def start_ready(self) -> None:
        """Start stages whose dependencies are done, while there is room: first those that most others wait for."""
        for stage in [item for item, upstream in self.waiting.items() if not upstream]:
            if not self.executor.room(len(self.running)):
                return
            if self.later.get(stage, 0.0) > time.monotonic():
                continue
            try:
                how = self.start(stage)
            except LockError:
                self.later[stage] = time.monotonic() + RETRY
                continue
            except (DvcException, OSError) as error:
                how = self.broken(stage, str(error))
            del self.waiting[stage]
            if how:
                self.pass_on(stage, how, 0.0)

    def start(self, stage: PipelineStage) -> str | None:
        """Returns "unchanged", "cached", or None if the stage now runs. The steps are those of
        dvc.stage.Stage.reproduce.

        Raises LockError if another DVC process reads what this stage writes, or writes what it reads.
        """
        if not (self.force or stage.changed(self.allow_missing and stage not in self.needed)):
            return "unchanged"
        if self.check:
            self.check()
            self.check = None
        stage.remove_outs(ignore_remove=False, force=False)
        if not self.force and self.run_cache and self.lockfile.restored(stage):
            return "cached"
        log = log_of(name(stage))
        log.parent.mkdir(exist_ok=True)
        with contextlib.ExitStack() as held:
            held.enter_context(self.lockfile.claimed(stage))
            process = self.executor.start(stage, self.environment, log)
            self.running.append(Running(stage, process, time.monotonic(), held.pop_all()))
        self.view.started(name(stage), log)
        return None

    def wait(self) -> None:
        """Wait until a stage has ended or a locked one may be retried; DVC's lock is released meanwhile."""
        until = min(self.later.values(), default=0.0) or float("inf")
        with self.lockfile.unlocked():
            while all(item.process.poll() is None for item in self.running) and time.monotonic() < until:
                if not self.running and not self.later:
                    return
                self.view.tick()
                time.sleep(PAUSE)
            self.later = {stage: when for stage, when in self.later.items() if when > time.monotonic()}

    def ended(self) -> list[Running]:
        """The stages that have ended, removed from the running ones."""
        ended = [item for item in self.running if item.process.poll() is not None]
        self.running = [item for item in self.running if item not in ended]
        return ended

    def finish(self, each: Running) -> None:
        """Save the outs of a stage, or skip everything that depends on it."""
        each.held.close()
        how = "ran" if each.process.returncode == 0 else "failed"
        try:
            # DVC's cache had damaged files under the new names; they have been removed, so the second attempt succeeds
            if how == "ran" and not (self.lockfile.keep(each.stage) or self.lockfile.keep(each.stage)):
                how = self.broken(each.stage, NOT_KEPT)
        except (DvcException, OSError) as error:  # such as a missing out, or a full disk
            how = self.broken(each.stage, str(error))
        self.pass_on(each.stage, how, time.monotonic() - each.began)

    def broken(self, stage: PipelineStage, why: str) -> str:
        """ "failed", with DVC's message added to the stage's log."""
        log_of(name(stage)).parent.mkdir(exist_ok=True)
        with open(log_of(name(stage)), "a") as log:
            log.write(f"{why}\n")
        return "failed"

    def pass_on(self, stage: PipelineStage, how: str, seconds: float) -> None:
        """Tell the view, and release or skip the stages that depend on this one."""
        self.view.ended(name(stage), how, seconds)
        if how == "failed":
            self.failed.append(name(stage))
        for below in [item for item, upstream in self.waiting.items() if stage in upstream]:
            if how not in ("failed", "skipped"):
                self.waiting[below].discard(stage)
            elif self.waiting.pop(below, None) is not None:
                self.pass_on(below, "skipped", 0.0)

    def stop(self) -> None:
        """Terminate running stages."""
        for item in self.running:
            item.process.terminate()
        for item in self.running:
            item.process.wait()
            with contextlib.suppress(RWLockFileCorruptedError):  # Ctrl-C tore it; the next run mends it
                item.held.close()
        self.running = []
        self.executor.end()


def first(graph: networkx.DiGraph, plan: Sequence[Any]) -> list[Any]:
    """The stages of a plan in the order in which they start: those that most others wait for come first. graph: from a
    stage to those that it waits for."""
    return sorted(plan, key=lambda stage: -len(networkx.ancestors(graph, stage)))


def needed(graph: networkx.DiGraph, plan: Sequence[PipelineStage]) -> set[PipelineStage]:
    """The stages whose missing results a changed stage reads. plan: in DVC's order, upstream first."""
    result: set[PipelineStage] = set()
    for stage in reversed(plan):
        if stage in result or stage.changed(allow_missing=True):
            result |= {item for item in graph.successors(stage) if not all(out.exists for out in item.outs)}
    return result & set(plan)


def name(stage: PipelineStage) -> str:
    """DVC's name of a stage, such as train@vae."""
    return str(stage.addressing)


def log_of(name: str) -> Path:
    """The log file of a stage."""
    return LOGS / f"{name.replace(os.sep, '-')}.log"


def repro(
    targets: Sequence[str],
    view: View,
    executor: Executor,
    force: bool = False,
    check: Callable[[], None] | None = None,
    run_cache: bool = True,
    environment: Mapping[str, str] | None = None,
    allow_missing: bool = False,
) -> list[str]:
    """Bring the pipeline of the working folder up to date (see Run and Run.everything)."""
    yaml_cache.remember()
    hash_cache.remember()
    with Repo() as repo:
        return Run(repo, view, executor, force, check, run_cache, environment, allow_missing).everything(targets)
