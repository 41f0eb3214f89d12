"""Data that would not fit into memory: mapped from one file, turned into tensors as they are asked for.

A `Streamed` stands in for a tensor of all images, and gives the very numbers that the tensor would give: the same loop
shuffles it by the same permutation. Images are taken where they lie in the split's npz, uncompressed uint8. Codes that
the next layer of a stack learns from, and floats of all images where a model needs their mean, go into a scratch file.
"""

from __future__ import annotations

import os
import struct
import tempfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np
import torch
from torch import Tensor

from aelab.data import splits, storage

CHUNK = 1000  # rows at a time where all are wanted
SCRATCH = splits.FOLDER.parent  # not the system's folder for such files, which may lie in memory
NAMES = struct.Struct("<HH")  # of a zip's local header: how long the name and the extra field are that end it
NAMES_AT, HEADER = 26, 30  # where they stand, and how long it is without them


class Stored:
    """An array in a file, mapped: what is touched is read, and the system may drop it again.

    `path` names the file in errors.
    """

    def __init__(self, path: Path, file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...], offset: int = 0) -> None:
        self.path, self.file = path, file
        self.array = np.asarray(np.memmap(file, dtype, "r+" if file.writable() else "r", offset, shape))
        self.state = self._state()

    def check(self) -> None:
        """Raises ValueError where the file was cut or written to: to touch a page beyond its end would be fatal."""
        if self._state() != self.state:
            raise ValueError(f"{self.path}: changed while it was read{storage.RESTORE}")

    def _state(self) -> tuple[int, int]:
        found = os.fstat(self.file.fileno())
        return found.st_size, found.st_mtime_ns


class Streamed:
    """Rows of a stored array as float32 on `device`, uint8 as shares of 255; it knows of a Tensor what learning asks.

    rows: which of the array's, in which order; None: all.
    """

    dtype = torch.float32

    def __init__(
        self, stored: Stored, device: torch.device, array: np.ndarray | None = None, rows: np.ndarray | None = None
    ) -> None:
        self.stored, self.device = stored, device
        self.array = stored.array if array is None else array  # another shape of it
        self.rows = np.arange(len(self.array)) if rows is None else rows
        self.shape = torch.Size((len(self.rows), *self.array.shape[1:]))

    def __len__(self) -> int:
        return len(self.rows)

    def dim(self) -> int:
        return len(self.shape)

    def __getitem__(self, which: Tensor | slice | list[int]) -> Tensor:
        """The rows of these numbers, in memory."""
        self.stored.check()
        rows = self.rows[which.cpu().numpy() if isinstance(which, Tensor) else which]
        taken = torch.from_numpy(self.array.take(rows, axis=0)).to(self.device)
        return pixels(taken) if taken.dtype == torch.uint8 else taken

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """As of a tensor, for dim 0."""
        assert dim == 0
        return self[rows]

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows, so many at a time."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def flatten(self, start: int) -> Streamed:
        return Streamed(self.stored, self.device, self.array.reshape(*self.array.shape[:start], -1), self.rows)

    def only(self, which: Tensor) -> Streamed:
        """The rows of these numbers, still in the file."""
        return Streamed(self.stored, self.device, self.array, self.rows[which.cpu().numpy()])

    def mean(self, dim: int, dtype: torch.dtype | None = None) -> Tensor:
        """Over all rows (dim 0), the bits that the tensor of them would give.

        In float64 sums of up to four million pixels are exact (each is a multiple of 2^-31), in any order; in float32
        the order counts, and a GPU does not divide but multiplies, so that torch is given all rows.
        """
        assert dim == 0
        if dtype == torch.float64 and self.device.type == "cpu":
            return torch.stack([part.sum(0, dtype=dtype) for part in self.split(CHUNK)]).sum(0).div_(len(self))
        return self.whole().mean(0, dtype=dtype)

    def whole(self) -> Tensor:
        """All rows as one tensor: on the CPU one that is mapped from a scratch file."""
        ready = self.array.dtype == np.float32 and np.array_equal(self.rows, np.arange(len(self.array)))
        array = self.array if ready else scratch(self.split(CHUNK)).array
        return torch.from_numpy(array).to(self.device)


def pixels(x: Tensor) -> Tensor:
    """uint8 -> float32 in [0, 1]."""
    return x.float().div_(255)


def joined(chunks: Iterable[Tensor], like: Tensor) -> Tensor:
    """Chunks of rows one after the other: in memory where `like` is, else in a scratch file."""
    return stand_in(scratch(chunks), like.device) if isinstance(like, Streamed) else torch.cat(list(chunks))


def stand_in(stored: Stored, device: torch.device) -> Tensor:
    """A Streamed of all rows, typed as what it stands in for."""
    return cast(Tensor, Streamed(stored, device))


def npz(path: Path, name: str) -> Stored:
    """An array of an npz that `splits.save_arrays` wrote, where it lies. The file's checksums are compared first.

    Raises FileNotFoundError, or ValueError that names a damaged file.
    """
    with storage.readable(path, storage.RESTORE):
        file = open(path, "rb")  # noqa: SIM115  (open as long as the array is in use)
        with zipfile.ZipFile(file) as archive:
            if damaged := archive.testzip():
                raise ValueError(f"{damaged} is damaged")
            info = archive.getinfo(f"{name}.npy")
            with archive.open(info) as member:
                version = np.lib.format.read_magic(member)
                shape, by_column, dtype = np.lib.format.read_array_header_1_0(member)
                begins = member.tell()
            if version != (1, 0) or by_column or dtype.hasobject or info.compress_type != zipfile.ZIP_STORED:
                raise ValueError(f"{name} is not as `prepare` writes it")
        file.seek(info.header_offset + NAMES_AT)
        begins += info.header_offset + HEADER + sum(NAMES.unpack(file.read(NAMES.size)))
        return Stored(path, file, dtype, shape, begins)


def scratch(chunks: Iterable[Tensor]) -> Stored:
    """Chunks of rows in a file without a name, which is gone when nobody uses it any more.

    Raises ValueError where the disk is full.
    """
    file = tempfile.TemporaryFile(dir=SCRATCH, buffering=0)  # noqa: SIM115
    count, last = 0, np.empty(0)
    try:
        for chunk in chunks:
            last = chunk.detach().cpu().contiguous().numpy()
            content = last.data.cast("B")
            while content:
                content = content[file.write(content) :]
            count += len(last)
    except OSError as error:
        raise ValueError(
            f"{SCRATCH}: no room for a scratch file of what does not fit into memory ({error.strerror}); "
            "fewer images (prepare.limit) need less"
        ) from error
    return Stored(SCRATCH, file, last.dtype, (count, *last.shape[1:]))
