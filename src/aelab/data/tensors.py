"""The prepared data on the device, as learning and evaluation want it."""

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

LOADING = 5  # bytes per pixel while a split is loaded: as it is stored, and as float32
MEASURING = 16  # bytes per number of a code (or pixel) while it is measured: probes and neighbours hold copies
DISTANCES = 4000  # bytes per image for its distances to the test images that are compared with it at once


class Tensors(NamedTuple):
    """A split on the device: images x float32 [N, C, H, W] in [0, 1], labels y int64 [N].

    Where all images would not fit into memory, x is a `streaming.Streamed`, which stands in for that tensor.
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Data:
    """The splits on the device, the test split under each noise (uint8 [N, C, H, W] by label), ood images."""

    train: Tensors
    validation: Tensors
    test: Tensors
    noisy: dict[str, Tensor]
    ood: Tensors

    def whole(self) -> Data:
        """With all training images as one tensor, as measures of raw pixels want them (see `measurable`)."""
        return dataclasses.replace(self, train=Tensors(measurable(self.train.x), self.train.y))


def split(name: str, device: torch.device) -> Tensors:
    """A split of data/prepare, streamed from its file where it is large for the memory that is free.

    Raises FileNotFoundError, ValueError for a damaged file.
    """
    path = splits.place(name)
    size = LOADING * path.stat().st_size
    if memory.fits(size, device):
        return loaded(name, device)
    print(f"{path}: streams, {size / 1e9:,.1f} GB is large for the memory that is free", file=sys.stderr, flush=True)
    return streamed(name, device)


def loaded(name: str, device: torch.device) -> Tensors:
    """A split of data/prepare in memory. Raises FileNotFoundError, ValueError for a damaged file and where it is too
    large."""
    path = splits.place(name)
    memory.demand(LOADING * path.stat().st_size, device, str(path))
    images = splits.load(name)
    return Tensors(pixels(torch.from_numpy(images.x).to(device)), torch.from_numpy(images.y).to(device))


def streamed(name: str, device: torch.device) -> Tensors:
    """A split of data/prepare that stays in its file. Raises FileNotFoundError, ValueError for a damaged one."""
    images, labels = streaming.npz(splits.place(name), "images"), splits.labels(name)
    return Tensors(streaming.stand_in(images, device), torch.from_numpy(labels).to(device))


def measurable(x: Tensor) -> Tensor:
    """Codes or images [N, ...], streamed or not, as one tensor. Raises ValueError where they are streamed and measuring
    all of them would take more memory than there is."""
    if not isinstance(x, Streamed):
        return x
    memory.demand((MEASURING * x.shape[1:].numel() + DISTANCES) * len(x), x.device, f"measuring {len(x):,} images")
    return x.whole()


def mapped(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs) in chunks of rows, without gradients; of streamed images, streamed too."""
    with torch.no_grad():
        parts = zip(*(each.split(streaming.CHUNK) for each in inputs), strict=True)
        return streaming.joined((function(*part) for part in parts), inputs[0])


def balanced(split: Tensors, n: int, generator: Generator) -> Tensors:
    """n images of a split (all, where there are no more), drawn at random, as many of each class as can be.

    From one seed, fewer images are the first of more.
    """
    shuffled = torch.randperm(len(split.y), generator=generator).to(split.y.device)
    labels = split.y[shuffled]
    turn = torch.zeros_like(labels)  # which of its class a row is: all first ones come first, then all second ones
    for label in labels.unique():
        mine = labels == label
        turn[mine] = torch.arange(int(mine.sum()), device=turn.device)
    rows = shuffled[torch.argsort(turn, stable=True)[:n]]
    x = cast(Tensor, split.x.only(rows)) if isinstance(split.x, Streamed) else split.x[rows]
    return Tensors(x, split.y[rows])


def noisy(name: str, device: torch.device) -> dict[str, Tensor]:
    """The fixed noisy twins of a split, uint8 by noise label."""
    return {label: torch.from_numpy(array).to(device) for label, array in fixed.load(name).items()}


def everything(device: torch.device) -> Data:
    """All splits, the noisy test sets and the ood images: what `baselines` and `evaluate` read. None but the training
    split streams."""
    validation, test, ood = (loaded(name, device) for name in ("validation", "test", "ood"))
    return Data(split("train", device), validation, test, noisy("test", device), ood)
