"""Images of the user's own: folders of files, and arrays.

| form | labels |
|---|---|
| folder with image files | none |
| folder with a folder per class | names of the folders |
| `train/`, maybe `val/`, `test/`, each flat or with a folder per class | names of the folders; its own splits |
| any of these with a `metadata.csv` (Hugging Face's imagefolder): `file_name`, and a column of labels | that column |
| MVTec's: `train/good`, `test/good`, `test/<defect>`; `ground_truth/` is left out | good, and the defects |
| .npy; .npz of `images` or `x`, maybe `labels` or `y` | the labels array |

`look` reads the headers of files, `write` the pixels.
"""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aelab.data import storage
from aelab.sources import duplicates
from aelab.sources.image_files import GREY, digest, header, hidden, pixels, visible

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
PARTS = {"train": "train", "val": "validation", "valid": "validation", "validation": "validation", "test": "test"}
LEAST = 11  # pixels of the shorter side, as SSIM's window needs
FEWEST = 50  # images
TABLE = "metadata.csv"


@dataclass(frozen=True)
class Options:
    """What a user may say about images.

    size: pixels; each image is scaled until its shorter side has so many, then its middle is cut out. channels: 1 or 3;
    None: as they are. label: the column of metadata.csv. skip_broken: leave out what cannot be read.
    """

    size: int | None = None
    channels: int | None = None
    label: str | None = None
    skip_broken: bool = False

    def __post_init__(self) -> None:
        if self.size is not None and self.size < LEAST:
            raise ValueError(f"size: {self.size} is out of range; allowed: {LEAST} or more")
        if self.channels not in (None, 1, 3):
            raise ValueError(f"channels: {self.channels} is wrong; allowed: 1, 3")


@dataclass(frozen=True)
class Entry:
    """An image file, its class ("" without), and the split that it comes in ("" if the data has none)."""

    path: Path
    label: str = ""
    part: str = ""


@dataclass(frozen=True)
class Images:
    """What was found: shape (C, H, W), files in order, classes, and what there is to say about them.

    broken: files that cannot be read and are left out; others: files that are no images.
    """

    shape: tuple[int, int, int]
    entries: tuple[Entry, ...]
    classes: tuple[str, ...]
    broken: tuple[Path, ...]
    others: int
    options: Options

    @property
    def title(self) -> str:
        return titled(self.shape, len(self.entries)) + ", scaled and cut to that size" * bool(self.options.size)

    def parts(self) -> dict[str, list[Entry]]:
        """The images by split: all are "train" if the data has no splits."""
        result: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            result[entry.part or "train"].append(entry)
        return dict(result)

    def says(self) -> list[str]:
        """What was seen, a line each."""
        parts = self.parts()
        lines = [self.title, counted(Counter(entry.label for entry in self.entries if entry.label))]
        if len(parts) > 1:
            lines.append("splits of its own: " + ", ".join(f"{name} {len(found):,}" for name, found in parts.items()))
        if self.broken:
            lines.append(f"{len(self.broken)} files left out that cannot be read, such as {self.broken[0]}")
        equal = duplicates.counted({name: [digest(entry.path) for entry in found] for name, found in parts.items()})
        lines += duplicates.said(*equal, "files", drawn=len(parts) == 1)
        if self.others:
            lines.append(f"{self.others} files left out that are no images")
        return lines

    def write(self, folder: Path, tick: Callable[[], object] = lambda: None) -> None:
        """Write each split as <folder>/<split>/x.npy and y.npy; tick: called after each image.

        The pixels go to the file as they are read, so that the images may be larger than the memory. Raises ValueError
        for a file that cannot be read.
        """
        numbers = {name: i for i, name in enumerate(self.classes)}
        for part, entries in self.parts().items():
            (folder / part).mkdir()
            x = np.lib.format.open_memmap(folder / part / "x.npy", "w+", np.uint8, (len(entries), *self.shape))
            for i, entry in enumerate(entries):
                x[i] = pixels(entry.path, self.shape, fitted=self.options.size is not None)
                tick()
            x.flush()
            storage.save_array(folder / part / "y.npy", np.array([numbers.get(entry.label, 0) for entry in entries]))


