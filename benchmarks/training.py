"""One epoch of a VAE 784-400-20 on 50,000 images, our loop beside the loop that people usually write.

    python benchmarks/training.py [--images 50000] [--rounds 3] [--device cpu] [--write]

Contenders take turns in one process, one thread each, from the same weights with the same optimizer, batch and loss;
each round gives one ratio. MNIST where AELAB_MIRROR holds it, else made images of the same size: time depends on no
pixel.
"""

from __future__ import annotations

import argparse
import copy
import platform
import statistics
import sys
import time
from collections.abc import Callable
from datetime import date
from functools import partial
from pathlib import Path

from aelab import runtime

BATCH = 128
HEAD = "# Performance\n\nWritten by `make bench BENCH=--write`. Machines are shared and noisy: read the ratios first.\n"
FAMILIES = {
    "dense 784-500-784, masking 0.3": ("dense", {"widths": (500,), "code": "sigmoid", "tied": True}, ("masking 0.3",)),
    "stack layer 784-1000": ("stack", {"widths": (1000,), "layer": "autoencoder"}, ()),
    "conv 3,217 parameters": (
        "conv",
        {
            "encoder": ("conv 16 k3 p1 relu", "maxpool 2", "conv 8 k3 p1 relu", "maxpool 2"),
            "decoder": ("conv 8 k3 p1 relu", "up 2", "conv 16 k3 p1 relu", "up 2", "conv 1 k3 p1"),
        },
        (),
    ),
}


def main() -> None:
    options = arguments()
    device = runtime.pin(options.device, 1)
    import torch

    images, source = pixels(options.images)
    labels = torch.zeros(len(images), dtype=torch.int64)
    make = partial(vae, device)
    contenders: dict[str, Callable[[], tuple[float, float]]] = {
        "ours": lambda: ours(make(), images, labels, device),
        "DataLoader + ToTensor": lambda: usual(make(), images, labels, device, 0),
        "the same, 2 workers": lambda: usual(make(), images, labels, device, 2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in contenders}
    losses: dict[str, float] = {}
    for turn in range(options.rounds):
        for name, run in contenders.items():
            spent, losses[name] = run()
            seconds[name].append(spent)
            print(f"round {turn + 1} of {options.rounds}: {name} {spent:.1f} s", file=sys.stderr, flush=True)
    text = report(seconds, losses, len(images), source, device)
    rows = []
    for name, (family, config, noise) in FAMILIES.items():
        model = built(family, config, device)
        took = [ours(copy.deepcopy(model), images, labels, device, noise)[0] for _ in range(options.rounds)]
        rows.append(f"| {name} | {spread(took)} | {len(images) / statistics.median(took):,.0f} |")
        print(f"{name}: {rows[-1]}", file=sys.stderr, flush=True)
    text += "\n\nOur loop on other networks:\n\n| network | seconds per epoch | images per second |\n|---|---:|---:|\n"
    text += "\n".join(rows) + "\n"
    print(text)
    if options.write:
        Path("docs/performance.md").write_text(f"{HEAD}\n{text}")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or auto")
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    return parser.parse_args()


def pixels(n: int):
    """uint8 [n, 28, 28] and where they come from."""
    import torch

    from aelab.data import sources

    try:
        return torch.from_numpy(sources.fetch("mnist", ())["train"][0][:n].copy()), "MNIST"
    except ValueError:
        made = torch.randint(0, 256, (n, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
        return made, "made images"


def built(family: str, config: dict, device):
    import torch

    from aelab import models
    from aelab.models.base import Spec

    return models.build(family, config, Spec((1, 28, 28), 10), torch.Generator().manual_seed(0)).to(device)


def vae(device):
    return built("variational", {"hidden": (400,), "latent": 20}, device)


def ours(model, images, labels, device, noise: tuple[str, ...] = ()) -> tuple[float, float]:
    """Seconds of one epoch of our loop, and the mean training loss over it. The split is moved to the device first."""
    from aelab.data.tensors import Tensors
    from aelab.data.tensors import pixels as scaled
    from aelab.learning.loop import fit
    from aelab.learning.settings import Training

    settings = Training("adam", 1e-3, "constant", 0.0, BATCH, 1, {}, None, 1, noise, ())
    train = Tensors(scaled(images[:, None].to(device)), labels.to(device))
    watch = Watch()
    synchronise(device)
    began = time.perf_counter()
    # one held-out image: the usual loop below validates nothing
    fit(model, train, Tensors(train.x[:1], train.y[:1]), settings, partial(runtime.generator, 0, device=device), watch)
    synchronise(device)
    return time.perf_counter() - began, watch.loss


class Watch:
    """Keeps the mean loss of the epoch."""

    loss = float("nan")

    def steps(self, phase, total): ...
    def step(self): ...
    def epoch(self, epoch, model):
        self.loss = epoch.train["total"]


def usual(model, images, labels, device, workers: int) -> tuple[float, float]:
    """Seconds of one epoch as the PyTorch examples write it, and the mean training loss over it."""
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision import transforms

    from aelab.models.base import Batch

    class Digits(Dataset):
        """As torchvision.datasets.MNIST: a PIL image per item, then the transform."""

        transform = transforms.ToTensor()

        def __len__(self):
            return len(images)

        def __getitem__(self, i):
            return self.transform(Image.fromarray(images[i].numpy(), mode="L")), int(labels[i])

    loader = DataLoader(Digits(), batch_size=BATCH, shuffle=True, num_workers=workers)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    draws = runtime.generator(0, "noise", device=device)
    model.train()
    total = 0.0
    synchronise(device)
    began = time.perf_counter()
    for x, y in loader:
        x = x.to(device)
        optimizer.zero_grad()
        loss = model.loss(Batch(x, x, y), draws).total
        loss.backward()
        total += loss.item() * len(x)
        optimizer.step()
    synchronise(device)
    return time.perf_counter() - began, total / len(images)


def synchronise(device) -> None:
    import torch

    if device.type == "cuda":
        torch.cuda.synchronize(device)


def report(seconds: dict[str, list[float]], losses: dict[str, float], n: int, source: str, device) -> str:
    """The table in Markdown: ratios of each round, then seconds, then the loss both reached."""
    import torch

    lines = [
        f"VAE 784-400-20, batch {BATCH}, Adam 1e-3, one epoch of {n:,} images ({source}), one thread each, "
        f"{len(seconds['ours'])} rounds in turn. {runtime.describe(device)}, {machine()}, torch {torch.__version__}, "
        f"{date.today().isoformat()}. Median (least to most).",
        "",
        "| loop | times ours | seconds per epoch | loss over the epoch |",
        "|---|---:|---:|---:|",
    ]
    for name, took in seconds.items():
        ratios = [theirs / mine for theirs, mine in zip(took, seconds["ours"], strict=True)]
        lines.append(f"| {name} | {spread(ratios)} | {spread(took)} | {losses[name]:.2f} |")
    return "\n".join(lines)


def spread(values: list[float]) -> str:
    return f"{statistics.median(values):.2f} ({min(values):.2f} to {max(values):.2f})"


def machine() -> str:
    """The processor's name, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
