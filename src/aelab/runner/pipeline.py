"""A parallel `dvc repro`: DVC decides what has to run, this schedules it.

`dvc repro` runs one stage at a time. Here the repository is loaded once, and every stage whose dependencies are done
starts in a process of its own. Change detection, run cache, hashes, cache, locks and the format of dvc.lock are DVC's
own (see lockfile.py), so the result is that of `dvc repro`, byte for byte.
"""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import networkx

from aelab.runner import cores, fork_server, hash_cache, recovery, yaml_cache
from aelab.runner.dvc_api import (
    DvcException,
    LockError,
    PipelineStage,
    Repo,
    collect_stages,
    get_active_graph,
    get_executable,
    make_cmd,
    plan_repro,
    prepare_kwargs,
)
from aelab.runner.lockfile import LockfileWriter

LOGS = Path("logs")
NOT_KEPT = "DVC's cache took its outs twice and holds others; does a process still write to them, or is a disk damaged?"
PAUSE = 0.05  # seconds between two looks at the running stages
RETRY = 2.0  # seconds until a stage is retried whose files another DVC process uses


class Process(Protocol):
    """The part of subprocess.Popen that is used."""

    @property
    def returncode(self) -> Any: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def terminate(self) -> None: ...


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
    gpu: str | None
    held: contextlib.ExitStack


class Run:
    """One run of the pipeline in the working folder; see `everything`."""

    def __init__(
        self,
        repo: Repo,
        view: View,
        jobs: int,
        gpus: Sequence[str] = (),
        force: bool = False,
        check: Callable[[], None] | None = None,
        run_cache: bool = True,
        environment: Mapping[str, str] | None = None,
        allow_missing: bool = False,
    ) -> None:
        """jobs: cores to use; check: called before the first stage that has to run; its exception ends the run;
        run_cache: whether DVC's run cache is used; environment: extra environment variables of the stages;
        allow_missing: stages whose results are missing, and that nothing else has changed, do not run."""
        self.repo, self.view, self.jobs, self.gpus, self.force, self.check = repo, view, jobs, gpus, force, check
        self.lockfile, self.run_cache = LockfileWriter(repo, run_cache), run_cache
        self.environment, self.allow_missing = dict(environment or {}), allow_missing
        self.needed: set[PipelineStage] = set()  # despite allow_missing
        self.waiting: dict[PipelineStage, set[PipelineStage]] = {}  # stage -> the stages that it waits for
        self.later: dict[PipelineStage, float] = {}  # locked elsewhere -> when to retry
        self.running: list[Running] = []
        self.failed: list[str] = []
        self.server: fork_server.Server | None = None

    def everything(self, targets: Sequence[str] = ()) -> list[str]:
        """Bring `targets` (none: all of dvc.yaml) up to date; returns the names of the stages that failed.

        Raises DvcException if the pipeline cannot be loaded or is locked by another process.
        """
        # the view prints instead, also instead of DVC's progress bars
        logging.getLogger("dvc").setLevel(logging.CRITICAL)
        with self.lockfile.locked(), self.repo.scm_context(quiet=True), cores.share(self.jobs) as turns:
            self.environment |= turns
            recovery.mend(self.repo)
            graph = get_active_graph(self.repo.index.graph)
            wanted = collect_stages(self.repo, list(targets) or ["dvc.yaml"])
            plan = [stage for stage in plan_repro(graph, wanted) if isinstance(stage, PipelineStage)]
            self.lockfile.open(plan)
            if self.allow_missing:
                self.needed = needed(graph, plan)
            # those that most others wait for
            first = sorted(plan, key=lambda stage: -len(networkx.ancestors(graph, stage)))
            self.waiting = {stage: set(graph.successors(stage)) & set(plan) for stage in first}
            self.view.plan([name(stage) for stage in plan])
            try:
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
        """Start stages whose dependencies are done, while cores are free: first those that most others wait for."""
        for stage in [item for item, upstream in self.waiting.items() if not upstream]:
            if len(self.running) == self.jobs:
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
        options, gpu, log = prepare_kwargs(stage, self.environment), self.free_gpu(), log_of(name(stage))
        if gpu is not None:
            options["env"]["CUDA_VISIBLE_DEVICES"] = gpu
        log.parent.mkdir(exist_ok=True)
        with contextlib.ExitStack() as held, open(log, "wb") as out:
            held.enter_context(self.lockfile.claimed(stage))
            process = self.process(stage, options, log, out)
            self.running.append(Running(stage, process, time.monotonic(), gpu, held.pop_all()))
        self.view.started(name(stage), log)
        return None

    def process(self, stage: PipelineStage, options: Any, log: Path, out: IO[bytes]) -> Process:
        """Start the stage's command; a Python script runs in a fork that has its libraries loaded."""
        if text := fork_server.arguments(stage.cmd) if isinstance(stage.cmd, str) else []:
            self.server = self.server or fork_server.Server(os.environ)
            return self.server.start(text, options["cwd"], options["env"], log)
        command: Any = make_cmd(get_executable(), stage.cmd)
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options)

    def free_gpu(self) -> str | None:
        """The GPU with the fewest stages; None if there are none to share out."""
        taken = [item.gpu for item in self.running]
        return min(self.gpus, key=taken.count, default=None)

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
            item.held.close()
        self.running = []
        if self.server:
            self.server.close()


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
    jobs: int,
    gpus: Sequence[str] = (),
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
        run = Run(repo, view, jobs, gpus, force, check, run_cache, environment, allow_missing)
        return run.everything(targets)
