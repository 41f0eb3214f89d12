"""What is known of a published data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aelab.data.splits import Part


@dataclass(frozen=True)
class OutOfDistribution:
    """The OOD images of a data set: the official test split of another `source` or, without one, synthetic shapes."""

    title: str  # as in "squared error on ..."
    source: str = ""


@dataclass(frozen=True)
class Source:
    """One data set: its folder on a mirror, checksums, split sizes, how to read it, its OOD images; of a table the
    columns with their categories (none: numbers)."""

    title: str
    licence: str
    classes: tuple[str, ...]
    sizes: dict[str, int]  # images per split; without "test" if the data set has an official one
    read: Callable[[Source, tuple[str, ...], int], dict[str, Part]]  # from these mirrors, or draw, this draw
    folder: str = ""
    sha256: tuple[tuple[str, str], ...] = ()  # images and labels of train, then of test
    ood: OutOfDistribution = OutOfDistribution("synthetic shapes")
    columns: Callable[[], Mapping[str, tuple[str, ...]]] = dict
    axes: tuple[int, ...] = (1, 28, 28)  # of an image or series; of a table none
    drawn: bool = False  # whether there are several draws of it
    made_of: str = ""  # the data set whose mirrors it is read from, if not its own

    def shape(self) -> tuple[int, ...]:
        """The shape of an item, for a table about: its inputs depend on the training split."""
        known = self.columns().values()
        return self.axes or (sum(len(categories) + 1 if categories else 1 for categories in known),)
