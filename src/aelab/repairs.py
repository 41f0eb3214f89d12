"""What a kill or a disk may leave behind of DVC's own files, found and mended before DVC stumbles over it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from dvc.repo import Repo
from dvc.rwlock import RWLOCK_FILE, RWLockFileCorruptedError, _edit_rwlock
from dvc.stage import PipelineStage


def mend(repo: Repo) -> None:
    """Drop DVC's note of who reads and writes what where a process was killed while it wrote it: DVC would refuse to
    go on."""
    try:
        with _edit_rwlock(repo.tmp_dir, repo.fs, False):
            pass
    except RWLockFileCorruptedError:
        Path(str(repo.tmp_dir), RWLOCK_FILE).unlink(missing_ok=True)


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
