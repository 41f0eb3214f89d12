"""Bytes per item against the quality of what comes back, for codes of models and for what engineers use today.

A curve is a list of points (bytes per item in one archive, bytes of an archive of one item, PSNR in dB), the finest
first.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from aelab.data.columns import Kind
from aelab.data.tensors import Data, mapped
from aelab.evaluation.measures import Measures
from aelab.evaluation.pca import PCA
from aelab.models.common import Autoencoder
from aelab.uses import codec
from aelab.uses.codec import Coder

ITEMS, ALONE = 1000, 50  # items of an archive, and of archives of one item
TARGETS: dict[Kind, tuple[int, ...]] = {
    "image": (20, 22, 24, 27, 30),
    "table": (5, 10, 15),
    "series": (5, 10, 15),
}  # dB
QUALITIES = {"JPEG": (1, 3, 5, 10, 15, 20, 30, 50, 75, 90), "WEBP": (0, 1, 3, 5, 10, 20, 40, 60, 80, 95)}
COMPONENTS = (8, 16, 32, 64, 128, 256)  # of PCA, whose curves are joined
SHARE = 1 / 64  # of the variance, the error that rounding is measured by where PCA has a smaller one
WEIGHTS = "00" * 16  # any digest is as long


class Point(NamedTuple):
    """One setting: bytes per item in an archive of many, bytes of an archive of one, and PSNR in dB."""

    bytes: float
    alone: float
    psnr: float


def of_model(
    model: Autoencoder, data: Data, measures: Measures, error: float
) -> tuple[Coder, list[Point], list[Point]]:
    """A model's coder, and its curves on test and on validation items. error: the squared error without rounding."""
    coder = codec.of_model(model, data.train.x, error)
    return coder, curve(coder, data.test.x, measures), curve(coder, data.validation.x, measures)


def curve(coder: Coder, x: Tensor, measures: Measures) -> list[Point]:
    """The points of all levels, for the first items of x."""
    x, result = x[:ITEMS], []
    for level in range(coder.codec.levels):
        numbers = coder.numbers(x, level)
        packed = len(coder.codec.compressed(numbers, level, WEIGHTS)) / len(x)
        singles = [len(coder.codec.compressed(one[None], level, WEIGHTS)) for one in numbers[:ALONE]]
        x_hat = shown(coder.items(numbers, level, x.device))
        result.append(Point(packed, float(np.mean(singles)), measures.psnr(x, x_hat)))
    return result


def shown(x_hat: Tensor) -> Tensor:
    """Reconstructions as they are stored: images as whole numbers 0 to 255."""
    return (x_hat.clamp(0, 1) * 255).round() / 255 if x_hat.dim() == 4 else x_hat


def at(points: Sequence[Point], psnr: float) -> float:
    """The bytes per item at this PSNR or a better one, between points by a straight line of log bytes; NaN where no
    point reaches it."""
    better = sorted((p for p in points if not math.isnan(p.psnr)), key=lambda p: p.psnr)
    least, kept = math.inf, []
    for point in reversed(better):  # what costs more than something better is no choice
        if point.bytes < least:
            least = point.bytes
            kept.append(point)
    above = [p for p in kept if p.psnr >= psnr]
    if not above:
        return math.nan
    high = above[-1]
    low = next((p for p in kept if p.psnr < psnr), None)
    if low is None or not low.bytes or not high.bytes:
        return high.bytes
    share = (psnr - low.psnr) / (high.psnr - low.psnr)
    return math.exp((1 - share) * math.log(low.bytes) + share * math.log(high.bytes))


def metrics(points: Sequence[Point], kind: Kind) -> dict[str, float]:
    """bytes_at/<dB> for the PSNRs of TARGETS."""
    return {f"bytes_at/{psnr}": at(points, psnr) for psnr in TARGETS[kind]}


def baselines(data: Data, pca: PCA, measures: Measures) -> dict[str, list[Point]]:
    """Curves of test items by name: PCA's codes; of images JPEG and WebP, of tables and series the raw values, rounded
    and entropy-coded like codes."""
    train, shape, largest = codec.some(data.train.x), data.test.x.shape[1:], pca.directions.shape[1]

    def plain(encode: Callable[[Tensor], Tensor], decode: Callable[[Tensor], Tensor], error: float) -> list[Point]:
        rebuild = lambda z: decode(z).view(-1, *shape)  # noqa: E731
        coder = Coder(codec.fit(encode, rebuild, train, error), encode, rebuild)
        return curve(coder, data.test.x, measures)

    variance = train.flatten(1).var(0, correction=min(1, len(train) - 1)).sum().item()  # 0 of one item
    result: dict[str, list[Point]] = {}
    for k in sorted({min(k, largest) for k in COMPONENTS}):
        encode = partial(lambda x, k: pca.encode(x.flatten(1), k), k=k)
        error = measures.squared_errors(train, mapped(lambda x: pca.decode(encode(x)).view_as(x), train)).mean().item()  # noqa: B023
        result[f"PCA {k}"] = plain(encode, pca.decode, max(error, SHARE * variance))
    if len(shape) == 3:
        return result | codecs((data.test.x[:ITEMS] * 255).round().to(torch.uint8).cpu().numpy())
    return result | {"raw values": plain(lambda x: x.flatten(1), lambda z: z, SHARE * variance)}


