"""Seeds of one model on a GPU: one by one, together, and together with each step as a CUDA graph.

    python benchmarks/gpu.py [--seeds 3] [--images 50000] [--rounds 5] [--precision float32] [--write]

Contenders take turns in this one process, from the same weights, on data that lie on the device; the clock counts one
epoch of all seeds, with what has to be made ready for it (stacking the weights, recording the graph). Ratios are taken
within a round, and all must reach the same held-out losses. Without a GPU there is nothing to measure.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from aelab.config import (
    runtime,
    seeding,  # before torch: it sets what the numerical libraries read once
)

# isort: split
import document
import torch
from floor import synchronise
from loops import BATCH, LR, Images, Silent, on
from training import FAMILIES, TRAIN, VAE, built, data, spread

from aelab.data.corruption import Noises
from aelab.data.tensors import Tensors
from aelab.training import cuda_graph, loop, losses, vectorized
from aelab.training.settings import Training
from aelab.training.vectorized import Seed

AGREE = 0.01  # held-out losses further apart than this are not the same work
NETWORKS = {"vae": (*VAE, ()), **FAMILIES}


class Took(NamedTuple):
    """One epoch of all seeds: seconds, and each seed's held-out loss per image after it."""

    seconds: float
    losses: list[float]


def main() -> None:
    options = arguments()
    if not torch.cuda.is_available():
        print("benchmarks/gpu.py: torch sees no GPU here; nothing measured, docs/performance.md left as it is")
        return
    device = runtime.pin("cuda", 1, options.precision)
    train, held_out, source = data(options.images)
    lines = about(device, source, options)
    for name, (family, config, noise) in NETWORKS.items():
        if built(family, config, device).vmap_unsupported_reason:
            continue
        took = race(family, config, settings(noise), on(device, train), held_out, options)
        check(took)
        lines += rows(name, took)
    text = "\n".join(lines)
    print(text)
    if options.write:
        document.write("GPU", text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--images", type=int, default=TRAIN, help=f"1 to {TRAIN}")
    parser.add_argument("--rounds", type=int, default=5, help="how often each contender runs")
    parser.add_argument("--precision", default="float32", choices=("float32", "tf32", "bf16"))
    parser.add_argument("--write", action="store_true", help="also write docs/performance.md")
    options = parser.parse_args()
    for key, most in (("seeds", 1000), ("images", TRAIN), ("rounds", 1000)):
        if not 1 <= getattr(options, key) <= most:
            parser.error(f"--{key}: {getattr(options, key)} is out of range; allowed: 1 to {most}")
    return options


def settings(noise: tuple[str, ...]) -> Training:
    return Training("adam", LR, "constant", 0.0, BATCH, 1, None, None, None, 1, noise, (), ())


def one_by_one(seeds: list[Seed], settings: Training, precision: runtime.Precision) -> None:
    for model, train, validation, draw, watch in seeds:
        loop.fit(model, train, validation, settings, draw, watch, precision=precision)


def side_by_side(recorded: bool, seeds: list[Seed], settings: Training, precision: runtime.Precision) -> None:
    """All in one loop; recorded: each step as a CUDA graph."""
    serves = cuda_graph.serves
    cuda_graph.serves = serves if recorded else lambda device: False
    try:
        vectorized.fit(seeds, settings, None, precision)
    finally:
        cuda_graph.serves = serves


CONTENDERS: dict[str, Callable[[list[Seed], Training, runtime.Precision], None]] = {
    "one by one": one_by_one,
    "together": partial(side_by_side, False),
    "together, CUDA graph": partial(side_by_side, True),
}


def race(
    family: str,
    config: dict[str, Any],
    settings: Training,
    train: Tensors,
    held_out: Images,
    options: argparse.Namespace,
) -> dict[str, list[Took]]:
    """Each contender once per round, the order turned round every other round; one round before the clock."""
    device = train.x.device
    checked = on(device, held_out)
    took: dict[str, list[Took]] = {name: [] for name in CONTENDERS}
    for turn in range(-1, options.rounds):
        for name in list(CONTENDERS)[:: -1 if turn % 2 else 1]:
            seeds = [ready(family, config, train, replicate) for replicate in range(options.seeds)]
            synchronise(device)
            began = time.perf_counter()
            CONTENDERS[name](seeds, settings, options.precision)
            synchronise(device)
            seconds = time.perf_counter() - began
            losses = [loss(seed.model, checked) for seed in seeds]
            if turn >= 0:
                took[name].append(Took(seconds, losses))
            print(f"round {turn + 1} of {options.rounds}: {name}: {seconds:.2f} s", file=sys.stderr, flush=True)
    return took


def ready(family: str, config: dict[str, Any], train: Tensors, replicate: int) -> Seed:
    """A fresh model with draws of its own; one held-out image, as nobody is to wait for validation."""
    device = train.x.device

    def draw(use: str) -> torch.Generator:
        return seeding.generator(0, replicate, use, device="cpu" if use in ("order", "modules") else device)

    model = built(family, config, device)
    return Seed(model, train, Tensors(train.x[:1], train.y[:1]), draw, Silent())


def loss(model: Any, checked: Tensors) -> float:
    """Per image, of the first phase, which is all that a stack of several learns from images."""
    model.eval()
    phase = model.phases()[0]
    found = losses.over(phase.loss, checked, Noises(), seeding.generator(0, "check", device=checked.x.device))
    return found[phase.monitor]


def check(took: dict[str, list[Took]]) -> None:
    """Leave with a message where a held-out loss is not that of one by one in the same round."""
    for name, runs in took.items():
        for one, base in zip(runs, took["one by one"], strict=True):
            for mine, theirs in zip(one.losses, base.losses, strict=True):
                if not abs(mine / theirs - 1) <= AGREE:  # also where it is not a number
                    sys.exit(f"{name}: held-out loss {mine:.2f}, one by one {theirs:.2f}: not the same work")


def rows(network: str, took: dict[str, list[Took]]) -> list[str]:
    """One line of the table per contender."""
    lines = []
    for name, runs in took.items():
        ratios = [base.seconds / one.seconds for one, base in zip(runs, took["one by one"], strict=True)]
        losses = [sum(one.losses) / len(one.losses) for one in runs]
        cells = [spread(ratios), spread([one.seconds for one in runs]), spread(losses)]
        lines.append(f"| {network} | {name} | {' | '.join(cells)} |")
    return lines


def about(device: torch.device, source: str, options: argparse.Namespace) -> list[str]:
    """What was measured, where, when, and how to do it again; the head of the table."""
    return [
        document.measured(runtime.describe(device), options.precision, f"torch {torch.__version__}"),
        "",
        f"One epoch of {options.seeds} seeds, batch {BATCH}, Adam {LR:g}, {options.images:,} images ({source}), which "
        f"lie on the device; rounds: {options.rounds}. Each cell is a median (least to most); a ratio is taken within "
        "its round.",
        "",
        "| network | seeds learn | times as fast as one by one | seconds per epoch of all | held-out loss, mean |",
        "|---|---|---:|---:|---:|",
    ]


if __name__ == "__main__":
    main()
