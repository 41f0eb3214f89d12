"""The fixed noisy copies of the validation and test sets, the same for every model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from aelab.data.corruption import Noise, corrupt
from aelab.data.layout import Layout
from aelab.data.storage import load_arrays

FOLDER = Path("data/corrupt")
VALUES = 2**25  # pixels of images that get their noise at once, all 10,000 of MNIST's test


@dataclass(frozen=True)
class Corrupt:
    """The noises that models are evaluated with, as "kind level"."""

    noises: tuple[str, ...]

    def __post_init__(self) -> None:
        for text in self.noises:
            Noise.parse(text, "noises")


def corrupted(x: np.ndarray, noise: Noise, seed: int, layout: Layout | None = None) -> np.ndarray:
    """A noisy copy of images (uint8 [N, C, H, W]), rounded to uint8; or of rows or series float32 with a `layout`."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    if layout:
        return corrupt(torch.from_numpy(x), noise.kind, noise.level, generator, layout).numpy()
    result = np.empty_like(x)
    rows = max(1, VALUES // max(1, x[:1].size))
    for start in range(0, len(x), rows):
        clean = torch.from_numpy(x[start : start + rows]).float().div_(255)
        noisy = corrupt(clean, noise.kind, noise.level, generator)
        result[start : start + rows] = noisy.mul_(255).round_().to(torch.uint8).numpy()
    return result


def load(split: str) -> dict[str, np.ndarray]:
    """Noise label -> images uint8 [N, C, H, W] of one split, or rows or series float32.

    Raises FileNotFoundError, ValueError for a damaged file.
    """
    return load_arrays(FOLDER / f"{split}.npz")
