"""DVC's books: its locks, its run cache, and dvc.lock, to which finished stages are written several at a time.

`dvc repro` rewrites dvc.lock, thousands of lines, after each stage, and in place: if it dies meanwhile, half is left.
Here a new one takes the old one's place. What is written in the end is the same, byte for byte. A stage that had
finished but was not yet written when this process died is found again in DVC's run cache.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from dvc.dvcfile import LOCK_FILE, Lockfile
from dvc.lock import LockError
from dvc.repo import Repo
from dvc.rwlock import rwlock
from dvc.stage import PipelineStage
from dvc.stage.cache import RunCacheNotFoundError

from aelab.runner import recovery

SHARE = 60  # writing dvc.lock may take one part in so many of the time


class LockfileWriter:
    """Those of one repository, kept by one process."""

    def __init__(self, repo: Repo) -> None:
        self.repo = repo
        self.finished: list[PipelineStage] = []  # not yet in dvc.lock
        self.new: list[PipelineStage] = []  # not in dvc.lock before, in the order in which `dvc repro` would add them
        self.cost, self.written = 0.0, time.monotonic()

    def open(self, plan: Sequence[PipelineStage]) -> None:
        """See which stages of a plan, in DVC's order, dvc.lock does not have."""
        self.new = [stage for stage in plan if not any(out.hash_info for out in stage.outs)]

    def restored(self, stage: PipelineStage) -> bool:
        """Take a stage's results from DVC's run cache; False where that does not hold them, or not whole."""
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
        """What a stage reads and writes is its own meanwhile. Raises LockError where another process of DVC reads what
        it writes, or writes what it reads."""
        reads, writes = ([item.fs_path for item in items] for items in (stage.deps, stage.outs))
        with rwlock(self.repo.tmp_dir, self.repo.fs, f"aelab {stage.addressing}", reads, writes, False):
            yield

    def keep(self, stage: PipelineStage) -> bool:
        """Save and commit as DVC does after a run; dvc.lock follows, unless the cache does not hold it whole."""
        uncached = any(not out.use_cache for out in stage.outs if not (out.is_metric or out.is_plot))
        try:
            stage.save(run_cache=not uncached)
        except FileNotFoundError:  # another process of DVC's on this cache took a note half-written for a torn one
            stage.save(run_cache=not uncached)
        stage.commit()
        if not recovery.whole(self.repo, stage):
            return False
        self.finished.append(stage)
        return True

    def write(self, everything: bool = False) -> None:
        """Write finished stages to dvc.lock: now and then, new ones in the order in which `dvc repro` would.

        Without DVC's lock (a second Ctrl-C while it was taken back) nothing is written: the run cache has them.
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
        # only now: where writing failed, all are to be written yet, and in this order
        self.new, self.finished = self.new[len(first) :], [stage for stage in self.finished if stage not in ready]
        self.cost, self.written = time.monotonic() - began, time.monotonic()

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Under DVC's lock. Raises LockError where another command has it."""
        self.repo.lock.lock()
        try:
            yield
        finally:
            if self.repo.lock.is_locked:
                self.repo.lock.unlock()

    @contextlib.contextmanager
    def unlocked(self) -> Iterator[None]:
        """DVC's lock is free meanwhile, so that others can look; one of them may then keep us waiting for a moment."""
        self.repo.lock.unlock()
        try:
            yield
        finally:
            while not self.repo.lock.is_locked:
                with contextlib.suppress(LockError):
                    self.repo.lock.lock()


class Draft(Lockfile):
    """A copy of a dvc.lock for DVC to write to, which is then seen on the disk and renamed over it."""

    def __init__(self, repo: Repo, lock: Path) -> None:
        super().__init__(repo, os.path.join(str(repo.tmp_dir), LOCK_FILE))
        self.lock = lock.resolve()

    @property
    def relpath(self) -> str:
        """The name under which DVC hands it to Git."""
        return os.path.relpath(self.lock)

    def dump_stages(self, stages: Sequence[PipelineStage], **options: bool) -> None:
        """As DVC's. Raises OSError, such as for a full disk; dvc.lock is then as it was."""
        Path(self.path).unlink(missing_ok=True)
        if self.lock.exists():
            shutil.copy(self.lock, self.path)
        super().dump_stages(stages, **options)
        with open(self.path, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self.path, self.lock)
