"""What this machine can do and what a step of learning needs at least: the floor under its time."""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import torch
from torch import Generator, Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from aelab.models.common import Batch

SIDE = 1024  # of the matrices in the product that is timed
COPIED = 20_000_000  # float32 numbers of the copy that is timed: more than caches hold
TRIES = 20
FLOAT = 4  # bytes


class Machine(NamedTuple):
    """Operations per second in a product of two matrices; bytes read and written per second in a copy."""

    flops: float
    bytes: float


class Step(NamedTuple):
    """What one step takes: floating-point operations of its products, bytes read and written."""

    flops: float
    bytes: float

    def seconds(self, machine: Machine) -> float:
        """The products at the machine's rate, and everything else at its bandwidth."""
        return self.flops / machine.flops + self.bytes / machine.bytes


def machine(device: torch.device) -> Machine:
    """Over some tries in a row, as an epoch is many steps in a row, with as many threads as torch has now."""
    a, b = (torch.rand(SIDE, SIDE, device=device) for _ in "ab")
    numbers = torch.rand(COPIED, device=device)
    copy = torch.empty_like(numbers)
    return Machine(
        2 * SIDE**3 / seconds(lambda: a @ b, device), 2 * FLOAT * COPIED / seconds(lambda: copy.copy_(numbers), device)
    )


def seconds(work: Any, device: torch.device) -> float:
    """What it takes, on average."""
    work()
    synchronise(device)
    began = time.perf_counter()
    for _ in range(TRIES):
        work()
    synchronise(device)
    return (time.perf_counter() - began) / TRIES


def synchronise(device: torch.device) -> None:
    """Wait for a GPU."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def step(model: Any, x: Tensor, noise: Generator) -> Step:
    """Of one step with Adam on images x [B, C, H, W]; of a model with several phases, one step of each.

    The products are counted while they run, forwards and backwards. Bytes: Adam reads each parameter, its gradient and
    two moments and writes all but the gradient; what a layer with weights puts out is written and read once, and so is
    its gradient; the batch is gathered once, and read once each by the first layer and the loss.
    """
    phases, labels = model.phases(), torch.zeros(len(x), dtype=torch.int64, device=x.device)
    with torch.no_grad():
        inputs = [phase.inputs(x) if phase.inputs else x for phase in phases]
    outputs = 0

    def seen(_: nn.Module, __: Any, out: Any) -> None:
        nonlocal outputs
        outputs += (out[0] if isinstance(out, tuple) else out).numel()

    weighty = [each for each in model.modules() if any(True for _ in each.parameters(recurse=False))]
    hooks = [each.register_forward_hook(seen) for each in weighty]
    with FlopCounterMode(display=False) as counter:
        for phase, own in zip(phases, inputs, strict=True):
            phase.loss(Batch(own, own, labels), noise).total.backward()
    for hook in hooks:
        hook.remove()
    for parameter in model.parameters():
        parameter.grad = None
    parameters = sum(parameter.numel() for phase in phases for parameter in phase.parameters)
    return Step(counter.get_total_flops(), FLOAT * (7 * parameters + 4 * outputs + 4 * len(phases) * x.numel()))
