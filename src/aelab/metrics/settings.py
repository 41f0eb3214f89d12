"""The knobs of `evaluate`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Evaluate:
    """neighbours: k of the kNN classifier; digits, samples, steps, units: how much is kept for the pictures."""

    neighbours: int
    digits: int  # test images, as evenly spread over the classes as can be
    samples: int  # images from the prior, and from random codes
    steps: int  # of an interpolation, both ends included
    units: int  # first-layer units whose weights are kept

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if value < 1:
                raise ValueError(f"{key}: {value} is out of range; allowed: 1 or more")
