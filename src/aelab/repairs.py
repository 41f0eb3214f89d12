"""What a kill or a disk may leave behind of DVC's own files, found and mended before DVC stumbles over it."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

from dvc.dvcfile import LOCK_FILE, Lockfile
from dvc.exceptions import DvcException
from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLockFileCorruptedError, _edit_rwlock
from dvc.stage import PipelineStage


def mend(repo: Repo) -> None:
    """Drop what a kill left half-written of two files that DVC would then refuse to read: its note of who reads and
    writes what, and dvc.lock, which `dvc repro` writes in place."""
    try:
        with _edit_rwlock(repo.tmp_dir, repo.fs, False):
            pass
    except RWLockFileCorruptedError:
        Path(str(repo.tmp_dir), RWLOCK_FILE).unlink(missing_ok=True)
    try:
        _ = repo.index
    except DvcException:
        mend_lock(repo)


def mend_lock(repo: Repo) -> None:
    """Cut the last stage off a dvc.lock that ends in the middle of it; DVC's run cache has it.

    One with a conflict of Git's stays as it is, and one that this does not make readable.
    """
    path, rest = Path(LOCK_FILE).absolute(), Path(str(repo.tmp_dir), LOCK_FILE)
    if readable(repo, path) or b"<<<<<<<" in (torn := path.read_bytes()):
        return
    starts = [each.start() for each in re.finditer(rb"^  \S", torn, re.MULTILINE)]
    rest.write_bytes(torn[: starts[-1]] if len(starts) > 1 else b"schema: '2.0'\n")
    if readable(repo, rest):
        os.replace(rest, path)


def readable(repo: Repo, lock: Path) -> bool:
    """Whether DVC can load a dvc.lock, or there is none."""
    try:
        Lockfile(repo, str(lock)).load()
    except DvcException:
        return False
    return True


def whole(repo: Repo, stage: PipelineStage) -> bool:
    """Whether what DVC's cache holds of a stage's results is what its names say; what is not is dropped from there.

    DVC looks no further than the permissions of a file in its cache, and would restore a damaged one.
    """
    files = [repo.cache.local.oid_to_path(each.value) for found in stage.get_used_objs().values() for each in found]
    damaged = [path for path in map(Path, files) if md5(path) != path.parent.name + path.name.removesuffix(".dir")]
    for path in damaged:
        path.unlink()
    return not damaged


def md5(path: Path) -> str:
    """The name that DVC gives a file's contents."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
