"""The files of a project that nodes get: those that git knows, without what its stages make.

Outs travel by their MD5 instead. Outside git, as in the folder of a sweep's trial, these are all files that DVC does
not ignore, but for those of .dvc and logs.
"""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from aelab.runner.dvc_api import Git, Repo
from aelab.runner.repository import git

APART = {".dvc", ".git", "logs", ".aelab"}  # outside git: folders that no stage reads


class Archive:
    """The files below `top`; packed again when one has changed."""

    def __init__(self, repo: Repo) -> None:
        self.repo, self.known = repo, isinstance(repo.scm, Git)
        self.top = Path(repo.scm.root_dir if self.known else repo.root_dir).resolve()
        self.stamps: list[tuple[str, int, int, int]] = []
        self.content, self.md5 = b"", ""

    def files(self, made: Iterable[Path]) -> list[Path]:
        """The files, relative to the top, without those below the paths `made`."""
        folders = {path.resolve() for path in made}
        return [
            path for path in sorted(self.names()) if folders.isdisjoint([self.top / path, *(self.top / path).parents])
        ]

    def names(self) -> Iterator[Path]:
        if self.known:
            listed = git("-C", str(self.top), "ls-files", "-coz", "--exclude-standard")
            if listed is None:
                raise OSError(f"{self.top}: git does not list its files")
            yield from {Path(name) for name in listed.split("\0") if name and os.path.isfile(self.top / name)}
            return
        walk: Any = self.repo.dvcignore.walk(self.repo.fs, str(self.top))
        for folder, folders, names in walk:
            folders[:] = [name for name in folders if name not in APART]
            yield from (Path(folder, name).relative_to(self.top) for name in names)

    def update(self, made: Iterable[Path]) -> bool:
        """Pack the files again if one has changed; returns whether."""
        files = self.files(made)
        about = [(str(path), os.stat(self.top / path)) for path in files]
        stamps = [(name, found.st_mtime_ns, found.st_size, found.st_ino) for name, found in about]
        if stamps == self.stamps:
            return False
        packed = io.BytesIO()
        with tarfile.open(fileobj=packed, mode="w") as archive:
            for path in files:
                archive.add(self.top / path, str(path), recursive=False)
        self.stamps, self.content = stamps, packed.getvalue()
        self.md5 = hashlib.md5(self.content).hexdigest()
        return True
