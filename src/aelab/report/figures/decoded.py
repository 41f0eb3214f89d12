"""Figures of decoded images without an original: grids, chosen, swapped and clustered codes."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from aelab.report.figures.selection import select
from aelab.report.figures.style import GREY, TITLE, Page, Row, grid_of, strips, tile
from aelab.report.results import Item, Results
from aelab.report.settings import Compare


def grids(results: Results, settings: Compare) -> Figure | None:
    """Decoded images on a grid over a 2-D latent space."""
    items = select(results, settings, "grids")
    if not items:
        return None
    title = "A code of two numbers, decoded place by place"
    figure, axes = grid_of(len(items), size=(5.0, 5.4), title=title)
    for entry, item in zip(axes.flat, items, strict=False):
        (first, second), images = item.arrays["grid_codes"], item.arrays["grid"]
        n = len(first)
        picture = tile(images, n, gap=0)
        entry.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
        height, width = images.shape[1:3]
        shown = np.arange(0, n, max(1, (n - 1) // 2))
        entry.set_xticks((shown + 0.5) * width - 0.5, [f"{first[i]:.1f}" for i in shown])
        entry.set_yticks((n - shown - 0.5) * height - 0.5, [f"{second[i]:.1f}" for i in shown])
        entry.set_xlabel("first code dimension, over 96% of the test images")
        entry.set_title(item.name)
    for row in axes:
        row[0].set_ylabel("second code dimension, over 96% of the test images")
    return figure


def chosen(results: Results, settings: Compare) -> Figure | None:
    """The median code, the code of a test image, and a tutorial's code: do they lie among the codes of the data?"""
    items = select(results, settings, "chosen")
    if not items:
        return None
    size, text, top, tall = 1.1, 3.4, 0.62, 1.2
    title = "Three numbers decoded: do a tutorial's lie where the test images' codes do?"
    note = "range: from the smallest to the largest value over the test images; first seed"
    page = Page(2 * size + text, top + 3 * tall * len(items) + 0.3, title, note)
    page.text(0.12, top - 0.05, "decoded", va="bottom", fontsize=8, color=GREY)
    page.text(0.22 + size, top - 0.05, "its original", va="bottom", fontsize=8, color=GREY)
    for i, item in enumerate(items):
        for k, (image, phrase) in enumerate(zip(item.arrays["chosen"], _whereabouts(item), strict=True)):
            y = top + tall * (3 * i + k)
            page.picture(0.12, y, size, size, image)
            if k == 1:
                page.picture(0.22 + size, y, size, size, item.arrays["chosen_original"][0])
            page.text(0.37 + 2 * size, y, "\n".join(phrase), va="top", fontsize=8.5)
    return page.figure


def _whereabouts(item: Item) -> tuple[list[str], list[str], list[str]]:
    """For each chosen code: what it is, and whether it lies among the codes of the data."""
    codes = item.arrays["codes"].astype(np.float64)
    low, high = codes.min(0), codes.max(0)
    middle, near, wanted = item.arrays["chosen_codes"].astype(np.float64)
    ranges = [f"{a:.1f} to {b:.1f}" for a, b in zip(low, high, strict=True)]
    outside = [i for i in range(len(wanted)) if not low[i] <= wanted[i] <= high[i]]
    place = [f"outside: {wanted[i]:.2f} not in {ranges[i]}" for i in outside] or ["inside the range of each number"]
    away, usual = (float(np.sqrt(((codes - z) ** 2).sum(1)).min()) for z in (wanted, middle))
    return (
        [f"{item.name}: the median of each number,", _code(middle), "ranges of the numbers:", *ranges],
        ["the test image whose code is nearest", "to the tutorial's,", _code(near)],
        [
            "the tutorial's,",
            _code(wanted),
            *place,
            f"nearest test image: {away:.2f} away",
            f"(the median's: {usual:.2f} away)",
        ],
    )


def _code(values: np.ndarray) -> str:
    return f"({', '.join(f'{value:.2f}' for value in values)})"


