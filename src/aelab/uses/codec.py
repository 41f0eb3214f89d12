"""Compressed codes: rounded to whole numbers, entropy-coded, in a container that names the model by its weights.

Rounding z_k to multiples of a step costs step^2 / 12 each, and the reconstruction g_k times that, where g_k is the mean
squared norm of the decoder's derivative by z_k. Steps in proportion to 1 / sqrt(g_k) share the error out equally, which
needs the fewest bits (high-rate theory; Gersho & Gray 1992, chapter 8):

    step_k = sqrt(12 ratio E / (K g_k)),   E the model's own squared error, ratio one of RATIOS, K the count of numbers.

The whole numbers go through a range coder (constriction, Bamler 2022) with the frequencies that each of them has for
training items. What `decompress` needs is in whole numbers, so an archive gives the same codes on any machine.
"""

from __future__ import annotations

import functools
import struct
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np
import torch
from constriction import stream  # pyright: ignore[reportAttributeAccessIssue]
from torch import Tensor

from aelab.data.tensors import mapped
from aelab.models.common import Autoencoder

RATIOS = (1 / 64, 1 / 16, 1 / 4, 1.0, 4.0)  # error of rounding over the model's own, by level, from the finest on
ROWS, VALUES = 10_000, 2**26  # training items, and their values, at most that frequencies are counted on
PROBES, NUDGE = 64, 0.1  # items at which the derivative is taken, and its step in standard deviations
DECODED = 2**14  # items at most decoded for it
STILL = 1e-9  # a number whose change by its standard deviation changes the squared error by less does not count
MOST = 2**15  # whole numbers stay below
COUNTED = 16  # weight of a training item, beside 1 for each whole number that may occur

MAGIC, VERSION = b"AELC", 1
HEADER = struct.Struct("<4sBBI8sI")  # magic, version, level, items, MD5 of the weights (half), CRC-32 of the rest


