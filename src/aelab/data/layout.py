"""Where the inputs of a table's or a series' columns are, on any device."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from aelab.data.columns import Column

KNOWN = 0.5  # a cell of categories is known if its inputs add up to more


@dataclass(frozen=True)
class Layout:
    """Where the inputs of columns are, by number.

    cells [D]: the column of each input; numbers: the inputs that hold values of numbers; flags: for each of those the
    input of its flag, -1 without; blocks: from, to (exclusive) of the inputs of each category column.
    """

    cells: tuple[int, ...]
    numbers: tuple[int, ...]
    flags: tuple[int, ...]
    blocks: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, columns: Sequence[Column]) -> Layout:
        cells: list[int] = []
        numbers, flags, blocks = [], [], []
        for i, column in enumerate(columns):
            start = len(cells)
            cells += [i] * column.width
            if column.categories:
                blocks.append((start, len(cells)))
            else:
                numbers.append(start)
                flags.append(start + 1 if column.flag else -1)
        return cls(tuple(cells), tuple(numbers), tuple(flags), tuple(blocks))

    @property
    def count(self) -> int:
        """The number of columns."""
        return self.cells[-1] + 1

    def known(self, x: Tensor) -> Tensor:
        """Which inputs of x [..., D] count in an error, 1 or 0, of the same shape: those of cells that are not missing;
        flags never."""
        result = torch.ones_like(x)
        for number, flag in zip(self.numbers, self.flags, strict=True):
            if flag >= 0:
                result[..., number] = x[..., flag]
                result[..., flag] = 0
        for start, stop in self.blocks:
            result[..., start:stop] = x[..., start:stop].sum(-1, keepdim=True)
        return result

    def known_numbers(self, x: Tensor) -> Tensor:
        """Which inputs of x [..., D] are known numbers, 1 or 0, of the same shape."""
        result = torch.zeros_like(x)
        result.index_fill_(-1, on(self.numbers, x.device), 1)
        return result * self.known(x)

    def known_cells(self, x: Tensor) -> Tensor:
        """Which cells of x [..., D] are not missing: bool [..., C]."""
        known = self.known(x) > KNOWN
        firsts = tuple(self.cells.index(cell) for cell in range(self.count))
        return known.index_select(-1, on(firsts, x.device))

    def spread(self, cells: Tensor) -> Tensor:
        """Values of cells [..., C] -> those of their inputs [..., D]."""
        return cells.index_select(-1, on(self.cells, cells.device))


def squared_errors(x: Tensor, x_hat: Tensor, layout: Layout | None) -> Tensor:
    """The squared error of each item of x [N, ...], float64 [N]: over all pixels of images, which have no layout, else
    over the inputs of known cells."""
    if layout is None:
        return (x - x_hat).flatten(1).double().square().sum(1)
    return (layout.known(x) * (x - x_hat).square()).flatten(1).double().sum(1)


@cache
def on(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    """Numbers as a tensor, which a device gets once."""
    return torch.tensor(numbers, device=device)
