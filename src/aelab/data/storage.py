"""Arrays (npy, npz) and JSON on disk, without pickle; equal contents give equal bytes."""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

RESTORE = "; `dvc checkout` or `dvc repro` restores it"


def save_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as one uncompressed npz; the bytes depend on names and values only."""
    with zipfile.ZipFile(path, "w") as archive:  # not np.savez: its zip headers differ between Python versions
        for name, item in arrays.items():
            array, header = np.asarray(item), io.BytesIO()
            np.lib.format.write_array_header_1_0(header, np.lib.format.header_data_from_array_1_0(array))
            info = zipfile.ZipInfo(f"{name}.npy")
            info.file_size = header.tell() + array.nbytes  # set beforehand, so that large files get the right header
            with archive.open(info, "w") as member:  # written in pieces, without a copy of the array
                np.lib.format.write_array(member, array, allow_pickle=False)


def save_array(path: Path, array: np.ndarray) -> None:
    """Write an npy, as np.save does. Raises OSError that says why, such as for a full disk."""
    array = np.ascontiguousarray(array)
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(array))
        file.write(array.data)


def load_arrays(path: Path, remedy: str = RESTORE) -> dict[str, np.ndarray]:
    """All arrays of an npz. Raises FileNotFoundError, or ValueError that names a damaged file, and the remedy."""
    with readable(path, remedy), np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("it holds something else than arrays")
        return arrays


def map_array(path: Path, remedy: str = RESTORE) -> np.ndarray:
    """The array of an npy, memory-mapped: pages are read on access, changes stay in memory. Raises as `load_arrays`."""
    with readable(path, remedy):
        return np.load(path, mmap_mode="c", allow_pickle=False)


@contextmanager
def readable(path: Path, remedy: str = "") -> Iterator[None]:
    """Turn any error while arrays are read into a ValueError that names the file; FileNotFoundError stays as it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged bytes make numpy and zipfile raise a dozen kinds of errors
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: not readable as {path.suffix[1:]} ({text}){remedy}") from error


def md5(path: Path) -> str:
    """The MD5 of a file, as DVC computes it."""
    return hashlib.md5(path.read_bytes()).hexdigest()


def save_json(path: Path, content: Any) -> None:
    """Write JSON that people and git can read: indented, in the given order."""
    path.write_text(json.dumps(content, indent=1, allow_nan=True) + "\n")


def load_json(path: Path) -> Any:
    """Read JSON. Raises FileNotFoundError, or ValueError that names the damaged file."""
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise ValueError(f"{path}: not readable as JSON ({error})") from error
