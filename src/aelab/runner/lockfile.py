"""dvc.lock, DVC's locks and its run cache: finished stages are written several at a time, and atomically.

`dvc repro` rewrites dvc.lock, thousands of lines, in place after each stage: if it dies meanwhile, half a file is left.
Here a new file replaces the old one. The final bytes are the same. A stage that had finished but was not yet written
when this process died is restored from DVC's run cache.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from aelab.runner import recovery
from aelab.runner.dvc_api import LOCK_FILE, LockError, Lockfile, PipelineStage, Repo, RunCacheNotFoundError, rwlock

SHARE = 60  # writing dvc.lock may take 1/60 of the time


class LockfileWriter:
    """Writes the dvc.lock of one repository."""

    def __init__(self, repo: Repo, run_cache: bool = True) -> None:
        """run_cache: whether finished stages go to DVC's run cache."""
        self.repo, self.run_cache = repo, run_cache
        self.finished: list[PipelineStage] = []  # not yet in dvc.lock
        self.new: list[PipelineStage] = []  # not in dvc.lock before, in the order of `dvc repro`
        self.cost, self.written = 0.0, time.monotonic()

    def open(self, plan: Sequence[PipelineStage]) -> None:
        """Note which stages of the plan, in DVC's order, are not in dvc.lock yet."""
        self.new = [stage for stage in plan if not any(out.hash_info for out in stage.outs)]

    def restored(self, stage: PipelineStage) -> bool:
        """Restore a stage's outs from DVC's run cache; False if it does not hold all of them undamaged."""
        try:
            self.repo.stage_cache.restore(stage)
        except RunCacheNotFoundError:
            stage.save_deps()
            return False
        if self.keep(stage):
            return True
        stage.remove_outs(ignore_remove=False, force=False)
        return False

    @contextlib.contextmanager
    def claimed(self, stage: PipelineStage) -> Iterator[None]:
        """Lock the files that a stage reads and writes.

        Raises LockError if another DVC process reads what the stage writes, or writes what it reads.
        """
        reads, writes = ([item.fs_path for item in items] for items in (stage.deps, stage.outs))
        with rwlock(self.repo.tmp_dir, self.repo.fs, f"aelab {stage.addressing}", reads, writes, False):
            yield

    def keep(self, stage: PipelineStage) -> bool:
        """Save and commit a stage as DVC does after a run; False if the cache does not hold its outs undamaged."""
        uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
        try:
            stage.save(run_cache=self.run_cache and not uncached)
        except FileNotFoundError:  # another DVC process on this cache read a half-written entry
            stage.save(run_cache=self.run_cache and not uncached)
        stage.commit()
        if not recovery.whole(self.repo, stage):
            return False
        self.finished.append(stage)
        return True

    def write(self, everything: bool = False) -> None:
        """Write finished stages to dvc.lock, now and then; new ones in the order of `dvc repro`.

        Nothing is written without DVC's lock (after a second Ctrl-C): the run cache has the stages.
        """
        due = everything or time.monotonic() - self.written > SHARE * self.cost
        if not (self.finished and due and self.repo.lock.is_locked):
            return
        began, ready = time.monotonic(), [stage for stage in self.finished if stage not in self.new]
        first = list(itertools.takewhile(lambda stage: stage in self.finished or everything, self.new))
        ready += [stage for stage in first if stage in self.finished]
        for path in dict.fromkeys(stage.path for stage in ready):
            mine = [stage for stage in ready if stage.path == path]
            Draft(self.repo, Path(path).with_name(LOCK_FILE)).dump_stages(mine)
        # only now: if writing failed, all of them are still to be written, in this order
        self.new, self.finished = self.new[len(first) :], [stage for stage in self.finished if stage not in ready]
        self.cost, self.written = time.monotonic() - began, time.monotonic()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold DVC's lock. Raises LockError if another command has it."""
        self.repo.lock.lock()
        try:
            yield
        finally:
            if self.repo.lock.is_locked:
                self.repo.lock.unlock()

    @contextlib.contextmanager
    def unlocked(self) -> Iterator[None]:
        """Release DVC's lock for a while, so that other commands can read."""
        self.repo.lock.unlock()
        try:
            yield
        finally:
            while not self.repo.lock.is_locked:
                with contextlib.suppress(LockError):
                    self.repo.lock.lock()


class Draft(Lockfile):
    """A copy of dvc.lock that DVC writes to; it is synced to the disk and renamed over the original."""

    def __init__(self, repo: Repo, lock: Path) -> None:
        super().__init__(repo, os.path.join(str(repo.tmp_dir), LOCK_FILE))
        self.lock = lock.resolve()

    @property
    def relpath(self) -> str:
        """The path that DVC reports to Git."""
        return os.path.relpath(self.lock)

    def dump_stages(self, stages: Sequence[PipelineStage], **options: bool) -> None:
        """Like DVC's. Raises OSError, e.g. for a full disk; dvc.lock is then unchanged."""
        Path(self.path).unlink(missing_ok=True)
        if self.lock.exists():
            shutil.copy(self.lock, self.path)
        super().dump_stages(stages, **options)
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.lock)
