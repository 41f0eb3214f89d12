"""The train, validation and test splits as separate files."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from aelab.config.options import OPTION, Options
from aelab.data import storage
from aelab.data.columns import Column, from_json

FOLDER = Path("data/prepare")
LEARNING = FOLDER / "learning"  # all that training stages may read: a folder of its own, which is their dep
HELD_OUT = ("test", "ood", "anomalies", "validation_anomalies")  # folders beside that folder
Part = tuple[np.ndarray, np.ndarray]  # images uint8 [N, C, H, W] or other rows, labels int64 [N]
HELD = [(np.uint8, 4), *((kind, axes) for kind in (np.float32, np.float64) for axes in (2, 3))]
DRAWN = {"train": 0.7, "validation": 0.1, "test": 0.2}  # shares of data without splits of its own


@dataclass(frozen=True)
class Prepare(Options):
    """The section `prepare:`; the sizes of the splits belong to the data set."""

    limit: int | None  # keep only this many training images (stratified draw), null: all
    # the classes that are normal, 7 as good as "7"; all others are anomalies; null: anomalies are OOD
    normal: tuple[str | int, ...] | None
    # shares of train, validation and test, drawn anew from all items, stratified by class; null: the data set's own
    # splits
    pooled: tuple[float, float, float] | None = field(default=None, kw_only=True, metadata=OPTION)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit: {self.limit} is out of range; allowed: 1 or more, null")
        if self.normal == ():
            raise ValueError("normal: names no class; allowed: one or more classes of the data set, null")
        if self.pooled and not (min(self.pooled) > 0 and abs(sum(self.pooled) - 1) < 1e-9):
            raise ValueError(f"pooled: {list(self.pooled)} is wrong; allowed: three shares above 0, together 1")


@dataclass(frozen=True)
class Images:
    """One split, memory-mapped: images x uint8 [N, C, H, W], 0 to 255; of tables float32 [N, D], of series [N, T, D];
    raw, as `download` keeps them, float64. y int64 [N]."""

    x: np.ndarray
    y: np.ndarray

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Meta:
    """The description of the prepared data set; without labels it has no classes, images have no columns."""

    name: str
    shape: tuple[int, ...]  # of one item
    classes: tuple[str, ...]
    digest: str  # of the training split, 32 hex digits
    columns: tuple[Column, ...] = ()


def split(parts: dict[str, Part], sizes: dict[str, int], seed: int) -> dict[str, Part]:
    """Train, validation and test splits of the given sizes.

    If the data set has an official test part, validation is the end of its training part (MNIST: the last 10,000
    digits). If not, all three are drawn from one pool, stratified by class and shuffled.
    """
    images, labels = parts["train"]
    if "test" in parts:
        n = sizes["train"]
        return {
            "train": (images[:n], labels[:n]),
            "validation": (images[n:], labels[n:]),
            "test": parts["test"],
        }
    taken = stratified(labels, list(sizes.values()), seed)
    return {name: (images[rows], labels[rows]) for name, rows in zip(sizes, taken, strict=True)}


def pooled(parts: dict[str, Part], source: dict[str, Any], shares: Sequence[float], seed: int) -> dict[str, Part]:
    """These shares of all items of a published data set, drawn anew. Raises ValueError for own data."""
    if not source["sizes"]:
        raise ValueError("prepare.pooled: own data has splits by class, group or time already; allowed: null")
    x, y = (np.concatenate(arrays) for arrays in zip(*parts.values(), strict=True))
    return divide({"train": (x, y)}, seed, shares=dict(zip(DRAWN, shares, strict=True)))


def of(parts: dict[str, Part], source: dict[str, Any], groups: np.ndarray | None, seed: int) -> dict[str, Part]:
    """Train, validation and test splits of what `download` kept, as its description `source` says."""
    if source["sizes"]:
        return split(parts, source["sizes"], seed)
    if source.get("by") == "time" and groups is not None:
        return in_order(parts["train"], groups, seed)
    return divide(parts, seed, groups)


def groups(folder: Path) -> np.ndarray | None:
    """What keeps rows of the training part in `folder` together: a number for each [N], or None."""
    file = folder / "train" / "groups.npy"
    return storage.map_array(file) if file.exists() else None


def divide(
    parts: dict[str, Part], seed: int, groups: np.ndarray | None = None, shares: dict[str, float] = DRAWN
) -> dict[str, Part]:
    """Splits of data that brings some or none: those that it lacks are drawn from its training part, stratified by
    class, and all are shuffled. Rows of one of the `groups` [N] come into the same split; without groups, equal rows
    do.
    """
    images, labels = parts["train"]
    names = [name for name in DRAWN if name == "train" or name not in parts]
    first = first_equal(images if groups is None else groups)
    alone = np.flatnonzero(first == np.arange(len(first)))
    total = sum(shares[name] for name in names)
    sizes = [max(1, round(shares[name] / total * len(alone))) for name in names[1:]]
    sizes.insert(0, len(alone) - sum(sizes))
    taken = stratified(labels[alone], sizes, seed)
    rows = {name: np.flatnonzero(np.isin(first, alone[chosen])) for name, chosen in zip(names, taken, strict=True)}
    rng = np.random.default_rng([seed, 1])  # shuffled, because some metrics and figures are of the first rows
    result = {}
    for name in DRAWN:
        x, y = (images, labels) if name in rows else parts[name]
        order = rng.permutation(rows.get(name, np.arange(len(y))))
        result[name] = x[order], y[order]
    return result


def in_order(part: Part, times: np.ndarray, seed: int) -> dict[str, Part]:
    """Splits of rows by their times [N], which grow: the first are for training, the last for the test. Rows of one
    time come into the same split. Within a split they are shuffled."""
    cuts = np.cumsum([*DRAWN.values()])[:-1] * len(times)
    cuts = [int(np.searchsorted(times, times[round(cut)])) for cut in cuts]
    x, y = part
    spans = itertools.pairwise([0, *cuts, len(times)])
    rng = np.random.default_rng([seed, 1])
    orders = {name: rng.permutation(np.arange(a, b)) for name, (a, b) in zip(DRAWN, spans, strict=True)}
    return {name: (x[order], y[order]) for name, order in orders.items()}


def without_anomalies(parts: dict[str, Part], classes: Sequence[str], normal: Sequence[str]) -> dict[str, Part]:
    """The splits with rows of the `normal` classes alone; the others are `anomalies`, those of the test split, and
    `validation_anomalies`, those of the splits that models learn from. Raises ValueError."""
    kept = numbers(classes, normal, "prepare.normal")
    usual = {name: np.isin(y, kept) for name, (_, y) in parts.items()}
    for name, chosen in usual.items():
        if not chosen.any():
            raise ValueError(f"prepare.normal: no row of the {name} split is of {', '.join(normal)}")
    result = {name: (x[usual[name]], y[usual[name]]) for name, (x, y) in parts.items()}
    other = {name: (x[~usual[name]], y[~usual[name]]) for name, (x, y) in parts.items()}
    x, y = (np.concatenate(arrays) for arrays in zip(other["train"], other["validation"], strict=True))
    found = {"anomalies": other["test"], "validation_anomalies": (x, y)} if len(y) else halves(other["test"])
    if not all(len(labels) for _, labels in found.values()):
        raise ValueError(f"prepare.normal: too few rows are not of {', '.join(normal)}, so there is nothing to find")
    return result | found


def numbers(classes: Sequence[str], names: Sequence[str | int], where: str) -> list[int]:
    """The labels of the classes of these names, 7 as good as "7". Raises ValueError that begins with `where`."""
    wanted = [str(name) for name in names]
    if unknown := [name for name in wanted if name not in classes]:
        there = ", ".join(classes) or "none"
        raise ValueError(f"{where}: no class {unknown[0]!r}; the classes of the data set: {there}")
    return [label for label, name in enumerate(classes) if name in wanted]


def halves(part: Part, most: int | None = None) -> dict[str, Part]:
    """Every other row as an anomaly for the test split, the rest for validation; at most so many each."""
    x, y = part
    names = ("anomalies", "validation_anomalies")
    return {name: (x[first::2][:most], y[first::2][:most]) for first, name in enumerate(names)}


def first_equal(x: np.ndarray) -> np.ndarray:
    """The first row of x [N, ...] that equals each row, int64 [N]."""
    seen: dict[bytes, int] = {}
    digests = (hashlib.blake2b(np.ascontiguousarray(row).data, digest_size=16).digest() for row in x)
    return np.array([seen.setdefault(digest, i) for i, digest in enumerate(digests)])


def stratified(labels: np.ndarray, sizes: list[int], seed: int) -> list[np.ndarray]:
    """Disjoint row numbers, one array per size, each with the class proportions of `labels` [N].

    Raises ValueError if the sizes add up to more rows than there are.
    """
    if sum(sizes) > len(labels):
        raise ValueError(f"splits of {sizes} images are more than the {len(labels)} there are")
    rng = np.random.default_rng(seed)
    shuffled = rng.permutation(len(labels))
    # the place of each row within its class, in (0, 1): cutting the sorted places keeps the class proportions
    place = np.empty(len(labels))
    for label in np.unique(labels):
        rows = shuffled[labels[shuffled] == label]
        place[rows] = (np.arange(len(rows)) + 0.5) / len(rows)
    order = shuffled[np.argsort(place[shuffled], kind="stable")]
    cuts = np.cumsum([0, *sizes])
    return [rng.permutation(order[a:b]) for a, b in itertools.pairwise(cuts)]


def save(folder: Path, part: Part) -> None:
    """Write one split as <folder>/x.npy and y.npy."""
    images, labels = part
    folder.mkdir()
    storage.save_array(folder / "x.npy", images)
    storage.save_array(folder / "y.npy", labels)


def digest(part: Part) -> str:
    """A fingerprint of one split: 32 hex digits of the SHA-256 of images and labels."""
    result = hashlib.sha256(np.ascontiguousarray(part[0]).data)
    result.update(np.ascontiguousarray(part[1]).data)
    return result.hexdigest()[:32]


def place(name: str) -> Path:
    """The folder of a split of `prepare`."""
    return (FOLDER if name in HELD_OUT else LEARNING) / name


def load(name: str, folder: Path | None = None) -> Images:
    """One split: from `folder`, or from the results of `prepare`.

    Raises FileNotFoundError, or ValueError that names a damaged file.
    """
    folder = folder / name if folder else place(name)
    x, y = (storage.map_array(folder / file) for file in ("x.npy", "y.npy"))
    held = (x.dtype, x.ndim) in HELD and (y.dtype, y.shape) == (np.int64, x.shape[:1])
    if not held or not len(x):
        result = f"x {x.dtype} {list(x.shape)}, y {y.dtype} {list(y.shape)}"
        allowed = "uint8 [N, C, H, W], float32 [N, D] or [N, T, D], y int64 [N], N of 1 or more"
        raise ValueError(f"{folder}: holds {result}; allowed: {allowed}")
    return Images(x, y)


def labels(name: str) -> np.ndarray:
    """The labels of a split of `prepare`, int64 [N]. Raises as `load`."""
    return load(name).y


def meta() -> Meta:
    """The description that `prepare` wrote. Raises FileNotFoundError, ValueError for a damaged file."""
    path = LEARNING / "meta.json"
    try:
        stored = json.loads(path.read_text())
        shape, classes = tuple(stored["shape"]), tuple(stored["classes"])
        return Meta(stored["name"], shape, classes, stored["digest"], from_json(stored.get("columns", ())))
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not readable ({error}){storage.RESTORE}") from error
