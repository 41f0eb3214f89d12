"""The one training loop: tensors on the device, batches by shuffled index, fresh noise, best validation epoch kept.

The model says what to optimise (`phases`), the loop does it. Nothing here reads or writes a file, prints or tracks: a
`Watch` is told what happens.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from aelab.core.corruption import Noise, corrupt_mixed
from aelab.data.tensors import Tensors
from aelab.learning import optimizers
from aelab.learning.augmentation import augment, parse
from aelab.learning.settings import Training
from aelab.models.base import Batch, Losses, Phase

CHUNK = 1000  # images per step where nothing is learned


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean losses per image, by term."""

    phase: str
    epoch: int  # from 1, within its phase
    train: dict[str, float]
    validation: dict[str, float]
    monitor: float  # the validation value that decides which epoch is kept
    best: bool  # so far


class Watch(Protocol):
    """Who is told: `steps` before a phase, `step` after each step, `epoch` after each epoch."""

    def steps(self, phase: str, total: int) -> None: ...
    def step(self) -> None: ...
    def epoch(self, epoch: Epoch, model: nn.Module) -> None: ...


class DivergedError(ArithmeticError):
    """A loss became NaN or infinite."""


def fit(
    model: Any,
    train: Tensors,
    validation: Tensors,
    settings: Training,
    draw: Callable[[str], Generator],
    watch: Watch,
) -> None:
    """Train `model` in place, phase by phase; it ends with the weights of each phase's best validation epoch.

    draw(use) gives a fresh generator per use, the same one every time it is asked for the same use: "order" and
    "modules" on the CPU, "noise" and "validation" on the device. Raises DivergedError with phase, epoch and step.
    """
    torch.manual_seed(draw("modules").initial_seed())  # dropout takes no generator of its own
    model.observe(train.x, train.y)
    noises = [Noise.parse(words) for words in settings.noise]
    order, noise = draw("order"), draw("noise")
    for phase in model.phases():
        seen, held_out = train, validation
        if phase.inputs is not None:
            seen, held_out = (Tensors(mapped(phase.inputs, split.x), split.y) for split in (train, validation))
        _fit_phase(model, phase, seen, held_out, settings, noises, order, noise, lambda: draw("validation"), watch)


def _fit_phase(
    model: nn.Module,
    phase: Phase,
    train: Tensors,
    validation: Tensors,
    settings: Training,
    noises: Sequence[Noise],
    order: Generator,
    noise: Generator,
    validation_noise: Callable[[], Generator],
    watch: Watch,
) -> None:
    steps = math.ceil(len(train.x) / settings.batch)
    optimizer, all_steps = optimizers.build(phase.parameters, settings), settings.epochs * steps
    watch.steps(phase.name, all_steps)
    moves = parse(settings.augment) if train.x.dim() == 4 else {}  # codes of layers below are no images
    best, best_weights, waited = math.inf, None, 0
    for number in range(1, settings.epochs + 1):
        model.train()
        totals = torch.empty(steps, device=train.x.device)
        sums: dict[str, Tensor] = {}
        rows = torch.randperm(len(train.x), generator=order).to(train.x.device).split(settings.batch)
        for step, batch_rows in enumerate(rows):
            clean = augment(train.x[batch_rows], moves, noise) if moves else train.x[batch_rows]
            losses = phase.loss(Batch(clean, corrupt_mixed(clean, noises, noise), train.y[batch_rows]), noise)
            losses.total.backward()
            optimizer.step(optimizers.rate(settings, (number - 1) * steps + step, all_steps))
            totals[step] = losses.total.detach()
            _add(sums, losses, len(clean))
            watch.step()
        _check(totals, phase.name, number, settings.lr)
        model.eval()
        seen = {name: (value / len(train.x)).item() for name, value in sums.items()}
        held_out = mean_losses(phase.loss, validation, noises, validation_noise())
        if not math.isfinite(held_out[phase.monitor]):
            raise DivergedError(f"phase {phase.name}, epoch {number}: the validation loss is {held_out[phase.monitor]}")
        better = held_out[phase.monitor] < best
        if better:
            best, waited = held_out[phase.monitor], 0
            best_weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
        watch.epoch(Epoch(phase.name, number, seen, held_out, held_out[phase.monitor], better), model)
        waited += not better
        if settings.patience is not None and waited >= settings.patience:
            break
    if best_weights is not None:
        model.load_state_dict(best_weights)


def mean_losses(
    loss: Callable[[Batch, Generator], Losses], data: Tensors, noises: Sequence[Noise], generator: Generator
) -> dict[str, float]:
    """The loss and its terms over `data`, means per image, without learning."""
    sums: dict[str, Tensor] = {}
    with torch.no_grad():
        for x, y in zip(data.x.split(CHUNK), data.y.split(CHUNK), strict=True):
            _add(sums, loss(Batch(x, corrupt_mixed(x, noises, generator), y), generator), len(x))
    return {name: (value / len(data.x)).item() for name, value in sums.items()}


def mapped(function: Callable[..., Tensor], *inputs: Tensor) -> Tensor:
    """function(*inputs) in chunks of rows, without gradients."""
    with torch.no_grad():
        return torch.cat([function(*part) for part in zip(*(each.split(CHUNK) for each in inputs), strict=True)])


def _add(sums: dict[str, Tensor], losses: Losses, count: int) -> None:
    for name, value in (("total", losses.total), *losses.terms.items()):
        weighted = value.detach() * count
        sums[name] = sums[name] + weighted if name in sums else weighted


def _check(totals: Tensor, phase: str, epoch: int, lr: float) -> None:
    bad = (~totals.isfinite()).nonzero()
    if len(bad):
        step = int(bad[0, 0])
        raise DivergedError(
            f"phase {phase}, epoch {epoch}, step {step + 1}: the loss is {totals[step].item()}; "
            f"a smaller lr (now {lr:g}) often helps"
        )
