"""The output of `aelab repro`: a live table on a terminal, a line per event in a log."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group

EVERY = 0.25  # seconds between two looks at the logs
TAIL = 2000  # bytes at the end of a log that are searched for its last line


@contextlib.contextmanager
def shown() -> Iterator[Lines]:
    """The view that suits stderr; the live table is removed at the end."""
    view = Live() if sys.stderr.isatty() else Lines()
    try:
        yield view
    finally:
        view.close()


class Lines:
    """Prints a line per stage that ran or failed; stages that were up to date are only counted."""

    def __init__(self) -> None:
        self.total, self.counts = 0, Counter[str]()
        self.began = time.monotonic()
        self.waiting: set[str] = set()
        self.took: dict[str, list[float]] = {}  # seconds by kind, such as "train"; 0 if unchanged

    def plan(self, names: Sequence[str]) -> None:
        self.total, self.waiting = len(names), set(names)

    def started(self, name: str, log: Path) -> None:
        pass

    def ended(self, name: str, how: str, seconds: float) -> None:
        self.count(name, how, seconds)
        if how in ("ran", "failed"):
            clock_time, done = time.strftime("%H:%M:%S"), self.counts.total()
            say(f"{clock_time} {done:4}/{self.total} {how} {name}, {seconds:.0f} s{self.left()}")

    def count(self, name: str, how: str, seconds: float) -> None:
        self.counts[how] += 1
        self.waiting.discard(name)
        if how not in ("failed", "skipped"):
            self.took.setdefault(kind(name), []).append(seconds if how == "ran" else 0.0)

    def left(self) -> str:
        """How much time is left, from what stages of each kind took: ", about 12 min left"; "" before three ran.

        Those that were up to date count as well: in a partial run, most of the others will be so too.
        """
        ended = [seconds for found in self.took.values() for seconds in found]
        if self.counts["ran"] < 3 or not self.waiting:
            return ""
        mean = {name: sum(found) / len(found) for name, found in self.took.items()}
        ahead = sum(mean.get(kind(name), sum(ended) / len(ended)) for name in self.waiting)
        at_once = max(1.0, sum(ended) / max(time.monotonic() - self.began, 1.0))
        return f", about {math.ceil(ahead / at_once / 60)} min left"

    def tick(self) -> None:
        pass

    def close(self) -> None:
        pass

    def summary(self) -> str:
        """How many stages ended in which way."""
        order = ("ran", "cached", "unchanged", "failed", "skipped")
        return ", ".join(f"{self.counts[how]} {how}" for how in order if self.counts[how]) or "nothing to do"


class Live(Lines):
    """Shows running stages with their time and last log line; above them, stages that failed."""

    def __init__(self) -> None:
        super().__init__()
        from rich.console import Console
        from rich.live import Live as Screen

        self.looked = 0.0
        self.running: dict[str, tuple[float, Path]] = {}
        self.screen = Screen(console=Console(stderr=True), auto_refresh=False, transient=True)
        self.screen.start()

    def started(self, name: str, log: Path) -> None:
        self.running[name] = (time.monotonic(), log)
        self.draw()

    def ended(self, name: str, how: str, seconds: float) -> None:
        self.count(name, how, seconds)
        self.running.pop(name, None)
        if how == "failed":
            self.screen.console.print(f"[red]failed[/] {name} after {seconds:.0f} s")
        self.tick()

    def tick(self) -> None:
        if time.monotonic() - self.looked > EVERY:
            self.draw()

    def draw(self) -> None:
        self.looked = time.monotonic()
        self.screen.update(self.table(), refresh=True)

    def table(self) -> Group:
        from rich.console import Group
        from rich.padding import Padding
        from rich.progress_bar import ProgressBar
        from rich.table import Table

        done = self.counts.total()
        title = f"{clock(self.looked - self.began)}  {self.summary()}, {done} of {self.total} stages{self.left()}"
        table = Table(box=None, show_header=False, pad_edge=False)
        table.add_column(no_wrap=True)
        table.add_column(justify="right")
        table.add_column(no_wrap=True, overflow="ellipsis", ratio=1, style="dim")
        for name, (began, log) in self.running.items():
            table.add_row(name, clock(self.looked - began), last_line(log))
        bar = ProgressBar(total=max(1, self.total), completed=done, width=60)
        return Group(title, Padding(bar, 0), table)  # a bar by itself does not end its line

    def close(self) -> None:
        self.screen.stop()


def kind(stage: str) -> str:
    """The script of a stage: "train" of "train@vae"."""
    return stage.partition("@")[0]


def clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def last_line(path: Path) -> str:
    """The last non-empty line of a log; progress bars redraw theirs."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            lines = file.read().replace(b"\r", b"\n").split(b"\n")
    except OSError:
        return ""
    return next((text for line in reversed(lines) if (text := line.decode(errors="replace").strip())), "")


def say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
