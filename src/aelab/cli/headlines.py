"""Headline metrics, compared with the committed ones: the last line of `aelab repro`, and `aelab verify`."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from aelab.report.metric_specs import SPECS, headline
from aelab.report.table import DIGITS
from aelab.runner import repository, stage

SHARE = 0.05  # relative difference that is tolerated
SPREADS = 3  # or this many standard deviations over seeds
SHOWN = 3  # metrics or files named in a line
TABLE = "comparison.csv"
LEAD = "headline numbers of metrics/ against the last commit"


class Number(NamedTuple):
    """A headline metric: as committed, its standard deviation over seeds there, and its value now."""

    name: str
    there: float
    spread: float
    here: float

    @property
    def distance(self) -> float:
        """The difference relative to the tolerance; 1: at the limit."""
        room = max(SHARE * abs(self.there), SPREADS * self.spread)
        return abs(self.here - self.there) / room if self.here != self.there else 0.0

    @property
    def text(self) -> str:
        return f"{self.name} {self.here:.{DIGITS}g} against {self.there:.{DIGITS}g}"


def against_commit() -> str | None:
    """How the headline metrics in metrics/ differ from the committed ones, in a line.

    Not at all, within the spread of seeds (see Number), or which ones by more. None if git or one of them is missing.
    """
    path = stage.folder("compare") / TABLE
    there = repository.git("show", f"HEAD:./{path}")
    if not path.exists() or not there:
        return None
    here = path.read_text()
    if here.strip() == there:
        return f"{LEAD}: identical"
    before, after = rows(there), rows(here)
    numbers = [
        number._replace(name=f"{name} {number.name}")
        for name in before.keys() & after.keys()
        for number in compared(before[name], after[name])
    ]
    beyond, nearest = furthest(numbers)
    if beyond:
        text = f"{len(beyond)} of {len(numbers)} differ by more than the spread of seeds: {some(beyond)}"
    elif nearest:
        text = f"all {len(numbers)} within the spread of seeds, the furthest {nearest}"
    else:
        text = f"all {len(numbers)} identical"
    if others := sorted(before.keys() ^ after.keys()):
        text += f"; only on one side: {some(others)}"
    return f"{LEAD}: {text} (README, Results)"


def rows(text: str) -> dict[str, dict[str, str]]:
    """Model -> its row in a table with one row per model."""
    return {row["name"]: row for row in csv.DictReader(text.splitlines())}


def compared(before: Mapping[str, str], after: Mapping[str, str]) -> list[Number]:
    """The headline metrics that two rows of a table both have."""
    names = [name for name in before if name.partition("/")[0] in SPECS and headline(name) and name[-4:] != "_std"]
    return [
        Number(name, float(before[name]), float(before.get(f"{name}_std") or 0), float(after[name]))
        for name in names
        if before[name] and after.get(name)
    ]


def furthest(numbers: Iterable[Number]) -> tuple[list[str], str]:
    """The numbers beyond the tolerance, and the one that differs most relative to it; "" if all are equal."""
    far = sorted(numbers, key=lambda number: number.distance, reverse=True)
    beyond = [number.text for number in far if not number.distance <= 1]  # also where it is not a number
    return beyond, far[0].text if far and far[0].distance else ""


def some(things: Sequence[str]) -> str:
    """The first few, and the number of the others."""
    return ", ".join(things[:SHOWN]) + f" and {len(things) - SHOWN} more" * (len(things) > SHOWN)
