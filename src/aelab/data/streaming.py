"""Data larger than memory: rows of a memory-mapped file, turned into tensors on access.

A `Streamed` replaces a tensor of all images and gives the same numbers: the loop shuffles it with the same permutation.
Images are read from the split's npz, uncompressed uint8. The codes that the next layer of a stack trains on, and all
images as floats for models that need their mean, go to a scratch file.
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

CHUNK = 1000  # rows per chunk
SCRATCH = splits.FOLDER.parent  # not the system's temporary folder, which may be in memory
NAMES = struct.Struct("<HH")  # the last fields of a zip's local header: the lengths of name and extra field
NAMES_AT, HEADER = 26, 30  # their offset, and the length of the header without them


class Stored:
    """A memory-mapped array: pages are read on access, and the system may drop them again.

    path: the name of the file in errors.
    """

    def __init__(self, path: Path, file: BinaryIO, dtype: np.dtype, shape: tuple[int, ...], offset: int = 0) -> None:
        self.path, self.file = path, file
        self.array = np.asarray(np.memmap(file, dtype, "r+" if file.writable() else "r", offset, shape))
        self.state = self._state()

    def check(self) -> None:
        """Raise ValueError if the file was truncated or written to: reading a page beyond its end would be fatal."""
        if self._state() != self.state:
            raise ValueError(f"{self.path}: changed while it was read{storage.RESTORE}")

    def _state(self) -> tuple[int, int]:
        result = os.fstat(self.file.fileno())
        return result.st_size, result.st_mtime_ns


class Streamed:
    """Rows of a stored array as float32 on `device`, uint8 divided by 255; has the methods of a Tensor that training
    uses.

    rows: which rows of the array, and in which order; None: all.
    """

    dtype = torch.float32

    def __init__(
        self, stored: Stored, device: torch.device, array: np.ndarray | None = None, rows: np.ndarray | None = None
    ) -> None:
        self.stored, self.device = stored, device
        self.array = stored.array if array is None else array  # reshaped
        self.rows = np.arange(len(self.array)) if rows is None else rows
        self.shape = torch.Size((len(self.rows), *self.array.shape[1:]))

    def __len__(self) -> int:
        return len(self.rows)

    def dim(self) -> int:
        return len(self.shape)

    def __getitem__(self, which: Tensor | slice | list[int]) -> Tensor:
        """These rows, in memory."""
        self.stored.check()
        rows = self.rows[which.cpu().numpy() if isinstance(which, Tensor) else which]
        taken = torch.from_numpy(self.array.take(rows, axis=0)).to(self.device)
        return pixels(taken) if taken.dtype == torch.uint8 else taken

    def index_select(self, dim: int, rows: Tensor) -> Tensor:
        """Like Tensor.index_select, for dim 0."""
        assert dim == 0
        return self[rows]

    def split(self, size: int) -> Iterator[Tensor]:
        """All rows, in chunks of this many."""
        for start in range(0, len(self), size):
            yield self[start : start + size]

    def flatten(self, start: int) -> Streamed:
        return Streamed(self.stored, self.device, self.array.reshape(*self.array.shape[:start], -1), self.rows)

    def only(self, which: Tensor) -> Streamed:
        """These rows, still in the file."""
        return Streamed(self.stored, self.device, self.array, self.rows[which.cpu().numpy()])

    def mean(self, dim: int, dtype: torch.dtype | None = None) -> Tensor:
        """The mean over all rows (dim 0), with the same bits as the tensor of them.

        In float64, sums of up to four million pixels are exact in any order (each pixel is a multiple of 2^-31). In
        float32 the order matters, and a GPU multiplies instead of dividing, so torch gets all rows.
        """
        assert dim == 0
        if dtype == torch.float64 and self.device.type == "cpu":
            return torch.stack([part.sum(0, dtype=dtype) for part in self.split(CHUNK)]).sum(0).div_(len(self))
        return self.whole().mean(0, dtype=dtype)

    def whole(self) -> Tensor:
        """All rows as one tensor; on the CPU it is mapped from a scratch file."""
        ready = self.array.dtype == np.float32 and np.array_equal(self.rows, np.arange(len(self.array)))
        array = self.array if ready else scratch(self.split(CHUNK)).array
        return torch.from_numpy(array).to(self.device)


def pixels(x: Tensor) -> Tensor:
    """uint8 -> float32 in [0, 1]."""
    return x.float().div_(255)


def joined(chunks: Iterable[Tensor], like: Tensor) -> Tensor:
    """Chunks of rows, concatenated: in memory if `like` is, else in a scratch file."""
    return stand_in(scratch(chunks), like.device) if isinstance(like, Streamed) else torch.cat(list(chunks))


def stand_in(stored: Stored, device: torch.device) -> Tensor:
    """A Streamed of all rows, typed as the tensor that it replaces."""
    return cast(Tensor, Streamed(stored, device))


def npz(path: Path, name: str) -> Stored:
    """Map an array of an npz that `storage.save_arrays` wrote, after verifying the checksums of the file.

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
    """Chunks of rows in an unnamed temporary file.

    Raises ValueError if the disk is full.
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
