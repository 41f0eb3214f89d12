"""Images as data URIs, small enough that all of them fit into one page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

SHADES = 16  # grey shades in a sprite: 4 bits per pixel


def figure(path: Path) -> str:
    """A figure with at most 256 colours, without dithering: half of its bytes, and no visible difference."""
    drawn = Image.open(path, formats=("PNG",)).convert("RGB")
    return _uri(drawn.quantize(256, dither=Image.Dither.NONE))


def size(path: Path) -> tuple[int, int]:
    """Width and height of an image in pixels."""
    with Image.open(path, formats=("PNG",)) as drawn:
        return drawn.size


def sprite(picture: np.ndarray) -> str:
    """Grey pixels, uint8 [H, W], in SHADES shades."""
    step = 255 / (SHADES - 1)
    small = Image.fromarray(np.round(picture / step).astype(np.uint8), "P")
    small.putpalette([round(shade * step) for shade in range(SHADES) for _ in "rgb"])
    return _uri(small, bits=4)


def _uri(picture: Image.Image, **how: int) -> str:
    """An image as a data URI; equal pixels give equal text."""
    file = io.BytesIO()
    picture.save(file, "PNG", optimize=True, **how)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
