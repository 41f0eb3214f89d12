"""Compare a reproduced result with the one in dvc.lock and metrics/.

On the kind of machine that made the committed result every byte must be the same: same device (for a CPU its maker and
instructions, see `describe` in config/runtime.py), and the libraries of requirements.lock. Elsewhere the headline
metrics must agree within the tolerance below.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from aelab.data import storage
from aelab.report.metric_specs import headline
from aelab.report.provenance import LIBRARIES
from aelab.report.results import Item
from aelab.report.table import DIGITS
from aelab.runner import stage

SHARE = 0.05  # relative difference that is tolerated
SPREADS = 3  # or this many standard deviations over seeds
SHOWN = 3  # files or metrics named in a line
LOCKED = Path("requirements.lock")
DIFFERS, FAILED = "DIFFERS", "FAILED"


@dataclass(frozen=True)
class Content:
    """An out of a stage: DVC's hash of it, the number of its files, and path -> MD5 if known."""

    hash: str
    count: int
    files: dict[str, str] | None


@dataclass(frozen=True)
class Verdict:
    """One line about one model."""

    name: str
    words: str
    fault: str = ""  # DIFFERS: by more than the tolerance; FAILED: nothing to compare

    def __str__(self) -> str:
        return ": ".join(filter(None, (self.name, self.fault, self.words)))


class Number(NamedTuple):
    """A headline metric: as committed, its standard deviation over seeds there, and as reproduced."""

    name: str
    there: float
    spread: float
    here: float

    @property
    def distance(self) -> float:
        """The difference relative to the tolerance; 1: at the limit."""
        room = max(SHARE * abs(self.there), SPREADS * self.spread)
        return abs(self.here - self.there) / room if self.here != self.there else 0.0

    def __str__(self) -> str:
        return f"{self.name} {self.here:.{DIGITS}g} against {self.there:.{DIGITS}g}"


def verdict_of(
    name: str, wanted: Mapping[str, Content], made: Mapping[str, Content], about: Any, root: Path
) -> Verdict:
    """The verdict on one model.

    wanted, made: outs by path, as in dvc.lock and as reproduced; about: the model's metrics.json, or another
    description of the device, None for results that are the same everywhere; root: the folder of the user's results.
    The working folder is that of the reproduction.
    """
    altered = [path for path, md5 in known(wanted).items() if other(root / path, md5)]
    if altered:
        return Verdict(name, f"{some(altered)} here is not what dvc.lock says; `dvc checkout` restores it", DIFFERS)
    files, count = different(wanted, made), sum(content.count for content in wanted.values())
    is_model = bool(about) and "metrics" in about
    if not files:
        wrong = miswritten(name, about) if is_model else []
        return Verdict(name, some(wrong), DIFFERS) if wrong else Verdict(name, f"identical, {count} files")
    numbers = headlines(name, about) if is_model else []
    far = sorted(numbers, key=lambda number: number.distance, reverse=True)
    ways = apart(name, about["device"]) if about else []
    machines = f" ({'; '.join(ways)})" * bool(ways)
    if beyond := [number for number in far if not number.distance <= 1]:
        return Verdict(name, some(beyond) + machines, DIFFERS)
    if ways and far:
        return Verdict(name, f"differs within tolerance: {far[0]}{machines}")
    if ways and not is_model:
        return Verdict(name, f"other bytes in {some(files)}{machines}")
    where = f"other bytes in {some(files)}, where every byte should be the same"
    return Verdict(name, where + (f"; {far[0]}" if far else ""), DIFFERS)


def known(contents: Mapping[str, Content]) -> dict[str, str]:
    """Path -> MD5 of all files with a known hash."""
    return {path: md5 for content in contents.values() for path, md5 in (content.files or {}).items()}


def other(path: Path, md5: str) -> bool:
    """Whether a file differs."""
    return path.is_file() and storage.md5(path) != md5


def different(wanted: Mapping[str, Content], made: Mapping[str, Content]) -> list[str]:
    """What differs: files, or outs of which dvc.lock has only one hash."""
    result = []
    for path, content in wanted.items():
        if made[path].hash != content.hash:
            old, new = content.files, made[path].files or {}
            result += [path] if old is None else sorted(file for file, _ in old.items() ^ new.items())
    return list(dict.fromkeys(result))


def table(name: str) -> list[dict[str, str]]:
    """The rows of a table of metrics/; empty if it is missing."""
    path = stage.folder("compare") / f"{name}.csv"
    return list(csv.DictReader(path.read_text(encoding="utf-8").splitlines())) if path.exists() else []


def rows(text: str) -> dict[str, dict[str, str]]:
    """Model -> its row in a table with one row per model."""
    return {row["name"]: row for row in csv.DictReader(text.splitlines())}


def row(name: str, model: str) -> dict[str, str]:
    """The model's last row in a table of metrics/; empty where there is none."""
    return next((item for item in reversed(table(name)) if item["name"] == model), {})


def miswritten(name: str, about: Any) -> list[str]:
    """Values of the table that are not those of the result."""
    item, result = Item(name, about, {}), row("comparison", name)
    means = {metric: item.mean(metric) for metric in item.metrics if result.get(metric)}
    wrong = [
        metric for metric, mean in means.items() if float(result[metric]) not in (mean, float(f"{mean:.{DIGITS}g}"))
    ]
    return [
        f"metrics/comparison.csv says {metric} {result[metric]}, the result {means[metric]:.6g}" for metric in wrong
    ]


def headlines(name: str, about: Any) -> list[Number]:
    """The headline metrics of a model that metrics/ has too."""
    item, numbers, curve = Item(name, about, {}), row("comparison", name), row("curves", name)
    names = [metric for metric in item.metrics if headline(metric)]
    result = [
        Number(metric, float(numbers[metric]), float(numbers.get(f"{metric}_std") or 0), item.mean(metric))
        for metric in names
        if numbers.get(metric)
    ]
    if curve and item.curves():
        last = float(np.nanmean(item.curves()[-1].validation[:, -1]))
        word = "validation error" if item.is_stack else "validation loss"
        result.insert(0, Number(word, float(curve["validation"]), float(curve["validation_std"] or 0), last))
    return result


def apart(name: str, here: str) -> list[str]:
    """How this machine differs from the one that made a committed result; empty: bytes must be equal.

    here: the device of the reproduction. Stages upstream of models have no row in the table; they ran on the same
    device as the models.
    """
    there = {mine["device"]} if (mine := row("comparison", name)) else {item["device"] for item in table("comparison")}
    ways = [] if here in there else [f"made on {' or '.join(sorted(there)) or 'an unknown device'}, here {here}"]
    locked: dict[str, set[str]] = {}
    for library, number in re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCKED.read_text(), re.MULTILINE):
        locked.setdefault(library, set()).add(number)  # some by version of Python
    for library in LIBRARIES:
        if library in locked and (mine := version(library).partition("+")[0]) not in locked[library]:
            ways.append(f"{library} {mine} here, {' or '.join(sorted(locked[library]))} locked")
    return ways


def some(things: Iterable[object]) -> str:
    """The first few, and the number of the others."""
    text = [str(thing) for thing in things]
    return ", ".join(text[:SHOWN]) + f" and {len(text) - SHOWN} more" * (len(text) > SHOWN)