def codecs(images: np.ndarray) -> dict[str, list[Point]]:
    """JPEG, WebP and lossless WebP (Pillow's) of images uint8 [N, C, H, W], each packed in the ways that an engineer
    might choose: a file each; the files without what they all share; one sheet of all."""
    colour = images.shape[1] == 3
    ways: dict[str, tuple[str, dict[str, Any], tuple[int, ...]]] = {
        "JPEG": ("JPEG", {"optimize": True, **({"subsampling": "4:2:0"} if colour else {})}, QUALITIES["JPEG"]),
        "WebP": ("WEBP", {"method": 6}, QUALITIES["WEBP"]),
        "lossless WebP": ("WEBP", {"lossless": True, "method": 6}, (100,)),
    }
    if colour:
        ways["JPEG 4:4:4"] = ("JPEG", {"optimize": True, "subsampling": "4:4:4"}, QUALITIES["JPEG"])
    result = {}
    for name, (kind, options, qualities) in ways.items():
        settings = [{"format": kind, "quality": quality, **options} for quality in qualities]
        alone = [_alone(images, each) for each in settings]
        result[f"{name}, files"] = [Point(size, size, psnr) for size, _, psnr in alone]
        result[f"{name}, headers shared"] = [Point(body, size, psnr) for size, body, psnr in alone]
        result[f"{name}, one sheet"] = [_sheet(images, each) for each in settings]
    return result


def _alone(images: np.ndarray, settings: dict[str, Any]) -> tuple[float, float, float]:
    """Mean bytes of a file, of its body, and mean PSNR, over the first images."""
    some = images[:ALONE]
    files = [_written(_picture(image), settings) for image in some]
    psnrs = [_psnr(image, _read(data, image.shape)) for image, data in zip(some, files, strict=True)]
    return (
        float(np.mean([len(data) for data in files])),
        float(np.mean([len(_body(data)) for data in files])),
        float(np.mean(psnrs)),
    )


def _sheet(images: np.ndarray, settings: dict[str, Any]) -> Point:
    """All images side by side in one picture, about square."""
    n, c, h, w = images.shape
    columns = math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    tiles = np.zeros((rows * columns, c, h, w), np.uint8)
    tiles[:n] = images
    sheet = tiles.reshape(rows, columns, c, h, w).transpose(2, 0, 3, 1, 4).reshape(c, rows * h, columns * w)
    data = _written(_picture(sheet), settings)
    back = _read(data, sheet.shape).reshape(c, rows, h, columns, w).transpose(1, 3, 0, 2, 4).reshape(-1, c, h, w)[:n]
    psnrs = [_psnr(a, b) for a, b in zip(images, back, strict=True)]
    return Point(len(data) / n, math.nan, float(np.mean(psnrs)))


def _picture(image: np.ndarray) -> Image.Image:
    return Image.fromarray(image[0] if len(image) == 1 else image.transpose(1, 2, 0))


def _written(picture: Image.Image, settings: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    picture.save(file, **settings)
    return file.getvalue()


def _read(data: bytes, shape: tuple[int, ...]) -> np.ndarray:
    with Image.open(io.BytesIO(data), formats=("JPEG", "WEBP")) as file:
        picture = np.asarray(file.convert("L" if shape[0] == 1 else "RGB"))
    return picture.reshape(*shape[1:], shape[0]).transpose(2, 0, 1)


def _psnr(a: np.ndarray, b: np.ndarray) -> float:
    mse = ((a.astype(np.float64) - b) ** 2).mean() / 255**2
    return min(100.0, -10 * math.log10(mse)) if mse else 100.0


def _body(data: bytes) -> bytes:
    """A file without the tables and headers that files of the same settings could share: what follows JPEG's last start
    of scan, or the head of WebP's chunk."""
    if data[:2] == b"\xff\xd8":
        start = data.rindex(b"\xff\xda")
        return data[start + 2 + int.from_bytes(data[start + 2 : start + 4]) :]
    return data[20:]  # RIFF, its size, WEBP, the chunk's name and size
