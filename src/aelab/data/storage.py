"""Arrays (npz) and JSON on disk, without pickle; equal contents give equal bytes."""

from __future__ import annotations

import hashlib
import io
import json
import math
import re
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

LARGEST = 4 * 2**30  # bytes that an npz from outside may unpack to
RESTORE = "; `dvc checkout` or `dvc repro` restores it"
ARRAY = re.compile(r"\w[\w.-]*(/\w[\w.-]*)*")  # names of arrays in an npz


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


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of an npz that `save_arrays` wrote. Raises FileNotFoundError, or ValueError that names a damaged
    file."""
    with readable(path, RESTORE), zipfile.ZipFile(path) as archive:
        if any(member.file_size != member.compress_size for member in archive.infolist()):
            raise ValueError("compressed")
        return _arrays(archive)


def load_array(path: Path, name: str) -> np.ndarray:
    """One array of an npz that `save_arrays` wrote. Raises as `load_arrays`."""
    with readable(path, RESTORE), zipfile.ZipFile(path) as archive:
        return _array(archive, archive.getinfo(f"{name}.npy"))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """All arrays of any npz. Raises as `load_arrays`, also for one that unpacks to more than LARGEST."""
    with readable(path), zipfile.ZipFile(path) as archive:
        if sum(member.file_size for member in archive.infolist()) > LARGEST:
            raise ValueError(f"more than {LARGEST} bytes unpacked")
        return _arrays(archive)


@contextmanager
def readable(path: Path, remedy: str = "") -> Iterator[None]:
    """Turn any error while an npz is read into a ValueError that names the file; FileNotFoundError stays as it is."""
    try:
        yield
    except FileNotFoundError:
        raise
    except Exception as error:  # damaged bytes make numpy and zipfile raise a dozen kinds of errors
        text = " ".join(str(error).split()) or type(error).__name__
        raise ValueError(f"{path}: not a readable npz ({text}){remedy}") from error


def _arrays(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """All arrays, without pickle, in no more memory than the archive declares. Raises ValueError for improper names."""
    members = archive.infolist()
    names = [member.filename.removesuffix(".npy") for member in members]
    if len({*names}) < len(names) or not all(ARRAY.fullmatch(name) for name in names):
        raise ValueError("its arrays have no proper names, or one name twice")
    return {name: _array(archive, member) for name, member in zip(names, members, strict=True)}


def _array(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    """One member. Its header is checked first, because numpy would allocate the memory that it promises."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(file)
    if math.prod(shape) * max(1, kind.itemsize) > member.file_size:
        raise ValueError(f"{member.filename} promises {math.prod(shape)} values and is cut")
    with archive.open(member) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


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
