"""The user's own files: what `aelab use` looks at and `download` keeps as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from aelab.data import storage
from aelab.data.columns import Kind
from aelab.sources import images, series, series_files, table_files, tables
from aelab.sources.settings import Dataset

LOOKS: dict[str, Any] = {"image": images.look, "table": tables.look, "series": series.look}
OOD = {
    "image": "synthetic shapes",
    "table": "test rows with every column shuffled",
    "series": "test series with their steps shuffled",
}


def kind(path: Path, window: int | None = None) -> Kind:
    """The kind of data that a path holds, by its form. window: recordings are cut into windows of so many steps.

    Raises ValueError if there is nothing.
    """
    if not path.exists():
        raise ValueError(f"{path}: does not exist")
    suffix = path.suffix.lower()
    if path.is_dir():
        endings = {file.suffix.lower() for file in path.iterdir()}
        return "series" if ".ts" in endings or (".tsv" in endings and not endings & {*images.SUFFIXES}) else "image"
    if suffix in (".npy", ".npz"):
        return array_kind(path)
    if suffix == ".ts" or series_files.is_ucr(path) or (window and suffix in table_files.SUFFIXES):
        return "series"
    return "table" if suffix in table_files.SUFFIXES else "image"


def array_kind(path: Path) -> Kind:
    """Bytes are images, other numbers of two axes or more series, named columns a table."""
    if path.suffix.lower() == ".npy":
        return "image" if storage.map_array(path, "").dtype == np.uint8 else "series"
    found = storage.load_arrays(path, "")
    x = next((found[name] for name in ("images", "x", "series") if name in found), None)
    if x is None or x.ndim < 2:
        return "table"
    return "image" if x.dtype == np.uint8 else "series"


def look(dataset: Dataset) -> Any:
    """What lies at the path of `dataset`. Raises ValueError with one line, and OSError."""
    path = Path(dataset.path or "")
    if not path.exists():
        raise ValueError(f"{path}: does not exist")
    return LOOKS[dataset.kind](path, dataset.options)


def raw(path: Path, kind: Kind) -> Any:
    """The rows of a table as a pandas frame, series as an array [N, T, features], as they are. Raises as `look`."""
    import pandas as pd

    if not path.exists():
        raise ValueError(f"{path}: does not exist")
    if kind == "table":
        return pd.concat(list(table_files.pieces(path)), ignore_index=True)
    return series.values(path)


def keep(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Write what lies at the path of `dataset` as <folder>/<split>/x.npy and y.npy; returns its description.

    Raises as `look`, and ValueError for a file that cannot be read.
    """
    found = look(dataset)
    found.write(folder)
    columns = getattr(found, "columns", {})
    return {
        "name": dataset.name,
        "title": f"{dataset.name}: {found.title}",
        "licence": "",
        "classes": list(found.classes),
        "columns": [{"name": name, "categories": known} for name, known in columns.items()],
        "scaling": "standard" if dataset.kind == "series" else dataset.scale,
        "by": getattr(found, "by", ""),
        "sizes": None,
        "ood": OOD[dataset.kind],
    }
