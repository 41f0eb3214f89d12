"""Corruption for denoising autoencoders: kinds of noise, used during training and for the fixed noisy sets.

All random numbers come from the given generator. Images, values in [0, 1]:

| kind | what happens | level |
|---|---|---|
| gaussian | x + level * N(0, 1), clipped to [0, 1] | standard deviation in [0, 10] |
| masking | a share `level` of the values becomes 0 (Vincent 2008) | share in [0, 1] |
| salt_pepper | a share `level` becomes 0 or 1, each with probability one half (Vincent 2010) | share in [0, 1] |
| salt | a share `level` becomes 1 | share in [0, 1] |
| impulse | a share `2 * level` becomes uniform random values | share in [0, 0.5] |

Tables and series, where a cell is a number with its flag or all inputs of a category (see columns.py):

| kind | what happens | level |
|---|---|---|
| gaussian | known numbers + level * N(0, 1), not clipped | in standard deviations |
| masking | a share `level` of the cells looks missing | share in [0, 1] |
| swap | a share `level` of the cells takes the value of another row of the batch (Jahrer 2017) | share in [0, 1] |
| salt_pepper | a share `level` of the known numbers becomes -3 or 3 standard deviations | share in [0, 1] |
| span | a stretch of a share `level` of the time steps looks missing; series only | share in [0, 1] |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from aelab.data.layout import Layout


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


LIMITS = {
    "gaussian": 10.0,
    "masking": 1.0,
    "salt_pepper": 1.0,
    "salt": 1.0,
    "impulse": 0.5,
    "swap": 1.0,
    "span": 1.0,
}
EXTREME = 3.0  # standard deviations, of salt_pepper in tables and series


def corrupt(x: Tensor, kind: str, level: float, generator: Generator, layout: Layout | None = None) -> Tensor:
    """A noisy copy of `x`; `x` is not changed.

    x: images of any shape, values in [0, 1], or with a `layout` rows [B, D] or series [B, T, D]. Raises ValueError for
    an unknown kind, a level out of range, a noise that this data cannot have.
    """
    kind = Noise(kind, level).kind
    kinds = IMAGE_NOISES if layout is None else CELL_NOISES
    if kind not in kinds or (kind == "span" and x.dim() < 3):
        what = "images" if layout is None else "tables" if x.dim() < 3 else "series"
        allowed = [name for name in kinds if name != "span" or x.dim() > 2]
        raise ValueError(f"noise: {kind} is no noise of {what}; allowed: {', '.join(allowed)}")
    return IMAGE_NOISES[kind](x, level, generator) if layout is None else CELL_NOISES[kind](x, level, generator, layout)


@dataclass(frozen=True)
class Noises:
    """The noise of training: each item of a batch gets one of `kinds`, all equally likely; none: it stays as it is.

    layout: of the columns of tables and series.
    """

    kinds: tuple[Noise, ...] = ()
    layout: Layout | None = None

    @classmethod
    def parse(cls, texts: Sequence[str], layout: Layout | None = None) -> Noises:
        """Of noises written as "kind level". Raises ValueError."""
        return cls(tuple(Noise.parse(text) for text in texts), layout)

    def __call__(self, x: Tensor, generator: Generator) -> Tensor:
        """A noisy copy of the batch `x` [B, ...]; without noises `x` itself. Raises ValueError as `corrupt`."""
        if len(self.kinds) < 2:
            return self._one(self.kinds[0], x, generator) if self.kinds else x
        which = torch.randint(len(self.kinds), (len(x),), generator=generator, device=x.device)
        noisy = x.clone()
        for i, noise in enumerate(self.kinds):
            rows = (which == i).nonzero().squeeze(1)
            noisy[rows] = self._one(noise, x[rows], generator)
        return noisy

    def _one(self, noise: Noise, x: Tensor, generator: Generator) -> Tensor:
        return corrupt(x, noise.kind, noise.level, generator, self.layout)


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


IMAGE_NOISES: dict[str, Callable[[Tensor, float, Generator], Tensor]] = {
    "gaussian": _gaussian,
    "masking": _masking,
    "salt_pepper": _salt_pepper,
    "salt": _salt,
    "impulse": _impulse,
}


def _hit(x: Tensor, level: float, generator: Generator, layout: Layout) -> Tensor:
    """A share `level` of the cells, as all of their inputs: bool of the shape of x."""
    cells = (*x.shape[:-1], layout.count)
    return layout.spread(torch.rand(cells, generator=generator, device=x.device) < level)


def _gaussian_cells(x: Tensor, level: float, generator: Generator, layout: Layout) -> Tensor:
    return x + level * torch.randn(x.shape, generator=generator, device=x.device) * layout.known_numbers(x)


def _masking_cells(x: Tensor, level: float, generator: Generator, layout: Layout) -> Tensor:
    return x * ~_hit(x, level, generator, layout)


def _swap_cells(x: Tensor, level: float, generator: Generator, layout: Layout) -> Tensor:
    cells = (*x.shape[:-1], layout.count)
    rows = layout.spread(torch.randint(len(x), cells, generator=generator, device=x.device))
    return torch.where(_hit(x, level, generator, layout), x.gather(0, rows), x)


def _salt_pepper_cells(x: Tensor, level: float, generator: Generator, layout: Layout) -> Tensor:
    u = _uniform(x, generator)
    extreme = EXTREME * (2 * (u < level / 2).to(x.dtype) - 1)
    return torch.where((u < level) & (layout.known_numbers(x) > 0), extreme, x)


def _span(x: Tensor, level: float, generator: Generator, layout: Layout) -> Tensor:
    steps = x.shape[1]
    hidden = round(level * steps)
    first = torch.randint(steps - hidden + 1, (len(x), 1), generator=generator, device=x.device)
    step = torch.arange(steps, device=x.device)
    return x * ~((step >= first) & (step < first + hidden))[..., None]


CELL_NOISES: dict[str, Callable[[Tensor, float, Generator, Layout], Tensor]] = {
    "gaussian": _gaussian_cells,
    "masking": _masking_cells,
    "swap": _swap_cells,
    "salt_pepper": _salt_pepper_cells,
    "span": _span,
}