@dataclass(frozen=True)
class Stack:
    """Images of one array x uint8 [N, C, H, W], memory-mapped where the file allows it, with labels [N] or None."""

    x: np.ndarray
    labels: np.ndarray | None

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.x.shape[1:]  # type: ignore[return-value]

    @property
    def classes(self) -> tuple[str, ...]:
        names = [] if self.labels is None else [str(name) for name in np.unique(self.labels)]
        return tuple(names) if len(names) > 1 else ()

    @property
    def title(self) -> str:
        return titled(self.shape, len(self.x))

    def says(self) -> list[str]:
        """What was seen, a line each."""
        return [self.title, counted(Counter([] if self.labels is None else map(str, self.labels.tolist())))]

    def write(self, folder: Path, tick: Callable[[], object] = lambda: None) -> None:
        """Write <folder>/train/x.npy and y.npy."""
        (folder / "train").mkdir()
        storage.save_array(folder / "train" / "x.npy", self.x)
        y = np.zeros(len(self.x), np.int64) if self.labels is None else np.unique(self.labels, return_inverse=True)[1]
        storage.save_array(folder / "train" / "y.npy", y.astype(np.int64))


def titled(shape: tuple[int, int, int], count: int) -> str:
    """Images in a line."""
    channels, height, width = shape
    return f"{count:,} {'grey' if channels == 1 else 'colour'} images, {width} x {height} pixels"


def counted(classes: Mapping[str, int]) -> str:
    """Images by class, in a line."""
    names = ", ".join(f"{name} {number:,}" for name, number in sorted(classes.items()))
    return f"{len(classes)} classes: {names}" if len(classes) > 1 else "no classes"


def look(path: Path, options: Options) -> Images | Stack:
    """Look at every image of a folder, or at an array.

    Raises ValueError that says in one line what is wrong, where, and what is allowed; OSError without permission.
    """
    if path.is_file():
        return stacked(path)
    entries, others = listed(path, options)
    sizes: dict[tuple[int, int], Path] = {}
    channels: dict[int, Path] = {}
    kept, broken = [], []
    for entry in entries:
        try:
            size, mode = header(entry.path)
        except ValueError:
            if not options.skip_broken:
                raise
            broken.append(entry.path)
            continue
        kept.append(entry)
        sizes.setdefault(size, entry.path)
        channels.setdefault(1 if mode in GREY else 3, entry.path)
    if not kept:
        raise ValueError(f"{path}: no images ({', '.join(SUFFIXES)})")
    if options.channels is None and len(channels) > 1:
        grey, coloured = (channels[n].relative_to(path) for n in (1, 3))
        raise ValueError(f"{path}: {grey} is grey, {coloured} has colours; add --channels 1 or --channels 3")
    if options.size is None and len(sizes) > 1:
        (a, first), (b, second) = [(size, file.relative_to(path)) for size, file in list(sizes.items())[:2]]
        found = f"{first} has {a[0]} x {a[1]} pixels, {second} {b[0]} x {b[1]}"
        raise ValueError(f"{path}: {found}; all alike, or add --size, such as --size 64")
    width, height = (options.size, options.size) if options.size else next(iter(sizes))
    check(path, len(kept), width, height)
    shape = (options.channels or next(iter(channels)), height, width)
    names = sorted({entry.label for entry in kept} - {""})
    classes = tuple(names) if len(names) > 1 else ()
    return Images(shape, tuple(kept), classes, tuple(broken), others, options)


