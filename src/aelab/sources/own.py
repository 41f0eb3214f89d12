"""The user's own files: what `aelab use` looks at and `download` keeps as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aelab.data import storage
from aelab.sources import images, tables
from aelab.sources.settings import Dataset

LOOKS: dict[str, Any] = {"image": images.look, "table": tables.look}
OOD = {"image": "synthetic shapes", "table": "test rows with every column shuffled"}


def kind(path: Path) -> str:
    """The kind of data that a path holds, by its form. Raises ValueError if there is nothing."""
    if not path.exists():
        raise ValueError(f"{path}: does not exist")
    if path.suffix.lower() == ".npz" and path.is_file():
        with storage.readable(path), np.load(path, allow_pickle=False) as arrays:
            return "image" if {"images", "x"} & set(arrays.files) else "table"
    return "table" if path.suffix.lower() in tables.SUFFIXES else "image"


def look(dataset: Dataset) -> Any:
    """What lies at the path of `dataset`. Raises ValueError with one line, and OSError."""
    path = Path(dataset.path or "")
    if not path.exists():
        raise ValueError(f"{path}: does not exist")
    return LOOKS[dataset.kind](path, dataset.options)


def keep(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Write what lies at the path of `dataset` as <folder>/<split>/x.npy and y.npy; returns its description.

    Raises as `look`, and ValueError for a file that cannot be read.
    """
    found = look(dataset)
    found.write(folder)
    columns = getattr(found, "columns", {})
    return {
        "name": dataset.name,
        "title": f"{dataset.name}: {found.says()[0]}",
        "licence": "",
        "classes": list(found.classes),
        "columns": [{"name": name, "categories": known} for name, known in columns.items()],
        "scaling": dataset.scale,
        "by": getattr(found, "by", ""),
        "sizes": None,
        "ood": OOD[dataset.kind],
    }
