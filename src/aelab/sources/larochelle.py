"""The eight data sets of Larochelle & others 2007, on which Vincent & others 2008 compare: drawn anew.

"An empirical evaluation of deep architectures on problems with many factors of variation", ICML 2007. Their files are
gone from the web. Sizes are theirs; what else they say and leave open stands in variations.py and plane_sets.py.
"""

from __future__ import annotations

from aelab.data.splits import Part
from aelab.sources import mnist, photographs, plane_sets, variations
from aelab.sources.source import Source
from aelab.sources.variations import Variation

MADE_OF = "mnist"
DRAWN = "none: drawn by AE Lab"
SIZES = {"train": 10_000, "validation": 2000}


def _digits(title: str, variation: Variation) -> Source:
    licence = mnist.SOURCES[MADE_OF].licence
    if variation.background == "photographs":
        licence = f"{licence}; {photographs.LICENCE}"

    def read(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
        digits = mnist.read(mnist.SOURCES[MADE_OF], mirrors)
        return variations.draw(variation, digits, sum(source.sizes.values()), draw)

    return Source(f"12,000 and 50,000 {title}", licence, mnist.DIGITS, SIZES, read, drawn=True, made_of=MADE_OF)


def _rectangles(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
    return plane_sets.rectangles(sum(source.sizes.values()), draw)


def _photographed(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
    return plane_sets.rectangles(sum(source.sizes.values()), draw, photographed=True)


def _convex(source: Source, mirrors: tuple[str, ...], draw: int) -> dict[str, Part]:
    return plane_sets.convex(sum(source.sizes.values()), draw)


SOURCES = {
    "mnist_basic": _digits("digits of MNIST", Variation()),
    "mnist_rot": _digits("digits of MNIST, turned by any angle", Variation(turned=True)),
    "mnist_bg_rand": _digits("digits of MNIST before noise", Variation(background="noise")),
    "mnist_bg_img": _digits("digits of MNIST before photographs", Variation(background="photographs")),
    "mnist_rot_bg_img": _digits(
        "digits of MNIST, turned by any angle, before photographs", Variation(turned=True, background="photographs")
    ),
    "rectangles": Source(
        "1,200 and 50,000 outlines of rectangles",
        DRAWN,
        plane_sets.TALL,
        {"train": 1000, "validation": 200},
        _rectangles,
        drawn=True,
    ),
    "rectangles_img": Source(
        "12,000 and 50,000 rectangles of one photograph before another",
        photographs.LICENCE,
        plane_sets.TALL,
        SIZES,
        _photographed,
        drawn=True,
    ),
    "convex": Source(
        "8,000 and 50,000 sets of pixels, convex or not",
        DRAWN,
        plane_sets.CONVEX,
        {"train": 6000, "validation": 2000},
        _convex,
        drawn=True,
    ),
}
