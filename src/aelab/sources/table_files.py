"""Files of tables, read by pieces: csv and tsv (also with ; or |), parquet, npz of named columns."""

from __future__ import annotations

import csv
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from aelab.data import storage

SEPARATORS = (",", ";", "\t", "|")
SUFFIXES = (".csv", ".tsv", ".parquet", ".npz")
MISSING = ("?",)  # beside pandas' own: empty, NA, NaN, null, None, ...
PIECE = 100_000  # rows at a time


def ordered(values: Any, by: str) -> np.ndarray:
    """Groups as numbers, times as ranks: int64 [N]. Raises ValueError for words that are no times."""
    import pandas as pd

    if by == "time" and not pd.api.types.is_numeric_dtype(values):
        try:
            with warnings.catch_warnings():  # of forms that pandas guesses
                warnings.simplefilter("ignore")
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
