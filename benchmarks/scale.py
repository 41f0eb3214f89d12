"""One epoch's time and memory against the number of images, their size and the width of the code.
    python benchmarks/scale.py [--quick] [--rounds 3] [--write]

A dense autoencoder of one layer each way learns from generated images, in memory and mapped from a file, each time
in a process of its own with one thread; the two take turns and must end in the same weights, bit for bit. Another
process reads every few milliseconds how much memory is resident, and how much of that the system could not take back by
dropping pages of files. In memory is left out where the images would not fit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from aelab.config import (
    runtime,
    seeding,  # before torch: it sets what the numerical libraries read once
)

# isort: split
import document
import numpy as np
import psutil
import torch
from torch import nn

from aelab.data import splits, tensors
from aelab.data.tensors import Tensors
from aelab.models.common import Spec, registry
from aelab.training.loop import fit
from aelab.training.settings import Training

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SETTINGS = Training("adam", 1e-3, "constant", 0.0, 128, 1, None, None, None, 1, (), (), ())
WARM = 512  # images before the clock: torch.optim's first step imports the compiler
READING = 0.005  # seconds between two readings of a process's memory
CLASSES = 10
PICTURE = Path(__file__).parents[1] / "docs/images/scale.png"


class Point(NamedTuple):
    """What learns from what: so many images, of so many pixels a side, codes of so many numbers."""

    images: int
    side: int
    code: int


class Took(NamedTuple):
    """One epoch: its seconds, and the most megabytes that were resident and private, loading included."""

    seconds: float
    resident: float
    private: float
    weights: str  # a fingerprint


Axes = dict[str, list[Point]]  # by the field of Point that varies
Curves = dict[str, dict[Point, list[Took]]]  # by way
WORDS = {"images": "images", "side": "pixels a side", "code": "numbers per code"}
FULL: Axes = {
    "images": [Point(n, 28, 32) for n in (5_000, 20_000, 50_000, 200_000, 1_000_000)],
    "side": [Point(5_000, side, 32) for side in (14, 28, 56, 112)],
    "code": [Point(5_000, 28, code) for code in (2, 8, 32, 128, 512, 2048)],
}
QUICK: Axes = {
    "images": [Point(600, 14, 4), Point(1_200, 14, 4)],
    "side": [Point(600, 14, 4), Point(600, 28, 4)],
    "code": [Point(600, 14, 2), Point(600, 14, 4)],
}


def in_memory(name: str, device: torch.device) -> Tensors:
    images = splits.load(name)
    return Tensors(tensors.pixels(torch.from_numpy(images.x)).to(device), torch.from_numpy(images.y).to(device))


WAYS: dict[str, Callable[[str, torch.device], Tensors]] = {"in memory": in_memory, "mapped": tensors.split}


def main() -> None:
    options = arguments()
    if options.one:
        print(json.dumps(epoch(options.way, Point(*options.one))))
        return
    axes = QUICK if options.quick else FULL
    took: Curves = {way: {} for way in WAYS}
    for point in dict.fromkeys(point for points in axes.values() for point in points):
        for way, runs in measure(point, options.rounds).items():
            took[way][point] = runs
    text = "\n".join([*about(options.rounds), *(line for axis in axes.items() for line in ("", *table(*axis, took)))])
    print(text)
    if options.write:
        from aelab.report.figures import style

        style.save(drawn(axes, took), PICTURE)
        document.write("Scale", f"{text}\n\n![Time and memory against images, size and code](images/{PICTURE.name})")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a few small data sets, 1 round: about a minute")
    parser.add_argument("--rounds", type=int, help="how often each way runs")
    parser.add_argument("--write", action="store_true", help="also write docs/performance.md and its picture")
    parser.add_argument("--one", type=int, nargs=3, help=argparse.SUPPRESS)  # what a process of its own is to do
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.rounds is None:
        options.rounds = 1 if options.quick else 3
    if options.rounds < 1:
        parser.error(f"--rounds: {options.rounds} is out of range; allowed: 1 or more")
    return options


def measure(point: Point, rounds: int) -> dict[str, list[Took]]:
    """Both ways in turn on generated images, the order turned round every other round. Leaves with a message where "
    "their weights differ."""
    took: dict[str, list[Took]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        generate(Path(folder) / splits.LEARNING, point)
        size = sum(file.stat().st_size for file in Path(folder).rglob("*.npy"))
        ways = [way for way in WAYS if way == "mapped" or 5 * size < psutil.virtual_memory().available]
        for turn in range(rounds):
            for way in ways[:: -1 if turn % 2 else 1]:
                took[way].append(watched(way, point, folder))
                print(f"{point}, {way}: {took[way][-1].seconds:.2f} s", file=sys.stderr, flush=True)
    if len({each.weights for runs in took.values() for each in runs}) > 1:
        sys.exit(f"{point}: weights differ: not the same work")
    return {way: took[way] for way in ways}


def generate(folder: Path, point: Point) -> None:
    """The training split as `prepare` writes it; time depends on no pixel."""
    draw = np.random.default_rng(0)
    folder.mkdir(parents=True)
    images = draw.integers(0, 256, (point.images, 1, point.side, point.side), dtype=np.uint8)
    splits.save(folder / "train", (images, draw.integers(0, CLASSES, point.images)))


def watched(way: str, point: Point, folder: str) -> Took:
    """One epoch in a process of its own, its memory read from outside."""
    command = [sys.executable, str(Path(__file__).resolve()), "--way", way, "--one", *map(str, point)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True)
    seen, resident, private = psutil.Process(process.pid), 0, 0
    while process.poll() is None:
        now = seen.memory_info()  # of a process that has ended: zeros
        resident, private = max(resident, now.rss), max(private, now.rss - getattr(now, "shared", 0))
        time.sleep(READING)
    assert process.stdout is not None
    said = process.stdout.read()
    if process.returncode:
        sys.exit(f"{point}, {way}: ended with status {process.returncode}")
    seconds, weights = json.loads(said)
    return Took(seconds, resident / 1e6, private / 1e6, weights)


def epoch(way: str, point: Point) -> tuple[float, str]:
    """The seconds of one epoch of the loop, and a fingerprint of the weights after it."""
    device = runtime.pin("cpu", 1)
    train = WAYS[way]("train", device)
    one = Tensors(train.x[:1], train.y[:1])  # validation is not what is measured
    learn(Tensors(train.x[:WARM], train.y[:WARM]), one, point)
    began = time.perf_counter()
    model = learn(train, one, point)
    seconds = time.perf_counter() - began
    weights = b"".join(each.numpy().tobytes() for each in model.state_dict().values())
    return seconds, hashlib.sha256(weights).hexdigest()


def learn(train: Tensors, validation: Tensors, point: Point) -> nn.Module:
    spec, config = Spec((1, point.side, point.side), CLASSES), {"widths": (point.code,), "code_activation": "relu"}
    model: Any = registry.build("dense", config, spec, torch.Generator().manual_seed(0))
    fit(model, train, validation, SETTINGS, partial(seeding.generator, 0), Silent())
    return model


class Silent:
    """A Watch that tells nobody."""

    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...


def about(rounds: int) -> list[str]:
    """What was measured, where, when, and how to do it again."""
    return [
        document.measured("1 thread", f"torch {torch.__version__}"),
        "",
        f"One epoch of a dense autoencoder, one layer each way, batch {SETTINGS.batch_size}, Adam; generated images; "
        f"each "
        f"way in a process of its own, in turns; rounds: {rounds}. Each cell is a median (least to most). Both ways "
        "end in the same weights, bit for bit. Memory is the most that was resident, loading and libraries included; "
        "private: what of it is no page of a file, which the system can drop at any time.",
    ]


def table(field: str, points: list[Point], took: Curves) -> list[str]:
    """The figures along one axis."""
    fixed = ", ".join(f"{getattr(points[0], each):,} {words}" for each, words in WORDS.items() if each != field)
    lines = [
        f"| {WORDS[field]} ({fixed}) | | seconds per epoch | MB resident | MB private |",
        "|---:|---|---:|---:|---:|",
    ]
    for point in points:
        for way in (way for way in WAYS if point in took[way]):
            runs = took[way][point]
            cells = [
                document.ranged([each.seconds for each in runs]),
                document.ranged([each.resident for each in runs], 0),
                document.ranged([each.private for each in runs], 0),
            ]
            lines.append(f"| {getattr(point, field):,} | {way} | {' | '.join(cells)} |")
    return lines


def drawn(axes: Axes, took: Curves) -> Figure:
    """Seconds above, memory below, one column per axis, all logarithmic; bars from least to most."""
    from aelab.report.figures import style

    title = "One epoch in memory and mapped from a file: the same weights, about the same time, less memory"
    figure, panels = style.chart(2, len(axes), size=(10, 6.2), title=title)
    for (field, points), (upper, lower) in zip(axes.items(), panels.T, strict=True):
        for way, colour, marker in zip(WAYS, style.COLOURS, style.MARKERS, strict=False):
            there = [each for each in points if each in took[way]]
            x, look = [getattr(each, field) for each in there], {"color": colour, "marker": marker, "ms": 5}
            for panel, name, line in ((upper, "seconds", "-"), (lower, "resident", "-"), (lower, "private", ":")):
                low, middle, high = np.transpose([spread([getattr(run, name) for run in took[way][p]]) for p in there])
                label = way if name == "seconds" else f"{way}, {name}"
                panel.errorbar(x, middle, [middle - low, high - middle], ls=line, capsize=2, label=label, **look)
        for panel in (upper, lower):
            panel.set(xscale="log", yscale="log", xlabel=WORDS[field])
            ticks = [getattr(each, field) for each in points]
            panel.set_xticks(ticks, [f"{tick:,}" for tick in ticks], fontsize=7)
            panel.minorticks_off()
    for row, words in zip(panels, ("seconds per epoch", "MB at most, libraries included"), strict=True):
        low, high = np.transpose([panel.get_ylim() for panel in row])
        rounded = style.round_ticks(min(low), max(high))
        for panel in row:
            panel.set_ylim(min(low), max(high))
            panel.set_yticks(rounded, [f"{tick:,g}" for tick in rounded])
        row[0].set_ylabel(words)
        row[0].legend(fontsize=8)
    return figure


def spread(values: list[float]) -> tuple[float, float, float]:
    """Least, median, most."""
    return min(values), statistics.median(values), max(values)


if __name__ == "__main__":
    main()
