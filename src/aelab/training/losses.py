"""Bookkeeping of losses: values per step, means per image, and an error as soon as one is not finite."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator

import torch
from torch import Generator, Tensor

from aelab.data.corruption import Noises
from aelab.data.tensors import CHUNK, Tensors, chunks
from aelab.models.common import Batch, Losses


class DivergedError(ArithmeticError):
    """A loss became NaN or infinite."""


@contextlib.contextmanager
def of_replicate(replicate: int) -> Iterator[None]:
    """Add the replicate to the message of a DivergedError."""
    try:
        yield
    except DivergedError as error:
        raise DivergedError(f"replicate {replicate}, {error}") from None


def over(
    loss: Callable[[Batch, Generator], Losses], data: Tensors, noises: Noises, generator: Generator
) -> dict[str, float]:
    """The loss and its terms over `data`, means per image, without training."""
    values: dict[str, Tensor] = {}
    images = counts(len(data.x), CHUNK)
    pieces = zip(data.x.split(CHUNK), data.y.split(CHUNK), strict=True)
    with torch.no_grad():
        for number, (x, y) in enumerate(pieces):
            result = loss(Batch(x, noises(x, generator), y), generator)
            note(values, result, number, len(images))
    return means(values, images)


def note(values: dict[str, Tensor], losses: Losses, number: int, pieces: int) -> None:
    """Put the loss and its terms of batch `number` (from 0, of `pieces`) into `values`.

    The tensors for all batches are allocated at once: small tensors that outlive a step would fragment the memory that
    the large ones of the next step need (0.3 MB per step of a small network).
    """
    for name, value in (("total", losses.total), *losses.terms.items()):
        if name not in values:
            values[name] = value.new_full((pieces,), math.nan)
        values[name][number] = value.detach()


def means(values: dict[str, Tensor], counts: Tensor) -> dict[str, float]:
    """Means per image, from means over batches of `counts` images."""
    return {name: (item.double().cpu() @ counts / counts.sum()).item() for name, item in values.items()}


def batches(totals: Tensor) -> dict[str, float]:
    """`last_batch`: the loss of the last step; `between_batches`: the standard deviation over steps; totals [steps]."""
    values = totals.double()
    return {"last_batch": values[-1].item(), "between_batches": values.std(correction=0).item()}


def accuracy(reconstruct: Callable[[Tensor, Tensor], Tensor], data: Tensors) -> float:
    """The share of values with round(x_hat) == x, which Keras calls "accuracy" (its `binary_accuracy`)."""
    equal = sum(int(part.sum()) for part in chunks(lambda x, y: reconstruct(x, y).round() == x, *data))
    return equal / data.x.numel()


def counts(images: int, size: int) -> Tensor:
    """The number of images in each batch of `size`, for this number of images: float64."""
    return torch.tensor([min(size, images - start) for start in range(0, images, size)], dtype=torch.float64)


def check(totals: Tensor, phase: str, start: int, lr: float) -> None:
    """Raise DivergedError if the loss of a step is not finite. start: the steps of the phase before them."""
    bad = (~totals.isfinite()).nonzero()
    if len(bad):
        step = int(bad[0, 0])
        raise DivergedError(
            f"phase {phase}, step {start + step + 1}: the loss is {totals[step].item()}; "
            f"a smaller lr (now {lr:g}) often helps"
        )
