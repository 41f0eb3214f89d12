"""How every figure looks: Okabe and Ito's colours, told apart by the colour-blind; 150 dpi; titles say what to see."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
MARKERS = "osD^vPX*<>"
GREY = "#777777"
plt.rcParams |= {
    "figure.dpi": 100,
    "savefig.dpi": 150,
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def save(figure: Figure, path: Path) -> None:
    """Write a PNG whose bytes depend on the figure alone."""
    figure.savefig(path, metadata={"Software": None})
    plt.close(figure)


def tile(images: np.ndarray, columns: int = 0, gap: int = 2, blank: int = 255) -> np.ndarray:
    """Images [n, H, W] in rows of `columns` (0: all in one row) as one picture, `gap` pixels apart."""
    n, height, width = images.shape
    columns = min(n, columns or n)
    rows = -(-n // columns)
    picture = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), blank, images.dtype)
    for i, image in enumerate(images):
        y, x = (i // columns) * (height + gap), (i % columns) * (width + gap)
        picture[y : y + height, x : x + width] = image
    return picture


def strips(rows: Sequence[tuple[str, np.ndarray, str]], title: str, note: str = "") -> Figure:
    """Rows of images, each with a label on its left and a remark on its right: (label, uint8 [n, H, W], remark)."""
    n, height, width = rows[0][1].shape
    remark = max(len(row[2]) for row in rows)
    size = 0.42
    label_inches = 0.075 * max(len(row[0]) for row in rows) + 0.15
    remark_inches = 0.07 * remark + 0.15
    total = label_inches + n * size + remark_inches
    top = 0.28 * (1 + title.count("\n")) + 0.1
    bottom = 0.3 if note else 0.08
    tall = top + bottom + len(rows) * size * height / width
    figure = plt.figure(figsize=(total, tall), layout="none")
    figure.text(0.12 / total, 1 - 0.12 / tall, title, va="top", ha="left", fontsize=10, weight="bold")
    if note:
        figure.text(0.12 / total, 0.1 / tall, note, va="bottom", ha="left", fontsize=8, color=GREY)
    row_height = size * height / width / tall
    for i, (label, images, remark_text) in enumerate(rows):
        y = 1 - top / tall - (i + 1) * row_height
        axes = figure.add_axes((label_inches / total, y, n * size / total, row_height))
        axes.imshow(tile(images), cmap="gray", vmin=0, vmax=255, aspect="auto", interpolation="nearest")
        axes.axis("off")
        middle = y + row_height / 2
        figure.text((label_inches - 0.08) / total, middle, label, va="center", ha="right", fontsize=9)
        figure.text((label_inches + n * size + 0.1) / total, middle, remark_text, va="center", ha="left", fontsize=8)
    return figure


def show(axes: Axes, picture: np.ndarray, title: str, signed: bool = False) -> None:
    """One picture without axes; `signed` weights get a diverging map with 0 in the middle."""
    if signed:
        bound = float(np.abs(picture).max()) or 1.0
        axes.imshow(picture, cmap="RdBu_r", vmin=-bound, vmax=bound, interpolation="nearest")
    else:
        axes.imshow(picture, cmap="gray", interpolation="nearest")
    axes.set_title(title)
    axes.axis("off")
