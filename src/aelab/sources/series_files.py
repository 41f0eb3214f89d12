"""Files of series: .ts of the UEA archive and UCR's .tsv."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

SUFFIXES = (".ts", ".tsv")


def padded(series: list[np.ndarray], steps: int) -> np.ndarray:
    """Series [T, F] as one array [N, steps, F], NaN after their ends."""
    result = np.full((len(series), steps, series[0].shape[1]), np.nan)
    for row, one in zip(result, series, strict=True):
        row[: len(one)] = one
    return result


def is_ucr(path: Path) -> bool:
    """Whether a .tsv is UCR's: numbers from the first line on."""
    if path.suffix.lower() != ".tsv":
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return all(number(word) for word in file.readline().split("\t"))


def number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read(path: Path) -> tuple[np.ndarray, list[str]]:
    """The series of a .ts or of UCR's .tsv, and their labels."""
    try:
        rows = list(ts(path) if path.suffix.lower() == ".ts" else ucr(path))
    except UnicodeDecodeError:
        raise ValueError(f"{path}: no UTF-8 text") from None
    if not rows:
        raise ValueError(f"{path}: no series")
    series, labels = [one for one, _ in rows], [label for _, label in rows]
    for n, one in enumerate(series, 1):
        if one.shape[1] != series[0].shape[1]:
            raise ValueError(f"{path}: series {n} has {one.shape[1]} dimensions, the first {series[0].shape[1]}")
    return padded(series, max(map(len, series))), labels


def ucr(path: Path) -> Iterator[tuple[np.ndarray, str]]:
    for n, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1):
        label, *values = line.split("\t")
        yield ended(numbers(values, path, n))[:, None], label


def ts(path: Path) -> Iterator[tuple[np.ndarray, str]]:
    """The data lines of a .ts file: dimensions separated by colons, the class last."""
    lines = enumerate(path.read_text(encoding="utf-8-sig").splitlines(), 1)
    head: dict[str, list[str]] = {}
    for _, line in lines:
        words = line.strip().split()
        if words and words[0].lower() == "@data":
            break
        if words and words[0].startswith("@"):
            head[words[0].lower()] = words[1:]
    else:
        raise ValueError(f"{path}: no line @data; allowed: a .ts file of the UEA archive")
    if head.get("@timestamps", ["false"])[0].lower() == "true":
        raise ValueError(f"{path}: values with timestamps; allowed: @timestamps false")
    labelled = head.get("@classlabel", ["false"])[0].lower() == "true"
    for n, line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        parts = line.strip().split(":")
        label = parts.pop().strip() if labelled else ""
        if not parts:
            raise ValueError(f"{path}, line {n}: no values before the class")
        dimensions = [numbers(part.split(","), path, n) for part in parts]
        longest = max(map(len, dimensions))
        yield ended(np.stack([padded([d[:, None]], longest)[0, :, 0] for d in dimensions], 1)), label


def numbers(words: list[str], path: Path, line: int) -> np.ndarray:
    """Words as numbers; ? and nothing are missing."""
    try:
        return np.array([np.nan if word.strip() in ("?", "", "NaN") else float(word) for word in words])
    except ValueError as error:
        raise ValueError(f"{path}, line {line}: {error}; allowed: numbers, ? for missing ones") from None


def ended(values: np.ndarray) -> np.ndarray:
    """A series without the missing values at its end, which UCR's files pad it with."""
    known = np.asarray(~np.isnan(values) if values.ndim == 1 else (~np.isnan(values)).any(1))
    return values[: len(known) - int(known[::-1].argmax())] if known.any() else values
