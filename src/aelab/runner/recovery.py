"""Repair of DVC's own files after a kill or a disk error, before DVC fails on them."""

from __future__ import annotations

import hashlib
import os
import re
import sys
from pathlib import Path

from aelab.runner.dvc_api import (
    LOCK_FILE,
    RWLOCK_FILE,
    DvcException,
    Lockfile,
    PipelineStage,
    Repo,
    RWLockFileCorruptedError,
    edit_rwlock,
)

HEADER = b"schema: '2.0'\nstages:\n"


def mend(repo: Repo) -> None:
    """Repair two files that a kill can leave half-written: DVC's file of read/write locks, and dvc.lock."""
    try:
        with edit_rwlock(repo.tmp_dir, repo.fs, False):
            pass
    except RWLockFileCorruptedError:
        Path(str(repo.tmp_dir), RWLOCK_FILE).unlink(missing_ok=True)
    try:
        _ = repo.index
    except DvcException:
        mend_lock(repo)


def mend_lock(repo: Repo) -> None:
    """Remove the last, incomplete stage from a truncated dvc.lock, with a message; DVC's run cache has it.

    A file that is damaged otherwise stays as it is, e.g. one with a Git conflict, whose markers begin at the left.
    """
    path, rest = Path(repo.root_dir, LOCK_FILE).resolve(), Path(str(repo.tmp_dir), LOCK_FILE)
    if not path.exists() or readable(repo, path):
        return
    torn = path.read_bytes()
    head, stages = torn[: len(HEADER)], torn[len(HEADER) :]
    if not HEADER.startswith(head) or re.search(rb"^\S", stages, re.MULTILINE):
        return
    starts = [item.start() for item in re.finditer(rb"^  \S", stages, re.MULTILINE)]
    rest.write_bytes(head + stages[: starts[-1]] if len(starts) > 1 else b"schema: '2.0'\n")
    if readable(repo, rest):
        os.replace(rest, path)
        print("dvc.lock ended in the middle of a stage; those before it are kept", file=sys.stderr, flush=True)


def readable(repo: Repo, lock: Path) -> bool:
    """Whether DVC can read a dvc.lock at any path."""
    try:
        Lockfile(repo, str(lock))._load_yaml()
    except DvcException:
        return False
    return True


def whole(repo: Repo, stage: PipelineStage) -> bool:
    """Verify the checksums of a stage's outs in DVC's cache; damaged files are removed from it.

    DVC checks only the permissions of cached files, and would restore a damaged one.
    """
    files = [repo.cache.local.oid_to_path(item.value) for result in stage.get_used_objs().values() for item in result]
    damaged = [path for path in map(Path, files) if not path.exists() or md5(path) != named(path)]
    for path in damaged:
        path.unlink(missing_ok=True)
    return not damaged


def named(path: Path) -> str:
    """The MD5 in the name of a file in DVC's cache."""
    return path.parent.name + path.name.removesuffix(".dir")


def md5(path: Path) -> str:
    """The MD5 of a file's content."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()