def stacked(path: Path) -> Stack:
    """The images of an npy or npz: uint8, grey [N, H, W] or with channels [N, C, H, W] or [N, H, W, C]."""
    if path.suffix == ".npy":
        found = {"images": storage.map_array(path, "")}
    elif path.suffix == ".npz":
        found = storage.load_arrays(path, "")
    else:
        raise ValueError(f"{path}: unknown kind of file; allowed: a folder, .npy, .npz")
    x = next((found[name] for name in ("images", "x") if name in found), None)
    if x is None:
        raise ValueError(f"{path}: no array images or x; there are: {', '.join(found) or 'none'}")
    is_now = f"{x.dtype} [{', '.join(map(str, x.shape))}]"
    if x.ndim == 3:
        x = x[:, None]
    elif x.ndim == 4 and x.shape[1] not in (1, 3) and x.shape[3] in (1, 3):
        x = x.transpose(0, 3, 1, 2)
    if x.dtype != np.uint8 or x.ndim != 4 or x.shape[1] not in (1, 3):
        raise ValueError(f"{path}: images {is_now}; allowed: uint8 [N, H, W], [N, C, H, W], [N, H, W, C], C 1 or 3")
    check(path, len(x), x.shape[3], x.shape[2])
    labels = next((found[name] for name in ("labels", "y") if name in found), None)
    if labels is not None and labels.shape != (len(x),):
        raise ValueError(f"{path}: labels of shape {list(labels.shape)}; allowed: [{len(x)}], one per image")
    return Stack(x, labels)


def check(path: Path, count: int, width: int, height: int) -> None:
    """Raise ValueError for too few images, and for too small ones."""
    if count < FEWEST:
        raise ValueError(f"{path}: {count} images; allowed: {FEWEST} or more")
    if min(width, height) < LEAST:
        raise ValueError(f"{path}: images of {width} x {height} pixels; allowed: {LEAST} x {LEAST} or more")


def listed(path: Path, options: Options) -> tuple[list[Entry], int]:
    """The image files of a folder with labels and splits, and how many other files there are."""
    folders = [item for item in visible(path) if item.is_dir()]
    parts = {item: PARTS[item.name.lower()] for item in folders if item.name.lower() in PARTS}
    if "train" in parts.values():
        entries, others = [], 0
        for folder, part in parts.items():
            found, more = classed(folder, options)
            entries += [Entry(entry.path, entry.label, part) for entry in found]
            others += more
        if not any(entry.part == "test" for entry in entries):
            entries = [Entry(entry.path, entry.label) for entry in entries]  # drawn anew, so that there is a test split
        return entries, others
    return classed(path, options)


def classed(folder: Path, options: Options) -> tuple[list[Entry], int]:
    """The image files of one split: flat, by class, or as its metadata.csv says."""
    items = visible(folder)
    files, folders = [item for item in items if item.is_file()], [item for item in items if item.is_dir()]
    if (folder / TABLE).is_file():
        return tabled(folder, options)
    if options.label:
        raise ValueError(f"{folder}: no {TABLE}, in which {options.label!r} could be a column")
    images = [file for file in files if file.suffix.lower() in SUFFIXES]
    others = len(files) - len(images)
    by_class = []
    for one in folders:
        for file in sorted(file for file in one.rglob("*") if file.is_file() and not hidden(file, one)):
            if file.suffix.lower() in SUFFIXES:
                by_class.append(Entry(file, one.name))
            else:
                others += 1
    if images and by_class:
        raise ValueError(f"{folder}: {images[0]} lies beside folders of images; allowed: all in folders, or none")
    return by_class or [Entry(file) for file in images], others


def tabled(folder: Path, options: Options) -> tuple[list[Entry], int]:
    """The images that a metadata.csv names, with the labels of one of its columns."""
    path = folder / TABLE
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    columns = [name for name in (rows[0] if rows else {}) if name != "file_name"]
    if not rows or "file_name" not in rows[0]:
        raise ValueError(f"{path}: no column file_name")
    if options.label and options.label not in columns:
        raise ValueError(f"{path}: no column {options.label!r}; there are: {', '.join(columns) or 'none'}")
    column = options.label or next((name for name in ("label", "class") if name in columns), "")
    entries = []
    for number, row in enumerate(rows, 2):
        file = folder / row["file_name"]
        if not file.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{path}, line {number}: {row['file_name']} lies outside the folder")
        if not file.is_file():
            raise ValueError(f"{path}, line {number}: {row['file_name']} does not exist")
        if column and not row[column]:
            raise ValueError(f"{path}, line {number}: no {column}")
        entries.append(Entry(file, row[column] if column else ""))
    return entries, 0
