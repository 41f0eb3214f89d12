"""The prepared data on the device, for training and evaluation."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple, cast

import torch
from torch import Generator, Tensor

from aelab.data import memory, splits, streaming
from aelab.data import noisy as fixed
from aelab.data.streaming import Streamed, pixels

LOADING = 5  # bytes per pixel while a split is loaded: as stored, and as float32
MEASURING = 16  # bytes per number of a code (or pixel) during evaluation: probes and neighbours hold copies
DISTANCES = 4000  # bytes per image for its distances to the test images of one chunk


class Tensors(NamedTuple):
    """A split on the device: images x float32 [N, C, H, W] in [0, 1], labels y int64 [N].

    If the images do not fit into memory, x is a `streaming.Streamed`, which replaces the tensor.
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Data:
    """All splits on the device, the test split under each noise (uint8 [N, C, H, W] by label), and the OOD images."""

    train: Tensors
    validation: Tensors
    test: Tensors
    noisy: dict[str, Tensor]
    ood: Tensors

    def whole(self) -> Data:
        """The same with all training images as one tensor (see `measurable`)."""
        return dataclasses.replace(self, train=Tensors(measurable(self.train.x), self.train.y))


def split(name: str, device: torch.device) -> Tensors:
    """A split of data/prepare, streamed from its file if it is large compared with the free memory.

    Raises FileNotFoundError, ValueError for a damaged file.
    """
    path = splits.place(name)
    size = LOADING * path.stat().st_size
    if memory.fits(size, device):
        return loaded(name, device)
    print(f"{path}: streams, {size / 1e9:,.1f} GB is large for the memory that is free", file=sys.stderr, flush=True)
    return streamed(name, device)


def loaded(name: str, device: torch.device) -> Tensors:
    """A split of data/prepare in memory.

    Raises FileNotFoundError, or ValueError for a damaged file or one that is too large.
    """
    path = splits.place(name)
    memory.demand(LOADING * path.stat().st_size, device, str(path))
    images = splits.load(name)
    return Tensors(pixels(torch.from_numpy(images.x).to(device)), torch.from_numpy(images.y).to(device))


def streamed(name: str, device: torch.device) -> Tensors:
    """A split of data/prepare that stays in its file. Raises FileNotFoundError, ValueError for a damaged one."""
    images, labels = streaming.npz(splits.place(name), "images"), splits.labels(name)
    return Tensors(streaming.stand_in(images, device), torch.from_numpy(labels).to(device))


def measurable(x: Tensor) -> Tensor:
    """Codes or images [N, ...], streamed or not, as one tensor.

    Raises ValueError if they are streamed and evaluating all of them would need more memory than is free.
    """
    if not isinstance(x, Streamed):
        return x
    memory.demand((MEASURING * x.shape[1:].numel() + DISTANCES) * len(x), x.device, f"measuring {len(x):,} images")
    return x.whole()


def mapped(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs) in chunks of rows, without gradients; the result is streamed if the input is."""
    with torch.no_grad():
        parts = zip(*(item.split(streaming.CHUNK) for item in inputs), strict=True)
        return streaming.joined((function(*part) for part in parts), inputs[0])


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
    x = cast(Tensor, split.x.only(rows)) if isinstance(split.x, Streamed) else split.x[rows]
    return Tensors(x, split.y[rows])


def noisy(name: str, device: torch.device) -> dict[str, Tensor]:
    """The fixed noisy copies of a split, uint8 by noise label."""
    return {label: torch.from_numpy(array).to(device) for label, array in fixed.load(name).items()}


def everything(device: torch.device) -> Data:
    """All splits, the noisy test sets and the OOD images, for `baselines` and `evaluate`.

    Only the training split may be streamed.
    """
    validation, test, ood = (loaded(name, device) for name in ("validation", "test", "ood"))
    return Data(split("train", device), validation, test, noisy("test", device), ood)
