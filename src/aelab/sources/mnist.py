"""MNIST and Fashion-MNIST, read from IDX files."""

from __future__ import annotations

from aelab.data.splits import Part
from aelab.sources.mirrors import read_part
from aelab.sources.source import OutOfDistribution, Source


def read(source: Source, mirrors: tuple[str, ...], draw: int = 0) -> dict[str, Part]:
    """Its train and test parts. Raises ValueError with one line if no mirror has the right bytes."""
    return {name: part(source, name, mirrors) for name in ("train", "test")}


def part(source: Source, name: str, mirrors: tuple[str, ...]) -> Part:
    """Its part "train" or "test". Raises as `read`."""
    files = source.sha256[:2] if name == "train" else source.sha256[2:]
    return read_part(source.folder, files, mirrors)


DIGITS = tuple("0123456789")
CLOTHES = (
    "t-shirt",
    "trouser",
    "pullover",
    "dress",
    "coat",
    "sandal",
    "shirt",
    "sneaker",
    "bag",
    "ankle boot",
)

SOURCES = {
    "mnist": Source(
        "MNIST (LeCun, Cortes, Burges)",
        "CC BY-SA 3.0",
        DIGITS,
        {"train": 50000, "validation": 10000},
        read,
        "mnist",
        (
            ("train-images-idx3-ubyte", "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db"),
            ("train-labels-idx1-ubyte", "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5"),
            ("t10k-images-idx3-ubyte", "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7"),
            ("t10k-labels-idx1-ubyte", "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2"),
        ),
        OutOfDistribution("Fashion-MNIST test images", "fashion_mnist"),
    ),
    "fashion_mnist": Source(
        "Fashion-MNIST (Xiao, Rasul, Vollgraf 2017)",
        "MIT",
        CLOTHES,
        {"train": 50000, "validation": 10000},
        read,
        "fashion-mnist",
        (
            ("train-images-idx3-ubyte", "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"),
            ("train-labels-idx1-ubyte", "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"),
            ("t10k-images-idx3-ubyte", "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"),
            ("t10k-labels-idx1-ubyte", "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"),
        ),
        OutOfDistribution("MNIST test images", "mnist"),
    ),
}