def by_class(results: Results, settings: Compare) -> Figure | None:
    """One code from the prior per row, decoded with every label."""
    items, names = select(results, settings, "by_class"), results.data["classes"]
    if not items:
        return None
    size, top, left = 0.46, 0.85, 0.6
    lines = [len(item.arrays["by_class"]) // len(names) for item in items]
    title = "The same code under every label: does the label say what, and the code how?"
    note = "rows: codes drawn from the prior, none picked by hand; first seed"
    page = Page(left + size * len(names) + 0.2, top + sum(size * n + 0.5 for n in lines) + 0.1, title, note)
    y = top
    for item, n in zip(items, lines, strict=True):
        page.text(0.12, y - 0.3, f"{item.name}, decoded with the label", va="bottom", fontsize=8, color=GREY)
        for k, name in enumerate(names):
            page.text(left + size * (k + 0.5), y - 0.05, name, ha="center", va="bottom", fontsize=8)
        for k in range(n):
            page.text(left - 0.08, y + size * (k + 0.5), f"code {k + 1}", ha="right", va="center", fontsize=8)
        page.picture(left, y, size * len(names), size * n, tile(item.arrays["by_class"], len(names)))
        y += size * n + 0.5
    return page.figure


def clusters(results: Results, settings: Compare) -> Figure | None:
    """The decoded image of each category, above the classes that it contains."""
    items = select(results, settings, "clusters")
    if not items:
        return None
    names, cell = results.data["classes"], 0.55
    widest = max(len(item.arrays["prototypes"]) for item in items)
    figure = Figure(
        figsize=(cell * widest + 2.0, len(items) * (cell * (len(names) + 1) + 1.0) + 0.4), layout="constrained"
    )
    figure.suptitle("What each category of a code decodes to, and the test images that choose it", **TITLE)
    axes = figure.subplots(2 * len(items), 1, height_ratios=[1.2, len(names)] * len(items), squeeze=False)[:, 0]
    for item, above, below in zip(items, axes[::2], axes[1::2], strict=True):
        counts = _counts(item, len(names))
        order = np.lexsort((-counts.max(0), counts.argmax(0)))  # by their most frequent class
        counts = counts[:, order]
        above.imshow(tile(item.arrays["prototypes"][order]), cmap="gray", vmin=0, vmax=255, aspect="auto")
        above.axis("off")
        purity = counts.max(0).sum() / counts.sum()
        above.set_title(f"{item.name}: {100 * purity:.1f}% of the test images are of their category's commonest class")
        below.imshow(counts, cmap="Blues", vmin=0, vmax=counts.max(), aspect="auto")
        for (k, c), count in np.ndenumerate(counts):
            below.text(
                c,
                k,
                f"{count}",
                ha="center",
                va="center",
                fontsize=7,
                color="white" if count > 0.6 * counts.max() else "black",
            )
        below.set_xticks(range(len(order)), [str(c) for c in order])
        below.set_yticks(range(len(names)), names)
        below.set(xlabel="category of the code", ylabel="class; cells: test images")
    return figure


def _counts(item: Item, classes: int) -> np.ndarray:
    """Test images by class and category: [classes, categories]."""
    counts = np.zeros((classes, len(item.arrays["prototypes"])), int)
    np.add.at(counts, (item.arrays["labels"], item.arrays["clusters"]), 1)
    return counts


def swaps(results: Results, settings: Compare) -> Figure | None:
    """Content across, style down: every pair of test images, decoded together."""
    items = select(results, settings, "swaps")
    if not items:
        return None
    size, gap, top = 0.42, 0.12, 0.7
    clean = results.pictures["clean"]
    n = round(len(items[0].arrays["swaps"]) ** 0.5)
    kept = min(n, len(clean))
    side = size * (kept + 1) + gap
    page = Page(
        0.4 + (side + 0.4) * len(items),
        top + side + 0.4,
        "The content of one test image in the style of another",
        "diagonal: an image with its own content and style; first seed",
    )
    for i, item in enumerate(items):
        x, y, inner = 0.4 + i * (side + 0.4), top, size + gap
        pairs = item.arrays["swaps"].reshape(n, n, *clean.shape[1:])[:kept, :kept]  # [style, content, H, W]
        page.text(x + inner, y - 0.06, f"{item.name}: content of", va="bottom")
        page.text(x - 0.08, y + inner + size * kept / 2, "style of", rotation=90, ha="right", va="center")
        page.picture(x + inner, y, size * kept, size, tile(clean[:kept]))
        page.picture(x, y + inner, size, size * kept, tile(clean[:kept], 1))
        page.picture(x + inner, y + inner, size * kept, size * kept, tile(pairs.reshape(-1, *clean.shape[1:]), kept))
    return page.figure


def masked(results: Results, settings: Compare) -> Figure | None:
    """The original, its visible patches, and the reconstruction."""
    items = select(results, settings, "masked")
    if not items:
        return None
    clean = results.pictures["clean"]
    groups = [[Row("original", clean)]]
    for item in items:
        hidden = item.arrays["hidden"]  # [H, W], the same for all colours
        seen = np.where(hidden[..., None] if clean.ndim == 4 else hidden, np.uint8(128), clean)
        share = f"{100 * (1 - item.arrays['hidden'].mean()):.0f}% visible"
        groups.append([Row(f"{item.name}: {share}", seen), Row("reconstruction", item.arrays["reconstructions"])])
    title = "Hidden patches of test images, rebuilt from the visible ones"
    return strips(groups, title, note="grey: hidden, the same places of every image; first seed")
