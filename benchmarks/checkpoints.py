"""What checkpoints cost: learning with them, at the interval that stages have, beside learning without, taking turns. "
"
    python benchmarks/checkpoints.py [--seconds 60] [--rounds 3] [--write]

Each network learns from 50,000 images for about so many seconds, from the same weights, with one thread. Checkpoints go
to a real disk and are on it before learning goes on. The share is what the Keeper itself took of the time, by the
clock; the ratio is that of both ways' CPU time, which a busy neighbour disturbs less. Both must end in the same bits.
"""

from __future__ import annotations

import argparse
import copy
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aelab.config import (
    runtime,
    seeding,  # before torch: it sets what the numerical libraries read once
)

# isort: split
import document
import torch

from aelab.data.tensors import Tensors
from aelab.models.common import Spec, registry
from aelab.training import checkpoints
from aelab.training.loop import Snapshot, fit
from aelab.training.settings import Training

IMAGES, BATCH = 50_000, 128
DOCUMENT = document.DOCUMENT.with_name("reliability.md")
NETWORKS: dict[str, tuple[str, dict[str, Any]]] = {  # entry of params.yaml -> family, knobs
    "vae": ("vae", {"hidden": (400,), "latent_dim": 20}),
    "hinton_ae": ("dense", {"widths": (1000, 500, 250, 30)}),
    "conv_upsample": (
        "conv",
        {
            "encoder": ("conv 16 k3 p1 relu", "maxpool 2", "conv 8 k3 p1 relu", "maxpool 2"),
            "decoder": ("conv 8 k3 p1 relu", "up 2", "conv 16 k3 p1 relu", "up 2", "conv 1 k3 p1"),
        },
    ),
}


class Took(NamedTuple):
    """One way of learning: seconds by the clock and of the processor, of checkpoints; how many, how large."""

    seconds: float
    cpu: float
    keeping: float
    kept: int
    size: int
    weights: dict[str, torch.Tensor]


class Timed(checkpoints.CheckpointManager):
    """A Keeper that notes what it takes."""

    keeping, count, size = 0.0, 0, 0

    def keep(self, snapshot: Snapshot) -> None:
        began = time.perf_counter()
        super().keep(snapshot)
        self.keeping += time.perf_counter() - began
        self.count += 1
        self.size = self.path.stat().st_size


class Silent:
    """A Watch that tells nobody and has nothing to keep."""

    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...
    def state(self):
        return {}, {}


def main() -> None:
    options = arguments()
    runtime.pin("cpu", 1)
    draw = torch.Generator().manual_seed(0)
    data = Tensors(torch.rand(IMAGES, 1, 28, 28, generator=draw), torch.zeros(IMAGES, dtype=torch.int64))
    took = {name: race(name, data, options.seconds, options.rounds) for name in NETWORKS}
    text = "\n".join(report(took, options.rounds))
    print(text)
    if options.write:
        document.write("What checkpoints cost", text, DOCUMENT)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="that a network learns, about")
    parser.add_argument("--rounds", type=int, default=3, help="how often each way is taken")
    parser.add_argument("--write", action="store_true", help="also write docs/reliability.md")
    options = parser.parse_args()
    for key in ("seconds", "rounds"):
        if getattr(options, key) <= 0:
            parser.error(f"--{key}: {getattr(options, key)} is out of range; allowed: above 0")
    return options


def race(name: str, data: Tensors, seconds: float, rounds: int) -> list[tuple[Took, Took]]:
    """(without, with) checkpoints, so many rounds; who begins changes."""
    family, knobs = NETWORKS[name]
    start = registry.build(family, knobs, Spec((1, 28, 28), 10), torch.Generator().manual_seed(0))
    steps = max(1, round(seconds / learn(start, data, 20, kept=False).seconds * 20))
    found = []
    for turn in range(rounds):
        order = (False, True) if turn % 2 else (True, False)
        pair = {kept: learn(start, data, steps, kept) for kept in order}
        if any(not torch.equal(pair[True].weights[key], tensor) for key, tensor in pair[False].weights.items()):
            sys.exit(f"{name}: checkpoints changed the result")
        found.append((pair[False], pair[True]))
        print(f"round {turn + 1} of {rounds}: {name}: {pair[True].keeping:.2f} s kept", file=sys.stderr, flush=True)
    return found


def learn(start: Any, data: Tensors, steps: int, kept: bool) -> Took:
    """Learn for so many steps."""
    images = min(len(data.x), steps * BATCH)
    epochs = max(1, round(steps * BATCH / images))
    settings = Training("adam", 1e-3, "constant", 0.0, BATCH, epochs, None, None, None, 1, (), (), ())
    seen, one = Tensors(data.x[:images], data.y[:images]), Tensors(data.x[:1], data.y[:1])
    model = copy.deepcopy(start)
    Path("data").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir="data") as folder:  # on the disk of those of stages
        keeper = Timed(Path(folder, "0"), epochs, (*seen, *one), Silent()) if kept else None
        began, cpu = time.perf_counter(), time.process_time()
        fit(model, seen, one, settings, partial(seeding.generator, 0), Silent(), keeper)
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    weights = dict(model.state_dict())
    return Took(seconds, cpu, *((keeper.keeping, keeper.count, keeper.size) if keeper else (0.0, 0, 0)), weights)


def report(took: dict[str, list[tuple[Took, Took]]], rounds: int) -> list[str]:
    lines = [
        document.measured("1 thread", f"torch {torch.__version__}"),
        "",
        f"{IMAGES:,} images of MNIST's size, batch {BATCH}; a checkpoint every {checkpoints.interval():g} seconds; "
        f"rounds: "
        f"{rounds}. Each cell is a median (least to most). Share: what writing checkpoints took of the time that "
        "learning took; ratio: CPU time with them over that without, in the same round.",
        "",
        "| network | seconds of learning | checkpoints | MB each | share, % | ratio |",
        "|---|---:|---:|---:|---:|---:|",
    ]
    for name, pairs in took.items():
        ways = [kept for _, kept in pairs]
        cells = [
            document.ranged([each.seconds for each in ways], 0),
            document.ranged([each.kept for each in ways], 0),
            f"{statistics.median(each.size for each in ways) / 1e6:.1f}",
            document.ranged([100 * each.keeping / each.seconds for each in ways]),
            document.ranged([kept.cpu / without.cpu for without, kept in pairs], 3),
        ]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


if __name__ == "__main__":
    main()
