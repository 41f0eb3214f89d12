"""What driver and nodes say to each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Content:
    """A file or folder by what it holds: its MD5 as DVC writes it."""

    md5: str
    executable: bool = False  # a file that may be run


@dataclass(frozen=True)
class Order:
    """A stage for a node. Paths are relative to the top of the project's files."""

    stage: str  # DVC's name, such as train@vae
    script: Sequence[str]  # a Python script and its arguments; empty for another command
    command: Sequence[str]  # what a shell runs, with the shell
    project: str  # the folder of dvc.yaml
    folder: str  # where the command runs
    code: str  # the MD5 of the archive with the project's files
    reads: Mapping[str, Content]
    makes: Sequence[str]  # paths
    environment: Mapping[str, str]
    versions: Mapping[str, str]  # what must be installed: package -> version
    cache: str  # the driver's DVC cache
    token: str  # that it is known by
    remotes: Mapping[str, Any]  # DVC's settings of the project's remotes
    remote: str | None  # the name of the one to use


@dataclass
class Traffic:
    """Files that moved between a cache and a remote."""

    files: int = 0
    size: int = 0  # bytes

    def add(self, other: Traffic) -> None:
        self.files, self.size = self.files + other.files, self.size + other.size

    def __str__(self) -> str:
        size = f"{self.size / 1e6:.1f} MB" if self.size < 1e9 else f"{self.size / 1e9:.2f} GB"
        return f"{self.files:,} files ({size})"


@dataclass
class Answer:
    """What became of an order. Without a code the stage did not end on this node."""

    node: str  # Ray's id of the node
    host: str
    code: int | None = None  # the exit status of the command
    outs: dict[str, Content] = field(default_factory=dict)
    log: bytes = b""
    problem: str = ""  # of the node: another one may do better
    alone: bool = False  # whether it has a cache of its own
    missing: str = ""  # what neither cache nor remote had
    seconds: float = 0.0  # that the command took
    brought: Traffic = field(default_factory=Traffic)
    sent: Traffic = field(default_factory=Traffic)
