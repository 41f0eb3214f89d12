"""Tables of the user's own: csv and tsv (also with ; or |), parquet, npz of named columns.

A column whose values are all numbers holds numbers, any other one categories. `look` and `write` read the file by
pieces, so that it may be larger than the memory.
"""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from aelab.data import storage
from aelab.data.columns import Scaling

SEPARATORS = (",", ";", "\t", "|")
SUFFIXES = (".csv", ".tsv", ".parquet", ".npz")
MISSING = ("?",)  # beside pandas' own: empty, NA, NaN, null, None, ...
PIECE = 100_000  # rows at a time
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
    classes with their rows, rows that equal an earlier one."""

    path: Path
    rows: int
    columns: dict[str, tuple[str, ...]]
    missing: dict[str, int]
    classes: dict[str, int]
    label: str | None
    duplicates: int
    options: Options

    @property
    def by(self) -> Literal["time", "group", ""]:
        return "time" if self.options.time else "group" if self.options.group else ""

    @property
    def shape(self) -> tuple[int]:
        """Inputs of a net, about: those of categories depend on the training split."""
        return (sum(len(known) + 1 if known else 1 for known in self.columns.values()),)

    def says(self) -> list[str]:
        """What was seen, a line each."""
        categories = [name for name, known in self.columns.items() if known]
        numbers = len(self.columns) - len(categories)
        lines = [f"{self.rows:,} rows, {len(self.columns)} columns: {numbers} numbers, {len(categories)} categories"]
        if categories:
            known = (f"{name} ({len(self.columns[name])})" for name in categories)
            lines.append(f"columns of categories: {shortened(known)}")
        if gone := {name: n for name, n in self.missing.items() if n}:
            lines.append(f"missing values: {shortened(f'{n} {count / self.rows:.1%}' for n, count in gone.items())}")
        if self.duplicates:
            lines.append(
                f"{self.duplicates:,} rows equal an earlier one" + ("" if self.by else "; splits keep them together")
            )
        names = ", ".join(f"{name} {count:,}" for name, count in list(self.classes.items())[:10])
        more = ", ..." if len(self.classes) > 10 else ""
        lines.append(
            f"{len(self.classes)} classes, column {self.label}: {names}{more}" if self.classes else "no classes"
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


def ordered(values: Any, by: str) -> np.ndarray:
    """Groups as numbers, times as ranks: int64 [N]. Raises ValueError for words that are no times."""
    import pandas as pd

    if by == "time" and not pd.api.types.is_numeric_dtype(values):
        try:
            values = pd.to_datetime(values)
        except (ValueError, OverflowError):
            raise ValueError(f"column {values.name!r} holds no times; allowed: numbers, or dates of one form") from None
    return pd.factorize(values, sort=by == "time")[0].astype(np.int64)


def words(values: Any) -> list[str]:
    """A column's values as text: 3.0 as 3, as it was before a missing value made it a float."""
    return [f"{value:g}" if isinstance(value, float) else str(value) for value in values.tolist()]


def separator(path: Path) -> str:
    """What separates the columns of a text file, by its first line. Raises ValueError for a single column."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            line = file.readline()
        except UnicodeDecodeError:
            raise ValueError(f"{path}: no UTF-8 text") from None
    found = max(SEPARATORS, key=lambda each: len(next(csv.reader([line], delimiter=each), [])))
    names = next(csv.reader([line], delimiter=found), [])
    if len(names) < 2:
        raise ValueError(f"{path}: one column only; allowed: two or more, separated by a comma, ; | or tab")
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ValueError(f"{path}, line 1: column {twice[0]!r} twice")
    return found


def pieces(path: Path, text: Sequence[str] = ()) -> Iterator[Any]:
    """The rows of a table as pandas frames; the columns `text` as words. Raises ValueError with one line."""
    import pandas as pd

    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise ValueError(f"{path}: unknown kind of file; allowed: {', '.join(SUFFIXES)}")
    try:
        if suffix == ".parquet":
            from pyarrow.parquet import ParquetFile

            for batch in ParquetFile(path).iter_batches(PIECE):
                frame = batch.to_pandas()
                yield frame.assign(**{name: as_text(frame[name]) for name in text})
        elif suffix == ".npz":
            frame = pd.DataFrame(named(path))
            yield frame.assign(**{name: as_text(frame[name]) for name in text})
        else:
            how: dict[str, Any] = {
                "dtype": dict.fromkeys(text, str),
                "sep": separator(path),
                "encoding": "utf-8-sig",
                "na_values": MISSING,
                "low_memory": False,
            }
            reader: Any = pd.read_csv(path, chunksize=PIECE, **how)
            with reader:
                yield from reader
    except (ValueError, OSError) as error:
        if isinstance(error, OSError) or str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path}: not readable ({' '.join(str(error).split())})") from None


def as_text(values: Any) -> Any:
    """A column of a frame as words, missing ones left out."""
    known = values.notna()
    result = values.astype(object).where(known, None)
    result[known] = words(values[known])
    return result


def named(path: Path) -> dict[str, np.ndarray]:
    """The columns of an npz: one-dimensional arrays by name."""
    found = storage.load_arrays(path, "")
    lengths = {len(array) for array in found.values() if array.ndim == 1}
    if not found or len(lengths) != 1 or any(array.ndim != 1 for array in found.values()):
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in found.items())
        raise ValueError(f"{path}: arrays {shapes or 'none'}; allowed: columns [N] of one length")
    return found


@dataclass
class Seen:
    """What is known of one column while the file is read."""

    missing: int = 0
    text: bool = False
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
        if name and seen[name].missing:
            raise ValueError(
                f"{path}: column {name!r}, by which splits are made, has {seen[name].missing:,} missing values"
            )
    text = [name for name in used if seen[name].text]
    values = distinct(path, [*text, *([label] if label else [])])
    refuse(path, "hold dates as text", [name for name in text if dates(values[name])], "; or split by one: --time")
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
        drop = " ".join(f'--drop "{name}"' if " " in name else f"--drop {name}" for name in names)
        raise ValueError(f"{path}: {plural} {columns} {what}; leave out: {drop}{more}")


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
