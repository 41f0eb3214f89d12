"""The style of all figures: Okabe and Ito's colours, distinct for the colour-blind; 150 dpi; titles say what to see."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

BLUE, ORANGE, GREEN, PINK, AMBER, SKY = "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9"
COLOURS = (BLUE, ORANGE, GREEN, PINK, AMBER, SKY, "#000000")
# Okabe and Ito have eight; ten distinct ones that are readable on white (close to Tol's "muted")
TEN = ("#332288", "#2299CC", "#117733", "#CC6677", "#AA4499", "#999933", "#882255", "#44AA99", "#DD8800", "#555555")
MARKERS = "osD^vPX*<>"
GREY = "#666666"
TITLE = {"fontsize": 10, "fontweight": "bold"}
LETTERS = 12  # of a title, per inch

matplotlib.rcdefaults()  # the same bytes, whatever a matplotlibrc says
matplotlib.rcParams.update(
    {
        "savefig.dpi": 150,
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
        "lines.linewidth": 1.4,
    }
)


@dataclass(frozen=True)
class Row:
    """One row of images, uint8 [n, H, W], with its label on the left and remarks in columns on the right."""

    label: str
    images: np.ndarray
    remarks: Sequence[str] = ()


def save(figure: Figure, path: Path, models: Sequence[str] = ()) -> None:
    """Write a PNG whose bytes depend on the figure only. models: the names shown, in its metadata "Models".

    At most 256 colours, without dithering: half of the bytes, and no visible difference.
    """
    drawn, about = io.BytesIO(), PngInfo()
    figure.savefig(drawn, pil_kwargs={"compress_level": 0})
    if models:
        about.add_text("Models", " ".join(models))
    image = Image.open(drawn, formats=("PNG",))
    small = image.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    small.save(path, "PNG", pnginfo=about, dpi=image.info["dpi"])


def title(figure: Figure) -> str:
    """The title of a figure."""
    return (figure.get_suptitle() or figure.texts[0].get_text()).replace("\n", " ")


def chart(rows: int = 1, columns: int = 1, *, size: tuple[float, float], title: str) -> tuple[Figure, np.ndarray]:
    """A figure of `size` inches with a title and axes [rows, columns]."""
    figure = Figure(figsize=size, layout="constrained")
    figure.suptitle(textwrap.fill(title, int(LETTERS * size[0])), **TITLE)
    return figure, figure.subplots(rows, columns, squeeze=False)


def grid_of(
    n: int, *, size: tuple[float, float], title: str, columns: int = 3, beside: float = 0
) -> tuple[Figure, np.ndarray]:
    """A figure with n axes of `size` inches in rows of `columns`, unused ones hidden.

    Returns the axes as [rows, columns]. beside: inches for a legend.
    """
    columns = min(n, columns)
    rows = -(-n // columns)
    figure, axes = chart(rows, columns, size=(size[0] * columns + beside, size[1] * rows + 0.3), title=title)
    for item in axes.flat[n:]:
        item.axis("off")
    return figure, axes


def tile(images: np.ndarray, columns: int = 0, gap: int = 2, blank: float = 255) -> np.ndarray:
    """Images [n, H, W] or [n, H, W, 3] in rows of `columns` (0: all in one row) as one image, `gap` pixels apart."""
    n, height, width, *colours = images.shape
    columns = min(n, columns or n)
    rows = -(-n // columns)
    picture = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap, *colours), blank, images.dtype)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        picture[y : y + height, x : x + width] = image
    return picture


class Page:
    """A figure laid out in inches from its upper left corner."""

    def __init__(self, width: float, height: float, title: str, note: str = "") -> None:
        """The title lies in the upper 0.4 inches (0.17 more for each further line), the note in the lower 0.3."""
        longest = max([0.083 * len(line) for line in title.split("\n")] + [0.058 * len(n) for n in note.split("\n")])
        self.width, self.height = max(width, longest + 0.25), height
        self.figure = Figure(figsize=(self.width, height))
        self.text(0.12, 0.12, title, va="top", **TITLE)
        if note:
            self.text(0.12, height - 0.09, note, va="bottom", fontsize=8, color=GREY)

    def text(self, x: float, y: float, words: str, **how: Any) -> None:
        self.figure.text(x / self.width, 1 - y / self.height, words, **how)

    def picture(self, x: float, y: float, width: float, height: float, picture: np.ndarray, **how: Any) -> None:
        """An image, one to one if the size allows; black is 0 and white 255 unless `how` says otherwise."""
        box = (x / self.width, 1 - (y + height) / self.height, width / self.width, height / self.height)
        axes = self.figure.add_axes(box)
        scale = {"cmap": "gray", "vmin": 0, "vmax": 255} | how
        axes.imshow(picture, aspect="auto", interpolation="nearest", **scale)
        axes.axis("off")


def strips(groups: Sequence[Sequence[Row]], title: str, heads: Sequence[str] = (), note: str = "") -> Figure:
    """Rows of images in groups with a gap between; `heads` name the columns of remarks."""
    rows = [row for group in groups for row in group]
    n = min(len(row.images) for row in rows)
    height = 0.42 * rows[0].images.shape[1] / rows[0].images.shape[2]
    labels = 0.078 * max(len(row.label) for row in rows) + 0.2
    columns = [max([len(head), *(len(row.remarks[i]) for row in rows if row.remarks)]) for i, head in enumerate(heads)]
    ends = labels + 0.42 * n + np.cumsum([0.066 * width + 0.14 for width in columns])
    top = 0.4 + 0.17 * title.count("\n") + (0.2 if heads else 0)
    gap = 0.12
    tall = top + len(rows) * height + gap * (len(groups) - 1) + (0.32 + 0.14 * note.count("\n") if note else 0.1)
    page = Page(float(ends[-1] if heads else labels + 0.42 * n) + 0.15, tall, title, note)
    for head, x in zip(heads, ends, strict=True):
        page.text(float(x), top - 0.06, head, ha="right", va="bottom", fontsize=8, color=GREY)
    y = top
    for group in groups:
        for row in group:
            page.text(labels - 0.08, y + height / 2, row.label, ha="right", va="center")
            page.picture(labels, y, 0.42 * n, height, tile(row.images[:n]))
            for text, x in zip(row.remarks, ends, strict=False):
                page.text(float(x), y + height / 2, text, ha="right", va="center", fontsize=8)
            y += height
        y += gap
    return page.figure


def panels(
    found: Sequence[tuple[str, np.ndarray]], title: str, note: str, dots: int = 75, columns: int = 0, **how: Any
) -> Figure:
    """Images in rows of `columns` (0: all in one), each with its heading, `dots` of their pixels to an inch."""
    top, gap, columns = 0.68 + 0.17 * title.count("\n"), 0.25, columns or len(found)
    lines = [found[i : i + columns] for i in range(0, len(found), columns)]
    wide = max(sum(picture.shape[1] / dots + gap for _, picture in line) for line in lines)
    tall = [max(picture.shape[0] for _, picture in line) / dots for line in lines]
    heading, bottom = 0.36, 0.4 + 0.14 * note.count("\n")
    page = Page(wide + 0.05, top + sum(tall) + heading * (len(lines) - 1) + bottom, title, note)
    y = top
    for line, height in zip(lines, tall, strict=True):
        x = 0.12
        for text, picture in line:
            page.text(x, y - 0.07, text, va="bottom")
            page.picture(x, y, picture.shape[1] / dots, picture.shape[0] / dots, picture, **how)
            x += picture.shape[1] / dots + gap
        y += height + heading
    return page.figure


def round_ticks(low: float, high: float) -> list[float]:
    """The numbers 1, 2, 5 times a power of ten within [low, high], low > 0: ticks of a logarithmic axis."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    return [tick for power in powers for step in (1, 2, 5) if low <= (tick := step * 10.0**power) <= high]
