"""Epochs of a VAE 784-400-20 on 50,000 images: our loop beside the loop that people usually write, pythae's trainer
where that package is installed, the same steps written out by hand, and the least that this machine would need.

    python benchmarks/training.py [--quick] [--images 50000] [--epochs 3] [--rounds 4] [--device cpu] [--write]

Contenders take turns in this one process, one thread each, from the same weights; each round gives one ratio per
contender, and all must reach the same held-out loss. MNIST where AELAB_MIRROR holds it, else made
images of the same size and number: time depends on no pixel.
"""

from __future__ import annotations

import argparse
import copy
import math
import os
import statistics
import sys
import time
from collections.abc import Callable, Collection
from functools import partial
from typing import Any, NamedTuple

from aelab.config import (
    runtime,
    seeding,  # before torch: it sets what the numerical libraries read once
)

# isort: split
import document
import floor
import torch
from floor import synchronise
from loops import BATCH, LATENT, LOOPS, LR, Images, Runner, on, ours

from aelab.data.corruption import Noises
from aelab.models.common import Spec, registry
from aelab.sources import published
from aelab.training import losses

TRAIN, HELD_OUT = 50_000, 10_000
WARM = 4 * BATCH  # images each contender sees before the clock: torch.optim's first step imports the compiler
AGREE = 0.02  # held-out losses further apart than this are not the same work
VAE: tuple[str, dict[str, Any]] = ("vae", {"hidden": (400,), "latent_dim": LATENT})
# entry of params.yaml -> family, knobs, noise
FAMILIES: dict[str, tuple[str, dict[str, Any], tuple[str, ...]]] = {
    "dae_masking": ("dense", {"widths": (500,), "code_activation": "sigmoid", "tied": True}, ("masking 0.3",)),
    "stack_ae, first layer": ("stacked", {"widths": (1000,), "layer": "autoencoder"}, ()),
    "conv": (
        "conv",
        {
            "encoder": ("conv 16 k3 s3 p1 relu", "maxpool 2", "conv 8 k3 p1 relu", "maxpool 2"),
            "decoder": ("convt 16 k3 s2 relu", "convt 8 k5 s3 p1 relu", "convt 1 k2 s2 p1 relu"),
            "output": "linear",
            "loss": "mse",
        },
        (),
    ),
    "conv_upsample": (
        "conv",
        {
            "encoder": ("conv 16 k3 p1 relu", "maxpool 2", "conv 8 k3 p1 relu", "maxpool 2"),
            "decoder": ("conv 8 k3 p1 relu", "up 2", "conv 16 k3 p1 relu", "up 2", "conv 1 k3 p1"),
        },
        (),
    ),
    "vq_vae": ("vq_vae", {"channels": (32, 64), "depth": 16, "codebook_size": 128}, ()),
    "rbm": ("rbm", {"units": 500, "k": 5, "persistent": True}, ()),
    "lstm": ("lstm", {"units": 128}, ()),
}


class Took(NamedTuple):
    """One turn: seconds by the clock per epoch, CPU seconds of this process and its workers, held-out loss per image
    after, and the seconds that the steps would take at the rates that the machine had just before and after."""

    seconds: float
    cpu: float
    loss: float
    floor: float


