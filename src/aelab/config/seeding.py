"""Seeds and random generators for every use, derived from the one `seed:` of params.yaml."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# renamed stages and entries keep the random streams of their first names, so that a rename changes no result
STREAMS = {
    "baselines": "floors",
    "capacity": "power",
    "noise_transfer": "transfer",
    "deep_ae_2d": "stacked_ae",
    "ood": "strange",
}


def derive(seed: int, *stream: str | int) -> int:
    """A 63-bit seed for one use, e.g. derive(1, "train", "vae", 0, "init"): the first bits of a SHA-256."""
    text = (STREAMS.get(word, word) if isinstance(word, str) else word for word in (seed, *stream))
    digest = hashlib.sha256("/".join(map(str, text)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(seed: int, *stream: str | int, device: torch.device | str = "cpu") -> torch.Generator:
    """The random generator of one use (see `derive`), on `device`."""
    import torch

    return torch.Generator(device).manual_seed(derive(seed, *stream))
