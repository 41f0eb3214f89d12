"""Files of images, read by PIL."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP")  # PIL's other formats run programs, or read other files
GREY = ("1", "L", "LA", "I;16", "I;16B", "I")


def header(path: Path) -> tuple[tuple[int, int], str]:
    """Width, height and PIL's mode, as the image is seen: turned as its EXIF says, but for PNG, where that would need
    all of the file."""
    with opened(path) as file:
        try:
            turned = file.format != "PNG" and file.getexif().get(0x0112, 1) >= 5
        except Exception as error:
            raise broken(path) from error
        return (file.height, file.width) if turned else (file.width, file.height), file.mode


def pixels(path: Path, shape: tuple[int, int, int], fitted: bool = False) -> np.ndarray:
    """One image as uint8 `shape` [C, H, W]; fitted: scaled and cut to that size.

    Raises ValueError if it cannot be read.
    """
    from PIL import Image, ImageOps

    channels, height, width = shape
    with opened(path) as file:
        try:
            image = file if file.format == "PNG" else ImageOps.exif_transpose(file)
            if image.mode.startswith("I"):  # 16 bits
                image = Image.fromarray((np.asarray(image, np.float64) / 257).clip(0, 255).round().astype(np.uint8))
            image = image.convert("L" if channels == 1 else "RGB")
        except Exception as error:
            raise broken(path) from error
    if fitted:
        image = ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)
    return np.asarray(image).reshape(height, width, channels).transpose(2, 0, 1)


def opened(path: Path) -> Any:
    """The image of a file, of which PIL has read the header."""
    from PIL import Image

    with path.open("rb"):  # without permission this says so
        pass
    try:
        return Image.open(path, formats=FORMATS)
    except Exception as error:  # damaged bytes make PIL raise a dozen kinds
        raise broken(path) from error


def broken(path: Path) -> ValueError:
    return ValueError(f"{path}: not a readable image; mend it, or add --skip-broken")


def digest(path: Path) -> bytes:
    """Equal for files of equal bytes."""
    return hashlib.blake2b(path.read_bytes(), digest_size=16).digest()


def visible(folder: Path) -> list[Path]:
    return sorted(item for item in folder.iterdir() if not hidden(item, folder))


def hidden(path: Path, above: Path) -> bool:
    """Whether a file is of the system, not of the user."""
    names = path.relative_to(above).parts
    return any(name.startswith(".") or name in ("__MACOSX", "Thumbs.db", "desktop.ini") for name in names)
