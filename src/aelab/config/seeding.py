"""Seeds and random generators for every use, derived from the one `seed:` of params.yaml."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derive(seed: int, *stream: str | int) -> int:
    """A 63-bit seed for one use, e.g. derive(1, "train", "vae", 0, "init"): the first bits of a SHA-256."""
    digest = hashlib.sha256("/".join(map(str, (seed, *stream))).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *stream: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random generator of one use (see `derive`), on `device`."""
    import torch

    return torch.Generator(device).manual_seed(derive(seed, *stream))
