"""Series of the user's own: files of the UCR and UEA archives, recordings in a csv, arrays.

| form | labels |
|---|---|
| `.ts` (equal or unequal lengths, one or several dimensions, ? for missing values) | its class labels |
| UCR's `.tsv`: a class, then the values, no header | the first column |
| a folder with `*_TRAIN` and `*_TEST` of these; its own test split | |
| csv or parquet, a row per time step, cut into windows of `--window` steps | `--label` or `is_anomaly`: see `mark` |
| npy, npz of `x` [N, T] or [N, T, F], maybe `y` | y |
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aelab.data import storage
from aelab.data.splits import DRAWN
from aelab.sources import duplicates, table_files, tables
from aelab.sources.series_files import SUFFIXES, is_ucr, padded, read

FEWEST = 50  # series
SHORTEST = 8  # steps
NORMAL = ("0", "normal", "False", "no")  # words of an unlabelled step, in a column of anomalies
ANOMALY = "is_anomaly"


@dataclass(frozen=True)
class Options:
    """What a user may say about series.

    window, stride: steps of a window of a recording, and between the starts of two (none: the window). group: the
    column that says which recording a row belongs to; without one the file is one recording. time: the column that
    orders its rows; none: as they are. label, drop: as of tables.
    """

    window: int | None = None
    stride: int | None = None
    label: str | None = None
    drop: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None

    def __post_init__(self) -> None:
        for key in ("window", "stride"):
            least = SHORTEST if key == "window" else 1
            if (value := getattr(self, key)) is not None and value < least:
                raise ValueError(f"{key}: {value} is out of range; allowed: {least} or more")


@dataclass(frozen=True)
class Series:
    """What was found: for each part x float64 [N, T, F], NaN where missing or after the end, and labels [N]."""

    parts: dict[str, tuple[np.ndarray, list[str]]]
    columns: dict[str, tuple[str, ...]]  # features, all of them numbers
    label: str
    groups: np.ndarray | None = None  # of the only part
    how: str = ""

    @property
    def by(self) -> str:
        return "group" if self.groups is not None else ""

    @property
    def shape(self) -> tuple[int, int]:
        x = self.parts["train"][0]
        return x.shape[1], x.shape[2]

    @property
    def classes(self) -> dict[str, int]:
        """The classes with the number of series; none if all are alike."""
        found = Counter(label for _, labels in self.parts.values() for label in labels)
        return dict(sorted(found.items())) if len(found) > 1 else {}

    @property
    def title(self) -> str:
        (steps, features), count = self.shape, sum(len(labels) for _, labels in self.parts.values())
        return f"{count:,} series of {steps} steps, {features} feature{'s' if features > 1 else ''}{self.how}"

    def says(self) -> list[str]:
        """What was seen, a line each."""
        steps, features = self.shape
        x = np.concatenate([part for part, _ in self.parts.values()])
        lines = [self.title]
        gone = np.isnan(x)
        ends = np.asarray(gone.all(2))[:, ::-1].argmin(1)  # steps after the end
        if ends.any():
            lines.append(
                f"{steps - ends.max()} to {steps - ends.min()} steps; after its end a series counts as missing"
            )
        inside = gone.sum() - features * ends.sum()
        if inside:
            lines.append(f"missing values: {inside / x.size:.1%}")
        rows = {name: [row.tobytes() for row in part] for name, (part, _) in self.parts.items()}
        lines += duplicates.said(*duplicates.counted(rows), "series", drawn=self.groups is None and len(rows) == 1)
        names = ", ".join(f"{name} {count:,}" for name, count in list(self.classes.items())[:10])
        lines.append(f"{len(self.classes)} classes: {names}" if self.classes else "no classes")
        if len(self.parts) > 1:
            lines.append("splits of its own: " + ", ".join(f"{name} {len(y):,}" for name, (_, y) in self.parts.items()))
        elif self.groups is not None:
            lines.append("splits: 70% training, 10% validation, 20% test, no recording in two of them")
        else:
            lines.append("splits: 70% training, 10% validation, 20% test, drawn" + " by class" * bool(self.classes))
        return lines

    def write(self, folder: Path, tick: Callable[[], object] = lambda: None) -> None:
        """Write each part as <folder>/<part>/x.npy, y.npy, and the recordings of series as groups.npy."""
        numbers = {name: i for i, name in enumerate(self.classes)}
        for part, (x, labels) in self.parts.items():
            (folder / part).mkdir()
            storage.save_array(folder / part / "x.npy", x)
            storage.save_array(folder / part / "y.npy", np.array([numbers.get(name, 0) for name in labels], np.int64))
            if self.groups is not None:
                storage.save_array(folder / part / "groups.npy", self.groups)
            tick()


def look(path: Path, options: Options) -> Series:
    """Read all series. Raises ValueError that says in one line what is wrong, where, what is allowed; and OSError."""
    if path.is_dir():
        found = from_folder(path)
    elif path.suffix.lower() in (".npy", ".npz"):
        found = from_arrays(path)
    elif path.suffix.lower() == ".ts" or is_ucr(path):
        found = Series({"train": read(path)}, {}, "class")
    else:
        found = windows(path, options)
    parts, columns = found.parts, found.columns
    count = sum(len(labels) for _, labels in parts.values())
    if count < FEWEST:
        raise ValueError(f"{path}: {count} series; allowed: {FEWEST} or more")
    shapes = {x.shape[2] for x, _ in parts.values()}
    if len(shapes) > 1:
        raise ValueError(f"{path}: parts of {' and '.join(map(str, sorted(shapes)))} features; allowed: all alike")
    steps = max(x.shape[1] for x, _ in parts.values())
    if steps < SHORTEST:
        raise ValueError(f"{path}: series of {steps} steps; allowed: {SHORTEST} or more")
    parts = {name: (padded(list(x), steps), labels) for name, (x, labels) in parts.items()}
    for name, (x, _) in parts.items():
        if np.isinf(x).any():
            raise ValueError(f"{path}: series {int(np.isinf(x).any((1, 2)).argmax()) + 1} of {name} is infinite")
    features = shapes.pop()
    names = columns or {"value" if features == 1 else f"feature {i + 1}": () for i in range(features)}
    x = np.concatenate([x.reshape(-1, features) for x, _ in parts.values()])
    still = [name for name, low, high in zip(names, np.nanmin(x, 0), np.nanmax(x, 0), strict=True) if not low < high]
    tables.refuse(path, "hold one value only", still)
    return Series(parts, names, found.label, found.groups, found.how)


def values(path: Path) -> np.ndarray:
    """The series of one file, [N, T, F]. Raises ValueError for recordings, which need a window."""
    if path.suffix.lower() in (".npy", ".npz"):
        return from_arrays(path).parts["train"][0]
    if path.suffix.lower() in SUFFIXES:
        return read(path)[0]
    raise ValueError(f"{path}: unknown kind of file; allowed: {', '.join((*SUFFIXES, '.npy', '.npz'))}")


def from_folder(path: Path) -> Series:
    """The training and test files of a folder."""
    files = {
        file.stem.rpartition("_")[2].lower(): file for file in sorted(path.iterdir()) if file.suffix.lower() in SUFFIXES
    }
    if set(files) != {"train", "test"}:
        raise ValueError(f"{path}: no pair of files *_TRAIN and *_TEST ({', '.join(SUFFIXES)})")
    return Series({part: read(files[part]) for part in ("train", "test")}, {}, "class")


def from_arrays(path: Path) -> Series:
    """The series of an npy or npz: [N, T] or [N, T, F]."""
    found = {"x": storage.map_array(path, "")} if path.suffix.lower() == ".npy" else storage.load_arrays(path, "")
    x = next((found[name] for name in ("x", "series") if name in found), None)
    if x is None:
        raise ValueError(f"{path}: no array x; there are: {', '.join(found) or 'none'}")
    if x.dtype.kind not in "fiu" or x.ndim not in (2, 3):
        shape = f"{x.dtype} [{', '.join(map(str, x.shape))}]"
        raise ValueError(f"{path}: series {shape}; allowed: numbers [N, T] or [N, T, F]")
    labels = next((found[name] for name in ("y", "labels") if name in found), None)
    if labels is not None and labels.shape != (len(x),):
        raise ValueError(f"{path}: labels of shape {list(labels.shape)}; allowed: [{len(x)}], one per series")
    x = np.asarray(x, np.float64)
    return Series(
        {"train": (x if x.ndim == 3 else x[..., None], [""] * len(x) if labels is None else [str(y) for y in labels])},
        {},
        "y",
    )


def windows(path: Path, options: Options) -> Series:
    """Windows of the recordings of a csv or parquet, a row per time step."""
    import pandas as pd

    if options.window is None:
        raise ValueError(f"{path}: recordings need --window, the steps of a window, such as --window 128")
    frame: Any = pd.concat(list(table_files.pieces(path)), ignore_index=True)
    label = options.label or (ANOMALY if ANOMALY in frame else None)
    for name in (*options.drop, options.group, options.time, label):
        if name and name not in frame:
            raise ValueError(f"{path}: no column {name!r}; there are: {', '.join(map(str, frame))}")
    used = [str(name) for name in frame if name not in {*options.drop, options.group, options.time, label}]
    text = [name for name in used if not pd.api.types.is_numeric_dtype(frame[name])]
    tables.refuse(path, "hold no numbers", text, "; or order rows by one: --time, or tell recordings by one: --group")
    if not used:
        raise ValueError(f"{path}: no column is left to learn from")
    for name in (options.group, options.time):
        tables.complete(path, name, int(frame[name].isna().sum()) if name else 0)
    if label:
        tables.checked(path, label, int(frame[label].isna().sum()), Counter(table_files.words(frame[label].dropna())))
    if options.time:
        order = table_files.ordered(frame[options.time], "time")
        frame = frame.iloc[np.argsort(order, kind="stable")]
    values = frame[used].to_numpy(np.float64)
    marks = table_files.words(frame[label]) if label else [""] * len(frame)
    groups = table_files.ordered(frame[options.group], "group") if options.group else np.zeros(len(frame), np.int64)
    stride = options.stride or options.window
    how = f": windows of {len(np.unique(groups)):,} recordings" if options.group else ": windows of one recording"
    names: dict[str, tuple[str, ...]] = dict.fromkeys(used, ())
    if options.group:
        x, y, of = cut(values, marks, groups, options.window, stride)
        return Series({"train": (x, y)}, names, label or "", of, how)
    ends = [round(share * len(values)) for share in np.cumsum(list(DRAWN.values()))]
    parts = {}
    for name, start, stop in zip(DRAWN, [0, *ends], ends, strict=False):
        x, y, _ = cut(values[start:stop], marks[start:stop], groups[start:stop], options.window, stride)
        if not len(x):
            raise ValueError(f"{path}: {stop - start:,} steps for {name} hold no window of {options.window} steps")
        parts[name] = x, y
    return Series(parts, names, label or "", None, how + ", the last ones for the test")


def cut(
    values: np.ndarray, marks: list[str], groups: np.ndarray, window: int, stride: int
) -> tuple[np.ndarray, list[str], np.ndarray]:
    """Windows [N, window, F] that lie within one recording, their labels, and their recordings [N]."""
    x, y, of = [], [], []
    for group in dict.fromkeys(groups.tolist()):
        rows = np.flatnonzero(groups == group)
        for start in range(0, len(rows) - window + 1, stride):
            chosen = rows[start : start + window]
            x.append(values[chosen])
            y.append(mark([marks[row] for row in chosen]))
            of.append(group)
    return np.array(x).reshape(-1, window, values.shape[1]), y, np.array(of, np.int64)


def mark(steps: list[str]) -> str:
    """The label of a window: what is not normal, else the most frequent one."""
    found = Counter(steps)
    unusual = {name: count for name, count in found.items() if name not in NORMAL}
    if unusual and len(unusual) < len(found):
        found = Counter(unusual)
    return found.most_common(1)[0][0]
