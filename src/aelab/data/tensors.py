"""The prepared data on the device, as learning and evaluation want it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Generator, Tensor

from aelab.data import noisy as fixed
from aelab.data import splits


class Tensors(NamedTuple):
    """A split on the device: images x float32 [N, C, H, W] in [0, 1], labels y int64 [N]."""

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Data:
    """The splits on the device, the test split under each noise (uint8 [N, C, H, W] by label), strange images."""

    train: Tensors
    validation: Tensors
    test: Tensors
    noisy: dict[str, Tensor]
    strange: Tensors


def split(name: str, device: torch.device) -> Tensors:
    """A split of data/prepare. Raises FileNotFoundError, ValueError for a damaged file."""
    images = splits.load(name)
    return Tensors(pixels(torch.from_numpy(images.x).to(device)), torch.from_numpy(images.y).to(device))


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
    return Tensors(split.x[rows], split.y[rows])


def noisy(name: str, device: torch.device) -> dict[str, Tensor]:
    """The fixed noisy twins of a split, uint8 by noise label."""
    return {label: torch.from_numpy(array).to(device) for label, array in fixed.load(name).items()}


def everything(device: torch.device) -> Data:
    """All splits, the noisy test sets and the strange images: what `floors` and `evaluate` read."""
    train, validation, test, strange = (split(name, device) for name in ("train", "validation", "test", "strange"))
    return Data(train, validation, test, noisy("test", device), strange)


def pixels(x: Tensor) -> Tensor:
    """uint8 -> float32 in [0, 1]."""
    return x.float().div_(255)