def main() -> None:
    options = arguments()
    device = runtime.pin(options.device, 1)
    train, held_out, source = data(options.images)
    print(f"{source}: {len(train.x):,} images, {options.rounds} rounds", file=sys.stderr)
    vae = built(*VAE, device)
    contenders: dict[str, tuple[Any, Runner]] = {name: (vae, run) for name, run in LOOPS.items()}
    if device.type == "cuda":
        contenders["ours, bf16"] = (vae, partial(ours, precision="bf16"))
    loops = race(contenders, train, held_out, options.epochs, options.rounds, device)
    others: dict[str, tuple[Any, Runner]] = {
        name: (built(family, config, device), partial(ours, noise=noise))
        for name, (family, config, noise) in FAMILIES.items()
    }
    networks = race(others, train, held_out, 1, max(1, options.rounds // 2), device)
    text = "\n".join(
        [
            *about(loops, device, source, len(train.x), options.epochs, options.rounds),
            "",
            *compared(loops),
            "",
            *speeds(networks, len(train.x)),
        ]
    )
    print(text)
    check(loops)
    if options.write:
        document.write("Training", text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="10,000 images, 1 epoch, 2 rounds: about a minute")
    parser.add_argument("--images", type=int, help=f"1 to {TRAIN}")
    parser.add_argument("--epochs", type=int, help="of each turn of the VAE; the other networks learn for one")
    parser.add_argument("--rounds", type=int, help="how often each contender runs")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--write", action="store_true", help="also write docs/performance.md")
    options = parser.parse_args()
    defaults = (
        {"images": 10_000, "epochs": 1, "rounds": 2} if options.quick else {"images": TRAIN, "epochs": 3, "rounds": 4}
    )
    for name, default in defaults.items():
        if getattr(options, name) is None:
            setattr(options, name, default)
        if getattr(options, name) < 1:
            parser.error(f"--{name}: {getattr(options, name)} is out of range; allowed: 1 or more")
    if options.images > TRAIN:
        parser.error(f"--images: {options.images} is out of range; allowed: 1 to {TRAIN}")
    return options


def data(n: int) -> tuple[Images, Images, str]:
    """n training images, 10,000 held-out ones, and what they are."""
    try:
        images, labels = (torch.from_numpy(array.copy()) for array in published.fetch("mnist", ())["train"])
        source = "MNIST"
    except ValueError as error:
        print(error, file=sys.stderr)
        draw = torch.Generator().manual_seed(0)
        # bright pixels, most of them near the middle: something to learn, so that equal losses mean something
        away = (torch.arange(28) - 13.5).square()
        bright = 255 * torch.exp(-(away[:, None] + away) / 50)
        dice = torch.randint(0, 256, (TRAIN + HELD_OUT, 1, 28, 28), generator=draw, dtype=torch.uint8)
        images = (dice < bright.to(torch.uint8)).to(torch.uint8).mul_(255)
        labels = torch.randint(0, 10, (TRAIN + HELD_OUT,), generator=draw)
        source = "made images of MNIST's size"
    return Images(images[:n], labels[:n]), Images(images[TRAIN:], labels[TRAIN:]), source


def race(
    contenders: dict[str, tuple[Any, Runner]],
    train: Images,
    held_out: Images,
    epochs: int,
    rounds: int,
    device: torch.device,
) -> dict[str, list[Took]]:
    """Each contender (fresh model, what to run) once per round, the order turned round every other round."""
    checked = on(device, held_out)
    took: dict[str, list[Took]] = {name: [] for name in contenders}
    for start, run in contenders.values():
        run(copy.deepcopy(start), Images(train.x[:WARM], train.y[:WARM]), device, 1)()
    needed = {
        name: floor.step(copy.deepcopy(start), checked.x[:BATCH], torch.Generator(device))
        for name, (start, _) in contenders.items()
    }
    for turn in range(rounds):
        for name in list(contenders)[:: -1 if turn % 2 else 1]:
            start, run = contenders[name]
            model = copy.deepcopy(start)
            torch.manual_seed(turn)  # the usual loop draws from torch's own generator
            work, before = run(model, train, device, epochs), floor.machine(device)
            seconds, cpu = timed(work, device)
            least = (needed[name].seconds(before) + needed[name].seconds(floor.machine(device))) / 2
            model.eval()
            loss = losses.over(model.loss, checked, Noises(), seeding.generator(0, "check", device=device))["total"]
            steps = math.ceil(len(train.x) / BATCH)
            took[name].append(Took(seconds / epochs, cpu / epochs, loss, steps * least))
            print(f"round {turn + 1} of {rounds}: {name}: {seconds:.2f} s", file=sys.stderr, flush=True)
    return took


def built(family: str, config: dict[str, Any], device: torch.device) -> Any:
    return registry.build(family, config, Spec((1, 28, 28), 10), torch.Generator().manual_seed(0)).to(device)


def timed(work: Callable[[], None], device: torch.device) -> tuple[float, float]:
    """Seconds by the clock, and CPU seconds of this process and its finished children."""
    synchronise(device)
    began, used = time.perf_counter(), sum(os.times()[:4])
    work()
    synchronise(device)
    return time.perf_counter() - began, sum(os.times()[:4]) - used


def check(took: dict[str, list[Took]]) -> None:
    """Leave with a message where a held-out loss is not that of ours in the same round."""
    for name, runs in took.items():
        for one, base in zip(runs, took["ours"], strict=True):
            if not abs(one.loss / base.loss - 1) <= AGREE:  # also where it is not a number
                sys.exit(f"{name}: held-out loss {one.loss:.2f}, ours {base.loss:.2f}: not the same work")


def compared(took: dict[str, list[Took]]) -> list[str]:
    """The first table, ratios first."""
    lines = [
        "| loop | times ours | times ours, CPU time | share of the floor | seconds per epoch | held-out loss |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, runs in took.items():
        pairs = list(zip(runs, took["ours"], strict=True))
        cells = [
            spread([one.seconds / base.seconds for one, base in pairs]),
            spread([one.cpu / base.cpu for one, base in pairs]),
            shares(runs),
            spread([one.seconds for one in runs]),
            spread([one.loss for one in runs]),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def speeds(took: dict[str, list[Took]], n: int) -> list[str]:
    """The second table: n images per epoch."""
    rounds = len(next(iter(took.values())))
    lines = [
        f"One epoch of our loop on other networks of params.yaml, same images and batch; rounds: {rounds}.",
        "",
        "| network | share of the floor | seconds per epoch | images per second |",
        "|---|---:|---:|---:|",
    ]
    for name, runs in took.items():
        seconds = [one.seconds for one in runs]
        lines.append(f"| {name} | {shares(runs)} | {spread(seconds)} | {n / statistics.median(seconds):,.0f} |")
    return lines


def shares(runs: list[Took]) -> str:
    return document.ranged([100 * one.floor / one.seconds for one in runs], 0).replace(" (", "% (")


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def about(loops: Collection[str], device: torch.device, source: str, n: int, epochs: int, rounds: int) -> list[str]:
    """What was measured, where, when, and how to do it again."""
    return [
        document.measured(runtime.describe(device), f"{torch.get_num_threads()} thread", f"torch {torch.__version__}"),
        "",
        f"VAE 784-400-20, batch {BATCH}, Adam {LR:g}, {n:,} images ({source}), epochs: {epochs}; rounds: {rounds}. "
        "Each cell is a median (least to most); a ratio is taken within its round. All loops run in one process, with "
        "the same libraries and instructions; subnormal numbers are flushed in `ours` and `by hand` alone.",
        "`usual`: torchvision's MNIST with ToTensor, DataLoader, torch.optim.Adam and the loss of PyTorch's VAE "
        "example; `pythae`: its own trainer around "
        f"the same network{'' if 'pythae' in LOOPS else ' (not installed here: `uv pip install pythae`)'}; `by hand`: "
        "our data and noise, with the gradients written out, so without modules, autograd or a loss to look at: "
        "what torch's kernels alone take"
        f"{'; `ours, bf16`: with runtime.precision bf16, beside the floor of float32' * ('ours, bf16' in loops)}. "
        "Not timed: preparing data sets and optimizers, and the held-out loss, on 10,000 other images.",
        "The floor, an estimate, is the time of a step's matrix products at the rate of this machine's product of two "
        f"matrices of {floor.SIDE} x {floor.SIDE}, and of its least reads and writes at the bandwidth of a copy, both "
        "measured just before and after (benchmarks/floor.py).",
    ]


if __name__ == "__main__":
    main()
