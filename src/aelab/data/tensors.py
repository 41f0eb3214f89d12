"""The prepared data on the device, for training and evaluation."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Generator, Tensor

from aelab.data import noisy as fixed
from aelab.data import splits

CHUNK = 1000  # rows per chunk
SCRATCH = splits.FOLDER.parent  # not the system's temporary folder, which may be in memory


class Tensors(NamedTuple):
    """A split on the device: images x float32 [N, C, H, W] in [0, 1], rows [N, D] or series [N, T, D]; labels y int64
    [N].

    On a CPU x is mapped from a file, so that it may be larger than the memory.
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Data:
    """All splits on the device, the test split under each noise (by label, as it is stored), the OOD images, and
    anomalies beside the normal rows of test and validation."""

    train: Tensors
    validation: Tensors
    test: Tensors
    noisy: dict[str, Tensor]
    ood: Tensors
    anomalies: Tensors
    validation_anomalies: Tensors

    def judged(self, normal: Sequence[int]) -> Data:
        """The same data where the rows of these classes are normal, and all others of validation and test anomalies."""
        train, validation, test = (of_classes(part, normal) for part in (self.train, self.validation, self.test))
        others = [label for label in self.test.y.unique().tolist() if label not in normal]
        anomalies = [of_classes(part, others) for part in (self.test, self.validation)]
        return Data(train, validation, test, {}, self.ood, *anomalies)


def of_classes(split: Tensors, labels: Sequence[int]) -> Tensors:
    """The rows of a split that have these labels."""
    rows = torch.isin(split.y, torch.tensor(labels, device=split.y.device)).nonzero().flatten()
    return Tensors(stored((split.x[part] for part in rows.split(CHUNK)), split.x.device), split.y[rows])


def split(name: str, device: torch.device) -> Tensors:
    """A split of data/prepare. Raises FileNotFoundError, ValueError for a damaged file."""
    images = splits.load(name)
    parts = torch.from_numpy(images.x).split(CHUNK)
    return Tensors(stored((pixels(part) for part in parts), device), torch.from_numpy(images.y).to(device))


def pixels(x: Tensor) -> Tensor:
    """Images uint8 -> float32 in [0, 1]; the float32 of tables and series stays."""
    return x.float().div_(255) if x.dtype == torch.uint8 else x


def stored(chunks: Iterable[Tensor], device: torch.device) -> Tensor:
    """Chunks of rows, concatenated: on a GPU in its memory, else in a memory-mapped temporary file.

    The system may drop pages of the file from memory and read them again. Raises ValueError if the disk is full.
    """
    if device.type != "cpu":
        return torch.cat([chunk.to(device) for chunk in chunks])
    count, last = 0, np.empty(0, np.float32)
    with tempfile.TemporaryFile(dir=SCRATCH if SCRATCH.exists() else None) as file:
        try:
            for chunk in chunks:
                last = chunk.detach().contiguous().numpy()
                file.write(last.data)
                count += len(last)
            file.flush()
        except OSError as error:
            raise ValueError(
                f"{SCRATCH}: no room for a temporary file of {count:,} rows and more ({error.strerror}); fewer images "
                "(prepare.limit) need less"
            ) from error
        return torch.from_numpy(np.memmap(file, last.dtype, "r+", shape=(count, *last.shape[1:])))


def mapped(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs) in chunks of rows, without gradients."""
    return torch.cat(list(chunks(function, *inputs)))


def chunks(function: Callable[..., Tensor], *inputs: Tensor) -> Iterator[Tensor]:
    """The results of function(*inputs) for chunks of rows, without gradients."""
    for part in zip(*(item.split(CHUNK) for item in inputs), strict=True):
        with torch.no_grad():
            yield function(*part)


def balanced(split: Tensors, n: int, generator: Generator) -> Tensors:
    """n random images of a split (or all), with as equal numbers of each class as possible.

    With one seed, a smaller draw is a prefix of a larger one.
    """
    shuffled = torch.randperm(len(split.y), generator=generator).to(split.y.device)
    labels = split.y[shuffled]
    # the rank of each row within its class: all first ones come first, then all second ones
    turn = torch.zeros_like(labels)
    for label in labels.unique():
        mine = labels == label
        turn[mine] = torch.arange(int(mine.sum()), device=turn.device)
    rows = shuffled[torch.argsort(turn, stable=True)[:n]]
    return Tensors(stored((split.x[part] for part in rows.split(CHUNK)), split.x.device), split.y[rows])


def noisy(name: str, device: torch.device) -> dict[str, Tensor]:
    """The fixed noisy copies of a split by noise label, as they are stored: images uint8, others float32."""
    return {label: torch.from_numpy(array).to(device) for label, array in fixed.load(name).items()}


def everything(device: torch.device) -> Data:
    """All splits, the noisy test sets and the OOD images, for `baselines` and `evaluate`."""
    train, validation, test = (split(name, device) for name in ("train", "validation", "test"))
    ood, *anomalies = (split(name, device) for name in ("ood", "anomalies", "validation_anomalies"))
    return Data(train, validation, test, noisy("test", device), ood, *anomalies)
