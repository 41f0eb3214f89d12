"""Tables of the user's own: csv and tsv (also with ; or |), parquet, npz of named columns.

A column whose values are all numbers holds numbers, any other one categories. `look` and `write` read the file by
pieces, so that it may be larger than the memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aelab.data import storage
from aelab.data.columns import Scaling
from aelab.sources import duplicates
from aelab.sources.table_files import ordered, pieces, words

FEWEST = 50  # rows
MOST_CATEGORIES = 100  # different values of a column of categories
MOST_CLASSES = 100
LABELS = ("label", "class", "target", "is_anomaly")  # columns that hold the classes, if none is named


@dataclass(frozen=True)
class Options:
    """What a user may say about a table.

    label: the column of the classes. drop: columns to leave out. group: the column whose rows with one value stay in
    one split. time: the column by which rows are ordered; the last are the test split. scale: of numbers, see
    columns.fit.
    """

    label: str | None = None
    drop: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    scale: Scaling = "rank"

    def __post_init__(self) -> None:
        if self.group and self.time:
            raise ValueError("group: splits are by group or by time; allowed: one of the two")


@dataclass(frozen=True)
class Table:
    """What was found: rows, columns with their categories (none: numbers) and how many of their values are missing,
    classes with their rows, rows that equal an earlier one, columns that
    number the rows."""

    path: Path
    rows: int
    columns: dict[str, tuple[str, ...]]
    missing: dict[str, int]
    classes: dict[str, int]
    label: str | None
    equal: int
    counting: tuple[str, ...]
    options: Options

    @property
    def by(self) -> Literal["time", "group", ""]:
        return "time" if self.options.time else "group" if self.options.group else ""

    @property
    def shape(self) -> tuple[int]:
        """Inputs of a net, about: those of categories depend on the training split."""
        return (sum(len(known) + 1 if known else 1 for known in self.columns.values()),)

    @property
    def title(self) -> str:
        categories = sum(map(bool, self.columns.values()))
        numbers = len(self.columns) - categories
        return f"{self.rows:,} rows, {len(self.columns)} columns: {numbers} numbers, {categories} categories"

    def says(self) -> list[str]:
        """What was seen, a line each."""
        categories = [name for name, known in self.columns.items() if known]
        lines = [self.title]
        if categories:
            known = (f"{name} ({len(self.columns[name])})" for name in categories)
            lines.append(f"columns of categories: {shortened(known)}")
        if gone := {name: n for name, n in self.missing.items() if n}:
            lines.append(f"missing values: {shortened(f'{n} {count / self.rows:.1%}' for n, count in gone.items())}")
        lines += duplicates.said(self.equal, 0, "rows", drawn=not self.by)
        lines += [
            f"column {name!r} numbers the rows and means nothing? Then leave it out: {dropped([name])}"
            for name in self.counting
        ]
        names = ", ".join(f"{name} {count:,}" for name, count in list(self.classes.items())[:10])
        more = ", ..." if len(self.classes) > 10 else ""
        lines.append(
            f"{len(self.classes)} classes, column {self.label}: {names}{more}"
            if self.classes
            else "no classes; --label names the column that holds them"
        )
        split = {"time": f"the first 70% by {self.options.time} for training, the last 20% for the test"}
        split |= {"group": f"70% training, 10% validation, 20% test, no {self.options.group} in two of them"}
        drawn = "70% training, 10% validation, 20% test, drawn" + (" by class" if self.classes else "")
        return [*lines, f"splits: {split.get(self.by, drawn)}"]

    def write(self, folder: Path, tick: Callable[[], object] = lambda: None) -> None:
        """Write <folder>/train/x.npy float64 [rows, columns] (a category as its place in the list), y.npy, and for
        splits by group or time groups.npy int64. Rows are in order of time, if there is one."""
        import pandas as pd

        place = folder / "train"
        place.mkdir()
        x = np.lib.format.open_memmap(place / "x.npy", "w+", np.float64, (self.rows, len(self.columns)))
        y = np.zeros(self.rows, np.int64)
        keys: list[Any] = []
        numbers = {name: i for i, name in enumerate(self.classes)}
        text = [name for name, known in self.columns.items() if known] + ([self.label] if self.label else [])
        done = 0
        for piece in pieces(self.path, text):
            rows = slice(done, done + len(piece))
            for i, (name, known) in enumerate(self.columns.items()):
                if known:
                    codes = pd.Categorical(piece[name].astype(object), categories=known).codes.astype(np.float64)
                    x[rows, i] = np.where(codes < 0, np.nan, codes)
                else:
                    x[rows, i] = pd.to_numeric(piece[name])
            if self.label:
                y[rows] = [numbers[name] for name in words(piece[self.label])]
            if self.by:
                keys.append(piece[self.options.time or self.options.group])
            done += len(piece)
            tick()
        if self.by:
            groups = ordered(pd.concat(keys, ignore_index=True), self.by)
            if self.by == "time":
                order = np.argsort(groups, kind="stable")
                x[:], y, groups = x[order], y[order], groups[order]
            storage.save_array(place / "groups.npy", groups)
        x.flush()
        storage.save_array(place / "y.npy", y)


def shortened(parts: Iterator[str] | Sequence[str], most: int = 8) -> str:
    """The first of many, separated by commas."""
    known = list(parts)
    return ", ".join(known[:most]) + (f" and {len(known) - most} more" if len(known) > most else "")


@dataclass
class Seen:
    """What is known of one column while the file is read."""

    missing: int = 0
    text: bool = False
    whole: bool = True
    least: float = np.inf
    most: float = -np.inf


def look(path: Path, options: Options) -> Table:
    """Look at every row of a table.

    Raises ValueError that says in one line what is wrong, where, and what is allowed; OSError without permission.
    """
    import pandas as pd
    from pandas.util import hash_pandas_object

    seen: dict[str, Seen] = {}
    rows, digests = 0, []
    for piece in pieces(path):
        for name in piece.columns:
            column = seen.setdefault(str(name), Seen())
            values = piece[name]
            column.missing += int(values.isna().sum())
            if pd.api.types.is_numeric_dtype(values):
                values = values.astype(np.float64)
                if np.isinf(values).any():
                    line = rows + int(np.isinf(values).to_numpy().argmax()) + 2
                    raise ValueError(f"{path}, line {line}: column {name!r} is infinite; allowed: numbers, or nothing")
                column.whole &= bool((values.dropna() % 1 == 0).all())
                column.least, column.most = min(column.least, values.min()), max(column.most, values.max())
            else:
                column.text |= bool(values.notna().any())
        hashed: Any = hash_pandas_object(piece, index=False)  # pyright: ignore[reportCallIssue]
        digests.append(hashed.to_numpy())
        rows += len(piece)
    if rows < FEWEST:
        raise ValueError(f"{path}: {rows} rows; allowed: {FEWEST} or more")
    label = options.label or next((name for name in LABELS if name in seen), None)
    for name in (*options.drop, options.group, options.time, options.label):
        if name and name not in seen:
            raise ValueError(f"{path}: no column {name!r}; there are: {', '.join(seen)}")
    used = [name for name in seen if name not in {*options.drop, options.group, options.time, label}]
    if not used:
        raise ValueError(f"{path}: no column is left to learn from")
    for name in (options.group, options.time):
        complete(path, name, seen[name].missing if name else 0)
    if options.time and seen[options.time].text:
        ordered(pd.concat([piece[options.time] for piece in pieces(path)]), "time")
    text = [name for name in used if seen[name].text]
    values = distinct(path, [*text, *([label] if label else [])])
    days = [name for name in text if dates(values[name])]
    refuse(path, "hold dates as text", days, f"; or split by it: --time {days[0]}" if days else "")
    wide = [name for name in text if len(values[name]) > MOST_CATEGORIES]
    refuse(path, f"hold more than {MOST_CATEGORIES} different words", wide)
    single = [name for name in used if (len(values[name]) < 2 if name in text else seen[name].least >= seen[name].most)]
    refuse(path, "hold one value only", single)
    classes = checked(path, label, seen[label].missing, values[label]) if label else {}
    hashes = np.concatenate(digests)
    return Table(
        path,
        rows,
        {name: tuple(sorted(values[name])) if name in text else () for name in used},
        {name: seen[name].missing for name in used},
        classes,
        label,
        len(hashes) - len(np.unique(hashes)),
        tuple(name for name in used if name not in text and counts(seen[name], rows)),
        options,
    )


def distinct(path: Path, names: Sequence[str]) -> dict[str, Counter[str]]:
    """The different words of some columns, with the number of rows of each; no longer counted above MOST_CATEGORIES + 1
    words that are dates, or else too many."""
    result: dict[str, Counter[str]] = {name: Counter() for name in names}
    for piece in pieces(path, names) if names else ():
        for name in names:
            if len(result[name]) <= max(MOST_CATEGORIES, MOST_CLASSES):
                result[name].update(words(piece[name].dropna()))
    return result


def dates(values: Counter[str]) -> bool:
    """Whether words are dates, by the first of them."""
    import pandas as pd

    some = list(values)[:20]
    if not some or any(word.replace(".", "", 1).isdigit() for word in some):
        return False
    try:
        pd.to_datetime(some, format="mixed")
    except (ValueError, OverflowError):
        return False
    return True


def refuse(path: Path, what: str, names: Sequence[str], more: str = "") -> None:
    """Raise ValueError if there are columns that nothing can be learned from, with the options that leave them out."""
    if names:
        columns = shortened([repr(name) for name in names])
        plural = "columns" if len(names) > 1 else "column"
        what = what if len(names) > 1 else what.replace("hold", "holds", 1)
        raise ValueError(f"{path}: {plural} {columns} {what}; leave out: {dropped(names)}{more}")


def dropped(names: Sequence[str]) -> str:
    """The options that leave columns out."""
    return " ".join(f'--drop "{name}"' if " " in name else f"--drop {name}" for name in names)


def counts(column: Seen, rows: int) -> bool:
    """Whether a column of numbers holds each of so many whole numbers in a row once, as it seems by its range."""
    return column.whole and not column.missing and column.most - column.least + 1 == rows


def complete(path: Path, name: str | None, missing: int) -> None:
    """Raise ValueError if values of a column are missing by which rows are split or ordered."""
    if missing:
        raise ValueError(f"{path}: column {name!r}, by which splits are made, has {missing:,} missing values")


def checked(path: Path, label: str, missing: int, values: Counter[str]) -> dict[str, int]:
    """The classes with their rows. Raises ValueError for labels that are none."""
    if missing:
        raise ValueError(f"{path}: label {label!r} is missing in {missing:,} rows; allowed: a class for every row")
    if len(values) < 2:
        raise ValueError(f"{path}: label {label!r} has one class only; allowed: 2 to {MOST_CLASSES}, or --drop {label}")
    if len(values) > MOST_CLASSES:
        allowed = f"{MOST_CLASSES} classes at most, or --drop {label}"
        raise ValueError(f"{path}: label {label!r} has more different values; allowed: {allowed}")
    return {name: values[name] for name in sorted(values)}
