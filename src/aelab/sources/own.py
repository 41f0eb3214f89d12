"""The user's own files: what `aelab use` looks at and `download` keeps as arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aelab.sources import images
from aelab.sources.settings import Dataset

OOD = "synthetic shapes"


def look(dataset: Dataset) -> images.Images | images.Stack:
    """What lies at the path of `dataset`. Raises ValueError with one line, and OSError."""
    path = Path(dataset.path or "")
    if not path.exists():
        raise ValueError(f"{path}: does not exist")
    return images.look(path, dataset.options)


def keep(dataset: Dataset, folder: Path) -> dict[str, Any]:
    """Write what lies at the path of `dataset` as <folder>/<split>/x.npy and y.npy; returns its description.

    Raises as `look`, and ValueError for a file that cannot be read.
    """
    found = look(dataset)
    found.write(folder)
    return {
        "name": dataset.name,
        "title": f"{dataset.name}: {found.says()[0]}",
        "licence": "",
        "classes": found.classes,
        "sizes": None,
        "ood": OOD,
    }
