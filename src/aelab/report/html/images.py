"""Images as data URIs, small enough that all of them fit into one page."""

from __future__ import annotations

import base64
import io
from pathlib import Path

import numpy as np
from PIL import Image

SHADES = 16  # grey shades in a sprite: 4 bits per pixel
COLOURS = 128  # of a sprite in colour


def figure(path: Path) -> str:
    """A figure as it is."""
    return _uri(path.read_bytes())


def size(path: Path) -> tuple[int, int]:
    """Width and height of an image in pixels."""
    with Image.open(path, formats=("PNG",)) as drawn:
        return drawn.size


def sprite(picture: np.ndarray) -> str:
    """Grey pixels, uint8 [H, W], in SHADES shades; coloured ones [H, W, 3] in COLOURS."""
    file = io.BytesIO()
    if picture.ndim == 3:
        Image.fromarray(picture).quantize(COLOURS).save(file, "PNG", optimize=True)
        return _uri(file.getvalue())
    step = 255 / (SHADES - 1)
    small = Image.fromarray(np.round(picture / step).astype(np.uint8), "P")
    small.putpalette([round(shade * step) for shade in range(SHADES) for _ in "rgb"])
    small.save(file, "PNG", optimize=True, bits=4)
    return _uri(file.getvalue())


def _uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")