@runtime_checkable
class Indexed(Protocol):
    """A model whose codes are indices already."""

    def indices(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> int64 [B, h, w]."""
        ...

    def looked_up(self, indices: Tensor) -> Tensor:
        """Indices [B * h * w] -> what they stand for [B, depth, h, w]."""
        ...


class Header(NamedTuple):
    """The head of an archive. weights: hex digits, the first half of their MD5."""

    level: int
    items: int
    weights: str


@dataclass(frozen=True)
class Codec:
    """Whole numbers [N, K] for items, and bytes for whole numbers, at each of L levels.

    offset [K], steps [L, K] (0: the number is always `offset`); low [L, K] and sizes [L, K]: the least whole number and
    how many there are; counts: their frequencies in training, all in one row.
    """

    offset: np.ndarray
    steps: np.ndarray
    low: np.ndarray
    sizes: np.ndarray
    counts: np.ndarray

    @classmethod
    def of(cls, arrays: Mapping[str, np.ndarray]) -> Codec:
        """From its `arrays`."""
        return cls(**{name: arrays[name] for name in cls.__dataclass_fields__})

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """Its fields: what has to be known beside the model."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    @property
    def levels(self) -> int:
        return len(self.steps)

    def rounded(self, codes: np.ndarray, level: int) -> np.ndarray:
        """Codes [N, K] -> whole numbers int32 [N, K], from 0 on."""
        places = _whole(codes, self.offset, self.steps[level]) - self.low[level]
        return places.clip(0, self.sizes[level] - 1).astype(np.int32)

    def restored(self, numbers: np.ndarray, level: int) -> np.ndarray:
        """Whole numbers int32 [N, K] -> codes float32 [N, K]."""
        whole = (numbers + self.low[level]).astype(np.float32)
        return (self.offset + whole * self.steps[level]).astype(np.float32)

    def compressed(self, numbers: np.ndarray, level: int, weights: str) -> bytes:
        """An archive of whole numbers int32 [N, K]. weights: the MD5 of the model's."""
        encoder = stream.queue.RangeEncoder()
        for k, model in self.coders[level].items():
            encoder.encode(np.ascontiguousarray(numbers[:, k]), model)
        body = encoder.get_compressed().astype("<u4").tobytes()
        half = bytes.fromhex(weights)[:8]
        return HEADER.pack(MAGIC, VERSION, level, len(numbers), half, zlib.crc32(body)) + body

    def decompressed(self, archive: bytes) -> np.ndarray:
        """The whole numbers int32 [N, K] of an archive. Raises ValueError for a damaged one."""
        head = header(archive)
        if head.level >= self.levels:
            raise ValueError(f"archive of level {head.level + 1}; the model has {self.levels}")
        decoder = stream.queue.RangeDecoder(np.frombuffer(archive[HEADER.size :], "<u4").astype(np.uint32))
        result = np.zeros((head.items, len(self.offset)), np.int32)
        for k, model in self.coders[head.level].items():
            result[:, k] = decoder.decode(model, head.items)
        return result

    @functools.cached_property
    def coders(self) -> list[dict[int, Any]]:
        """For each level the range coder's model of each number that varies."""
        result, start = [], 0
        for sizes in self.sizes:
            found = {}
            for k, size in enumerate(sizes):
                chances = COUNTED * self.counts[start : start + size].astype(np.float64) + 1
                start += size
                if size > 1:
                    found[k] = stream.model.Categorical(chances / chances.sum(), perfect=False)
            result.append(found)
        return result


def header(archive: bytes) -> Header:
    """The head of an archive. Raises ValueError for other bytes, another version, and a damaged body."""
    if len(archive) < HEADER.size or archive[: len(MAGIC)] != MAGIC:
        raise ValueError("no archive of `aelab compress`")
    _, version, level, items, half, check = HEADER.unpack_from(archive)
    if version != VERSION:
        raise ValueError(f"an archive of version {version}; this aelab reads {VERSION}")
    body = archive[HEADER.size :]
    if zlib.crc32(body) != check or len(body) % 4:
        raise ValueError("a damaged archive: its checksum is wrong")
    return Header(level, items, half.hex())


def some(x: Tensor) -> Tensor:
    """The first training items [n, ...], as many as are used."""
    return x[: max(1, min(ROWS, VALUES // x[0].numel()))]


def fit(encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor], x: Tensor, error: float) -> Codec:
    """The codec of codes [N, K] = encode(x), which decode(codes) turns into items; x: training items [N, ...].

    error: the squared error per item that the model has without rounding.
    """
    codes = mapped(encode, some(x))
    deviation = codes.std(0, correction=min(1, len(codes) - 1))  # 0 of one item
    gain = sensitivity(decode, codes, deviation)
    counting = gain * deviation.square() > STILL
    share = torch.tensor(RATIOS)[:, None] * max(error, 1e-6) / max(1, int(counting.sum()))
    steps = torch.where(counting, (12 * share.to(gain) / gain.clamp_min(1e-30)).sqrt(), 0)
    return counted(codes.cpu().numpy(), codes.mean(0).cpu().numpy(), steps.float().cpu().numpy())


def fit_indices(encode: Callable[[Tensor], Tensor], x: Tensor) -> Codec:
    """The codec of indices [N, K] = encode(x), of one level; x: training items."""
    found = mapped(encode, some(x)).cpu().numpy()
    return counted(found, np.zeros(found.shape[1], np.float32), np.ones((1, found.shape[1]), np.float32))


def counted(codes: np.ndarray, offset: np.ndarray, steps: np.ndarray) -> Codec:
    """The codec of codes [N, K] with these steps [L, K], and the frequencies of their whole numbers."""
    low, sizes, counts = np.zeros(steps.shape, np.int32), np.ones(steps.shape, np.int32), []
    for level, step in enumerate(steps):
        whole = _whole(codes, offset, step)
        low[level], sizes[level] = whole.min(0), np.ptp(whole, axis=0) + 1
        places = whole - low[level]
        counts += [np.bincount(places[:, k], minlength=size) for k, size in enumerate(sizes[level])]
    return Codec(offset, steps, low, sizes, np.concatenate(counts).astype(np.uint16))


def _whole(codes: np.ndarray, offset: np.ndarray, step: np.ndarray) -> np.ndarray:
    scaled = (codes - offset) / np.where(step > 0, step, np.inf)
    return np.rint(scaled.clip(-MOST, MOST)).astype(np.int32)


def sensitivity(decode: Callable[[Tensor], Tensor], codes: Tensor, deviation: Tensor) -> Tensor:
    """The mean over some codes [N, K] of the squared norm of d decode(z) / d z_k, by differences: [K]."""
    numbers = codes.shape[1]
    rows = codes[: max(4, min(PROBES, DECODED // numbers))]
    base = mapped(decode, rows).flatten(1)
    gain = torch.zeros(numbers, device=codes.device)
    for k in range(numbers):
        step = NUDGE * deviation[k]
        if step > 0:
            moved = rows.clone()
            moved[:, k] += step
            gain[k] = ((mapped(decode, moved).flatten(1) - base) / step).square().sum(1).mean()
    return gain


@dataclass(frozen=True)
class Coder:
    """A codec with what makes codes [N, K] of items [N, ...], and items of codes."""

    codec: Codec
    encode: Callable[[Tensor], Tensor]
    decode: Callable[[Tensor], Tensor]

    def numbers(self, x: Tensor, level: int) -> np.ndarray:
        """Items [N, ...] -> whole numbers int32 [N, K]."""
        return self.codec.rounded(mapped(self.encode, x).cpu().numpy(), level)

    def items(self, numbers: np.ndarray, level: int, device: torch.device) -> Tensor:
        """Whole numbers int32 [N, K] -> reconstructions [N, ...]."""
        return mapped(self.decode, torch.from_numpy(self.codec.restored(numbers, level)).to(device))


def both(model: Autoencoder) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
    """Encoder and decoder of a model's codes; of indices, if its codes are indices."""
    if not isinstance(model, Indexed):
        return model.encode, model.decode
    indices, looked_up = model.indices, model.looked_up
    return (
        lambda x: indices(x).flatten(1).float(),
        lambda z: model.decode(looked_up(z.long().flatten()).flatten(1)),
    )


def of_model(model: Autoencoder, x: Tensor, error: float) -> Coder:
    """The coder of a model, fitted to training items x. error: see `fit`."""
    encode, decode = both(model)
    codec = fit_indices(encode, x) if isinstance(model, Indexed) else fit(encode, decode, x, error)
    return Coder(codec, encode, decode)


def able(model: Autoencoder) -> str:
    """Why a model's codes cannot be compressed; empty if they can."""
    if not model.decodes:
        return "its codes alone decode to nothing"
    one = torch.zeros(1, *model.spec.shape, device=next(iter((*model.parameters(), *model.buffers()))).device)
    try:
        with torch.no_grad():
            numbers = model.encode(one).shape[1]
    except ValueError:
        return "it needs labels"
    if not isinstance(model, Indexed) and numbers >= model.spec.pixels:
        return f"its codes have {numbers:,} numbers, no fewer than an item"
    return ""
