"""Files by their MD5: in DVC's cache of this machine, in the remote of the project, and in a working folder."""

from __future__ import annotations

import contextlib
import errno
import json
import secrets
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from aelab.runner import recovery
from aelab.runner.cluster.orders import Content, Traffic
from aelab.runner.dvc_api import HashInfo, Repo, build, checkout, load_object, transfer

PATIENCE = 600.0  # seconds that a remote may be away
PAUSE = 2.0  # seconds between two attempts
NO_REMOTE = "nodes that do not see DVC's cache need a DVC remote: `dvc remote add -d NAME URL`"


class MissingError(Exception):
    """Files that neither the cache nor the remote has undamaged."""


class Store:
    """The DVC cache of a repository and its remote."""

    def __init__(self, repo: Repo, remote: str | None) -> None:
        """remote: the name of the remote; None: there is none."""
        self.repo, self.name = repo, remote
        self.cache: Any = repo.cache.local
        self.ignore: Any = repo.dvcignore
        self.whole: dict[Path, tuple[int, int, int]] = {}  # files whose content has been verified, as they were then

    def path(self, md5: str) -> Path:
        return Path(self.cache.oid_to_path(md5))

    def add(self, path: Path) -> Content:
        """Copy a file or folder into the cache."""
        staging, meta, found = build(self.cache, str(path), self.repo.fs, "md5", ignore=self.ignore)
        transfer(staging, self.cache, {found.hash_info}, shallow=False)
        return Content(str(found.hash_info.value), bool(meta.isexec))

    def place(self, content: Content, path: Path) -> None:
        """Make `path` the file or folder with this content, which the cache has."""
        found = load_object(self.cache, HashInfo("md5", content.md5))
        path.parent.mkdir(parents=True, exist_ok=True)
        checkout(str(path), self.repo.fs, found, self.cache, force=True, ignore=self.ignore)
        if content.executable:
            path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def lacks(self, md5s: Iterable[str]) -> set[str]:
        """Those of these files and folders of which the cache does not have everything; damaged files are removed."""
        return {md5 for md5 in md5s if not all(map(self.verified, self.parts(md5)))}

    def parts(self, md5: str) -> Iterator[Path]:
        """The files of the cache that make up a file or folder: the list of a folder comes first."""
        yield self.path(md5)
        if md5.endswith(".dir"):
            with contextlib.suppress(OSError, ValueError):  # a missing list is found missing, a damaged one damaged
                for item in json.loads(self.path(md5).read_bytes()):
                    yield self.path(item["md5"])

    def verified(self, path: Path) -> bool:
        """Whether a file of the cache has the content that its name says; a damaged one is removed."""
        try:
            about = path.stat()
            stamp = about.st_mtime_ns, about.st_size, about.st_ino
            if self.whole.get(path) != stamp and recovery.md5(path) != recovery.named(path):
                path.unlink(missing_ok=True)
                return False
        except FileNotFoundError:
            return False
        self.whole[path] = stamp
        return True

    def pull(self, md5s: Iterable[str], promised: bool = False) -> Traffic:
        """Bring what the cache lacks from the remote. promised: the remote has had it; what is missing is away then, as
        a disk may be. Raises MissingError for what it does not have, after PATIENCE seconds its error."""
        wanted = self.lacks(md5s)
        moved = Traffic()
        if wanted and self.name:
            moved = persist(lambda: self.fetch(wanted), promised)
        if left := self.lacks(wanted):
            raise MissingError(", ".join(sorted(left)))
        return moved

    def fetch(self, md5s: set[str]) -> Traffic:
        """Copy files and folders from the remote: the list of a folder last, so that what it names is there. Raises
        MissingError if the remote does not have them."""
        remote = self.remote()
        if gone := [md5 for md5 in md5s if not remote.exists(md5)]:
            raise MissingError(", ".join(sorted(gone)))
        lists, files = dict[str, bytes](), {md5 for md5 in md5s if not md5.endswith(".dir")}
        for md5 in md5s - files:
            with remote.fs.open(remote.oid_to_path(md5), "rb") as file:
                lists[md5] = file.read()
            files |= {item["md5"] for item in json.loads(lists[md5])}
        moved = self.move(remote, self.cache, files)
        for md5, content in lists.items():
            self.write(md5, content)
            moved.add(Traffic(1, len(content)))
        return moved

    def write(self, md5: str, content: bytes) -> None:
        """Put a file into the cache."""
        path = self.path(md5)
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
        draft.write_bytes(content)
        draft.replace(path)

    def push(self, md5s: Iterable[str]) -> Traffic:
        """Send to the remote what it lacks. Raises ValueError without a remote, its error after PATIENCE seconds."""
        wanted = set(md5s)
        if not self.name:
            raise ValueError(NO_REMOTE)
        return persist(lambda: self.move(self.cache, self.remote(), wanted)) if wanted else Traffic()

    def remote(self) -> Any:
        return self.repo.cloud.get_remote_odb(self.name)

    def move(self, here: Any, there: Any, md5s: set[str]) -> Traffic:
        """Copy files and folders between cache and remote; what is there already stays."""
        wanted = {HashInfo("md5", md5) for md5 in md5s}
        done = transfer(here, there, wanted, shallow=False, cache_odb=self.cache)
        if done.failed:
            raise OSError(f"{len(done.failed)} files could not be copied")
        paths = [self.path(str(item.value)) for item in done.transferred]
        return Traffic(len(paths), sum(path.stat().st_size for path in paths if path.exists()))


def persist(work: Callable[[], Traffic], promised: bool = False) -> Traffic:
    """work(), again and again while it fails, for PATIENCE seconds. Raises its last error; at once that of a full
    disk, and MissingError unless `promised`."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return work()
        except Exception as error:  # of any remote: each has errors of its own
            final = full(error) or (isinstance(error, MissingError) and not promised)
            if final or time.monotonic() > end:
                raise
            time.sleep(PAUSE)


def full(error: BaseException | None) -> bool:
    """Whether an error, or one that led to it, says that a disk is full."""
    while error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            return True
        error = error.__cause__ or error.__context__
    return False
