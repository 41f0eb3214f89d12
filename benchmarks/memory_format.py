"""Steps of convolutional nets with channels first and last in memory, as torch keeps them and as models.build does.

    python benchmarks/memory_format.py [--rounds 5] [--steps 40] [--entries conv_dae conv] [--write]

Entries of params.yaml learn from generated images in this one process, one thread, both ways in turns from the same
weights; a ratio is taken within its round.
"""

from __future__ import annotations

import argparse
import dataclasses
import time
from functools import partial
from typing import Any

from aelab.config import params, runtime, seeding  # before torch: it sets what the numerical libraries read once

# isort: split
import document
import torch

from aelab.data.tensors import Tensors
from aelab.evaluation.feature_classifier import Quiet
from aelab.models.common import Spec, registry
from aelab.training.loop import fit

ENTRIES = ("conv", "conv_upsample", "conv_unpool", "conv_bottleneck10", "conv32", "conv_dae", "conv_vae", "vq_vae")
FORMATS = {"first": torch.contiguous_format, "last": torch.channels_last}
SPEC = Spec((1, 28, 28), 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=40, help="optimizer steps per phase and round")
    parser.add_argument("--entries", nargs="+", default=ENTRIES, help="entries of models:")
    parser.add_argument("--write", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    device = runtime.setup(dataclasses.replace(params.load("runtime"), device="cpu"))
    text = "\n".join(table(options.entries, options.rounds, options.steps, device))
    print(text)
    if options.write:
        document.write("Channels last", text)


def table(entries: tuple[str, ...], rounds: int, steps: int, device: torch.device) -> list[str]:
    lines = [
        document.measured(f"{torch.get_num_threads()} thread", f"torch {torch.__version__}"),
        "",
        f"Milliseconds per step of batches as in params.yaml, median (least to most) of {rounds} rounds, and how many "
        "times as fast it is with channels last.",
        "",
        "| entry | channels first | channels last | times as fast |",
        "|---|---:|---:|---:|",
    ]
    for name in entries:
        took = {order: [] for order in FORMATS}
        for turn in range(rounds + 1):
            for order in [*FORMATS][:: -1 if turn % 2 else 1]:
                took[order].append(1000 * seconds(name, FORMATS[order], steps, device) / steps)
        first, last = (took[order][1:] for order in FORMATS)  # the first round warms up
        ratios = [a / b for a, b in zip(first, last, strict=True)]
        cells = document.ranged(first, 1), document.ranged(last, 1), document.ranged(ratios)
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def seconds(name: str, order: Any, steps: int, device: torch.device) -> float:
    """Of training so many steps per phase."""
    entry, settings = params.load_entry("train", "models", name)
    settings = dataclasses.replace(settings, preview_steps=(), max_epochs=None, max_steps=steps, eval_every=steps)
    draw = partial(seeding.generator, 1, "memory format")
    images = torch.rand(1000, *SPEC.shape, generator=draw("images"))
    data = Tensors(images, torch.arange(len(images)) % SPEC.classes)
    model = registry.build(entry.family, entry.config, SPEC, draw("init")).to(memory_format=order)
    began = time.perf_counter()
    fit(model, data, Tensors(data.x[:100], data.y[:100]), settings, draw, Quiet())
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
