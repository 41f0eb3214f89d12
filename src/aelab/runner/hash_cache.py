"""A cache of the hashes of dependencies for DVC, which would walk the same folders of code again for every stage."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

from aelab.runner.dvc_api import Dependency

Stamp = tuple[tuple[str, int, int, int], ...]
BY_DVC = Dependency._get_hash_meta  # the method that finds a dependency's hash

known: dict[str, tuple[Stamp, Any]] = {}  # path -> the files as they were, and what DVC found


def remember() -> None:
    """From now on this process hashes a dependency again only after one of its files has changed."""
    Dependency._get_hash_meta = found  # type: ignore[method-assign]


def found(dependency: Dependency) -> Any:
    """Like Dependency._get_hash_meta."""
    path = dependency.fs_path
    if dependency.fs.protocol != "local":
        return BY_DVC(dependency)
    stamp = tuple(sorted(files(path)))
    if path not in known or known[path][0] != stamp:
        known[path] = stamp, BY_DVC(dependency)
    return known[path][1]


def files(path: str) -> Iterator[tuple[str, int, int, int]]:
    """Every file of a folder, or the file itself: its path, time of change, size and inode."""
    if not os.path.isdir(path):
        yield _file(path)
    for folder, _, names in os.walk(path):
        yield from (_file(os.path.join(folder, name)) for name in names)


def _file(path: str) -> tuple[str, int, int, int]:
    about = os.stat(path)
    return path, about.st_mtime_ns, about.st_size, about.st_ino
