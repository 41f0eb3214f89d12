"""Corruption for denoising autoencoders: five kinds of noise, used during training and for the fixed noisy sets.

Values are in [0, 1]; the table says what `level` means. All random numbers come from the given generator.

| kind | what happens | level |
|---|---|---|
| gaussian | x + level * N(0, 1), clipped to [0, 1] | standard deviation in [0, 10] |
| masking | a share `level` of the values becomes 0 (Vincent 2008) | share in [0, 1] |
| salt_pepper | a share `level` becomes 0 or 1, each with probability one half (Vincent 2010) | share in [0, 1] |
| salt | a share `level` becomes 1 | share in [0, 1] |
| impulse | a share `2 * level` becomes uniform random values | share in [0, 0.5] |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass(frozen=True)
class Noise:
    """One kind of noise at one level; `label` is its name in tables, e.g. "masking-0.25"."""

    kind: str
    level: float

    def __post_init__(self) -> None:
        if self.kind not in LIMITS:
            raise ValueError(f"{self.kind!r} is an unknown noise; allowed: {', '.join(LIMITS)}")
        if not 0 <= self.level <= LIMITS[self.kind]:
            raise ValueError(f"{self.kind} {self.level} is out of range; allowed: 0 to {LIMITS[self.kind]:g}")

    @property
    def label(self) -> str:
        return f"{self.kind}-{self.level:g}"

    @classmethod
    def parse(cls, words: str, key: str = "noise") -> Noise:
        """The noise written as "kind level", e.g. "masking 0.3". Raises ValueError that begins with `key`."""
        kind, _, level = words.partition(" ")
        try:
            return cls(kind, float(level))
        except ValueError as error:
            hint = f"{words!r} is not a noise; allowed: kind level, e.g. masking 0.3"
            raise ValueError(f"{key}: {error if level and 'float' not in str(error) else hint}") from None


LIMITS = {"gaussian": 10.0, "masking": 1.0, "salt_pepper": 1.0, "salt": 1.0, "impulse": 0.5}


def corrupt(x: Tensor, kind: str, level: float, generator: Generator) -> Tensor:
    """A noisy copy of `x` (any shape, values in [0, 1]); `x` is not changed.

    Raises ValueError for an unknown kind or a level out of range.
    """
    return _KINDS[Noise(kind, level).kind](x, level, generator)


def corrupt_mixed(x: Tensor, noises: Sequence[Noise], generator: Generator) -> Tensor:
    """Each item of the batch `x` [B, ...] with one of `noises`, all equally likely; without noises `x` itself."""
    if len(noises) < 2:
        return corrupt(x, noises[0].kind, noises[0].level, generator) if noises else x
    which = torch.randint(len(noises), (len(x),), generator=generator, device=x.device)
    noisy = x.clone()
    for i, noise in enumerate(noises):
        rows = (which == i).nonzero().squeeze(1)
        noisy[rows] = corrupt(x[rows], noise.kind, noise.level, generator)
    return noisy


def _uniform(x: Tensor, generator: Generator) -> Tensor:
    return torch.rand(x.shape, generator=generator, device=x.device, dtype=x.dtype)


def _gaussian(x: Tensor, level: float, generator: Generator) -> Tensor:
    return torch.randn(x.shape, generator=generator, device=x.device, dtype=x.dtype).mul_(level).add_(x).clamp_(0, 1)


def _masking(x: Tensor, level: float, generator: Generator) -> Tensor:
    return x * (_uniform(x, generator) >= level)


def _salt_pepper(x: Tensor, level: float, generator: Generator) -> Tensor:
    u = _uniform(x, generator)
    return torch.where(u < level, (u < level / 2).to(x.dtype), x)


def _salt(x: Tensor, level: float, generator: Generator) -> Tensor:
    return x.masked_fill(_uniform(x, generator) < level, 1)


def _impulse(x: Tensor, level: float, generator: Generator) -> Tensor:
    hit = _uniform(x, generator) < 2 * level
    return torch.where(hit, _uniform(x, generator), x)


_KINDS: dict[str, Callable[[Tensor, float, Generator], Tensor]] = {
    "gaussian": _gaussian,
    "masking": _masking,
    "salt_pepper": _salt_pepper,
    "salt": _salt,
    "impulse": _impulse,
}
