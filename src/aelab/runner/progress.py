"""Progress of a long stage: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import sys
import time

EVERY = 15.0  # seconds between two lines in a log


class Progress:
    """Counts the steps of one task after another, e.g. "vae #0 all"."""

    def __init__(self, row: int = 0) -> None:
        """row: the row of the bar below the cursor, for tasks side by side."""
        self._row = row
        self._terminal = sys.stderr.isatty()
        self._bar = None
        self._last = time.monotonic()

    def start(self, label: str, total: int) -> None:
        """Begin a task of `total` steps."""
        self.close()
        self._label, self._total, self._done = label, total, 0
        if self._terminal:
            from tqdm import tqdm

            self._bar = tqdm(total=total, desc=label, unit="step", leave=False, mininterval=0.2, position=self._row)

    def step(self) -> None:
        self._done += 1
        if self._bar is not None:
            self._bar.update()

    def note(self, text: str) -> None:
        """The result of an epoch: beside the bar, or as a line in the log if the last one is long ago."""
        if self._bar is not None:
            self._bar.set_postfix_str(text)
        elif time.monotonic() - self._last > EVERY:
            self._last = time.monotonic()
            print(f"{self._label}: step {self._done} of {self._total}, {text}", file=sys.stderr, flush=True)

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()
            self._bar = None
