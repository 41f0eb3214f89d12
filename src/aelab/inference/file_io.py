"""Image and code files: PNG, npy and npz in, PNG and npz out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from aelab.data.storage import load_arrays, map_array

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp")
FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP")  # PIL's other formats run programs, or read other files
GAP = 2  # pixels between the images of a sheet
MOST = 100  # images on a sheet
ARCHIVE = ".aelc"
# dtypes and axes of the fields that name the model
ORIGIN = {"model": ("U", 0), "replicate": ("i", 0), "weights": ("U", 0)}


class WrongSizeError(ValueError):
    """An image of a size that the model does not take."""


@dataclass(frozen=True)
class Codes:
    """Codes [N, K], the model that made them (its name, empty if unknown; replicate; MD5 of its weights), and the
    labels [N] used."""

    codes: np.ndarray
    model: str = ""
    replicate: int = 0
    weights: str = ""
    labels: np.ndarray | None = None


def read_images(paths: Sequence[Path], shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray | None]:
    """All images of some files, [N, C, H, W] for a model of `shape`, and their labels if a single npz or folder has
    them.

    An image file holds one image, an npz the array `images` (or its only array), a folder such as data/prepare/test
    x.npy and maybe y.npy. Raises FileNotFoundError, and ValueError that names a file which is damaged or of another
    size.
    """
    parts, labels = [], None
    for path in paths:
        if path.suffix.lower() in PICTURES:
            parts.append(picture(path, shape)[None])
        elif path.is_dir() or path.suffix.lower() in (".npz", ".npy"):
            arrays = read_arrays(path)
            result = array(path, arrays, "images")
            if not result.ndim or not len(result) or result.size != len(result) * math.prod(shape):
                raise ValueError(f"{path}: images {list(result.shape)}; allowed: [N, {', '.join(map(str, shape))}]")
            parts.append(result.reshape(-1, *shape))
            labels = arrays.get("labels") if len(paths) == 1 else None
        else:
            raise ValueError(f"{path}: unknown kind of file; allowed: {', '.join((*PICTURES, '.npy', '.npz'))}")
    if len({part.dtype.kind in "iu" for part in parts}) > 1:
        raise ValueError("images: whole numbers and fractions in one call; give files of one kind")
    return np.concatenate(parts), labels


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of an npz, an npy, or a folder of a split, whose x.npy and y.npy are `images` and `labels`."""
    if path.is_dir():
        found = {"images": map_array(path / "x.npy", "")}
        return found | ({"labels": map_array(path / "y.npy", "")} if (path / "y.npy").exists() else {})
    return {"images": map_array(path, "")} if path.suffix.lower() == ".npy" else load_arrays(path, "")


def picture(path: Path, shape: tuple[int, ...]) -> np.ndarray:
    """One image, uint8 [C, H, W], converted to grey for a model of grey images; its size must be the model's."""
    from PIL import Image

    channels, height, width = shape
    try:
        with Image.open(path, formats=FORMATS) as file:
            if file.size != (width, height):
                is_now = f"{file.width} x {file.height} pixels"
                raise WrongSizeError(f"{path}: {is_now}; the model takes {width} x {height}, so scale it first")
            result = np.asarray(file.convert("L" if channels == 1 else "RGB"))
    except (FileNotFoundError, WrongSizeError):
        raise
    except Exception as error:  # damaged bytes make PIL raise a dozen kinds
        raise ValueError(f"{path}: not a readable picture") from error
    return result.reshape(height, width, channels).transpose(2, 0, 1)


def array(path: Path, arrays: dict[str, np.ndarray], name: str) -> np.ndarray:
    """The array of that name, or the only one. Raises ValueError."""
    if name in arrays:
        return arrays[name]
    if len(arrays) == 1:
        return next(iter(arrays.values()))
    raise ValueError(f"{path}: no array {name!r}; there are: {', '.join(map(repr, arrays)) or 'none'}")


