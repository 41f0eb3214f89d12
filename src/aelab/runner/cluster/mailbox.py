"""What a stage says while it runs on a node: its log, and the metrics that AELAB_ECHO asks for.

Messages go through an actor on the head node. If one is lost, a line in a progress display comes later: the whole log
is in the node's answer.
"""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

EVERY = 1.0  # seconds between two looks
LOG, ECHO = "log", "echo"


class Mailbox:
    """The actor: keeps what nodes say until the driver asks."""

    def __init__(self) -> None:
        self.news: list[tuple[str, str, bytes]] = []

    def post(self, stage: str, kind: str, content: bytes) -> None:
        self.news.append((stage, kind, content))

    def collect(self) -> list[tuple[str, str, bytes]]:
        news, self.news = self.news, []
        return news


class Reporter:
    """Posts what is appended to files of a running stage; a context manager."""

    def __init__(self, mailbox: Any, stage: str, files: dict[str, Path]) -> None:
        """files: kind -> a file, which need not exist yet."""
        self.mailbox, self.stage, self.files = mailbox, stage, files
        self.at = dict.fromkeys(files, 0)
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.watch, daemon=True)

    def watch(self) -> None:
        while not self.over.wait(EVERY):
            self.report()

    def report(self) -> None:
        for kind, path in self.files.items():
            with contextlib.suppress(OSError), open(path, "rb") as file:
                file.seek(self.at[kind])
                if content := file.read():
                    self.at[kind] += len(content)
                    self.mailbox.post.remote(self.stage, kind, content)

    def __enter__(self) -> Reporter:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()
        self.report()