def write_images(path: Path, images: np.ndarray, columns: int = 0) -> None:
    """float [N, C, H, W] in 0 to 1 -> an npz with `images` float32, or a PNG: one image, or several on a sheet, in
    rows of `columns` (0: about square).

    Raises ValueError for another kind of file, and if a sheet cannot hold them all.
    """
    if path.suffix == ".npz":
        save(path, images=images.astype(np.float32))
        return
    if path.suffix != ".png":
        raise ValueError(f"{path}: unknown kind of file; allowed: .png, .npz")
    if len(images) > MOST:
        raise ValueError(f"{path}: {len(images)} images; a sheet holds {MOST}, an .npz any number")
    from PIL import Image

    place(path)
    Image.fromarray(sheet((images * 255).round().astype(np.uint8), columns)).save(path)


def write_rows(path: Path, made: Any) -> Path:
    """A frame as csv or parquet, an array of series or rows as npz; returns the path, whose ending follows from what is
    written if it is that of a picture. Raises ValueError for another kind of file."""
    frame = hasattr(made, "to_csv")
    if path.suffix in (".png", ".csv"):
        path = path.with_suffix(".csv" if frame else ".npz")
    allowed = (".csv", ".parquet") if frame else (".npz",)
    if path.suffix not in allowed:
        raise ValueError(f"{path}: unknown kind of file; allowed: {', '.join(allowed)}")
    place(path)
    if not frame:
        np.savez(path, x=made)
    elif path.suffix == ".csv":
        made.to_csv(path, index=False)
    else:
        made.to_parquet(path, index=False)
    return path


def write_columns(path: Path, columns: Mapping[str, Any]) -> None:
    """Columns of equal length as csv or parquet. Raises ValueError for another kind of file."""
    if path.suffix not in (".csv", ".parquet"):
        raise ValueError(f"{path}: unknown kind of file; allowed: .csv, .parquet")
    import pyarrow
    import pyarrow.csv
    import pyarrow.parquet

    place(path)
    table = pyarrow.table(dict(columns))
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pyarrow.parquet.write_table(table, path)


def write_archive(path: Path, archive: bytes) -> None:
    """The bytes of an archive, whose file ends in .aelc. Raises ValueError for another ending."""
    if path.suffix != ARCHIVE:
        raise ValueError(f"{path}: unknown kind of file; allowed: {ARCHIVE}")
    place(path)
    path.write_bytes(archive)


def sheet(images: np.ndarray, columns: int = 0) -> np.ndarray:
    """uint8 [N, C, H, W] -> one image uint8 [rows, columns(, C)], in rows of `columns` (0: about square)."""
    n, c, h, w = images.shape
    columns = columns or math.ceil(math.sqrt(n))
    rows = math.ceil(n / columns)
    result = np.full((rows * (h + GAP) - GAP, columns * (w + GAP) - GAP, c), 128, np.uint8)
    for i, image in enumerate(images):
        top, left = i // columns * (h + GAP), i % columns * (w + GAP)
        result[top : top + h, left : left + w] = image.transpose(1, 2, 0)
    return result[:, :, 0] if c == 1 else result


def write_codes(path: Path, codes: Codes) -> None:
    """An npz with the fields of `codes`. Raises ValueError for another kind of file."""
    if path.suffix != ".npz":
        raise ValueError(f"{path}: unknown kind of file; allowed: .npz")
    fields = {name: np.asarray(value) for name, value in vars(codes).items() if value is not None}
    save(path, **fields)


def read_codes(path: Path) -> Codes:
    """The codes of an npz of write_codes, or of any npz with `codes` and maybe `labels`.

    Raises FileNotFoundError, and ValueError that names a file which is damaged or has improper fields.
    """
    arrays = load_arrays(path, "")
    labels = arrays.pop("labels", None)
    origin = {name: arrays.pop(name) for name in ORIGIN if name in arrays}
    codes = array(path, arrays, "codes")
    if not origin:
        return Codes(codes, labels=labels)
    if {name: (value.dtype.kind, value.ndim) for name, value in origin.items()} != ORIGIN:
        raise ValueError(f"{path}: {', '.join(ORIGIN)} are not as `aelab encode` writes them")
    return Codes(codes, str(origin["model"]), int(origin["replicate"]), str(origin["weights"]), labels)


def save(path: Path, **arrays: np.ndarray) -> None:
    place(path)
    np.savez(path, **arrays)  # type: ignore[arg-type]


def place(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
