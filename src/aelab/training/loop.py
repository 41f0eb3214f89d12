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

from aelab.config import runtime
from aelab.config.runtime import Precision
from aelab.data.corruption import Noise, corrupt_mixed
from aelab.data.tensors import Tensors, mapped
from aelab.models.common import Batch, Phase
from aelab.training import losses, optimizers
from aelab.training.augmentation import augment, parse
from aelab.training.losses import DivergedError
from aelab.training.settings import Training


@dataclass(frozen=True)
class Epoch:
    """What one epoch came to: mean losses per image, by term."""

    phase: str
    epoch: int  # from 1, within its phase
    train: dict[str, float]
    validation: dict[str, float]
    monitored: str  # the term that decides which epoch is kept
    monitor: float  # its validation value
    best: bool  # so far


class Callback(Protocol):
    """Who is told: `steps` before a phase, `step` after each step, `epoch` after each epoch."""

    def steps(self, phase: str, total: int) -> None: ...
    def step(self) -> None: ...
    def epoch(self, epoch: Epoch, model: nn.Module) -> None: ...


class Checkpointer(Protocol):
    """Who keeps snapshots of learning under way, so that a run that was cut short goes on from the last one."""

    def latest(self, model: nn.Module) -> Snapshot | None:
        """The snapshot to go on from; `model` is as it is before learning."""
        ...

    def due(self) -> bool:
        """Whether it is time for another one."""
        ...

    def keep(self, snapshot: Snapshot) -> None: ...


@dataclass(frozen=True)
class Snapshot:
    """Everything that the rest of learning depends on: numbers that JSON can hold, and tensors by name."""

    numbers: dict[str, Any]
    tensors: dict[str, Tensor]


def fit(
    model: Any,
    train: Tensors,
    validation: Tensors,
    settings: Training,
    draw: Callable[[str], Generator],
    callback: Callback,
    checkpointer: Checkpointer | None = None,
    precision: Precision = "float32",
) -> None:
    """Train `model` in place, phase by phase; it ends with the weights of each phase's best validation epoch.

    draw(use) gives a fresh generator per use, the same one every time it is asked for the same use: "order" and
    "modules" on the CPU, "noise" and "validation" on the device. checkpointer: where there is one, learning goes on from its
    latest snapshot, and ends in the same bits as if it had never stopped. precision: of the steps (see
    runtime.autocast and runtime.rounding); what is measured in between is measured as it will be afterwards. Raises
    DivergedError with phase, epoch and step.
    """
    torch.manual_seed(draw("modules").initial_seed())  # dropout takes no generator of its own
    model.fit_statistics(train.x, train.y)
    snapshot = checkpointer.latest(model) if checkpointer else None
    if snapshot:
        model.load_state_dict(part("model", snapshot))  # phases of what has been learnt see codes of layers below
    noises = [Noise.parse(words) for words in settings.noise]
    learning = Learning(model, settings, noises, draw, callback, checkpointer, precision)
    for number, phase in enumerate(model.phases()):
        if snapshot and number < snapshot.numbers["phase"]:
            continue
        seen, held_out = inputs(phase, train, validation)
        learning.begin(number, phase, len(seen.x))
        if snapshot:
            learning.restore(snapshot)
            snapshot = None
        learning.run(seen, held_out)


def inputs(phase: Phase, *splits: Tensors) -> list[Tensors]:
    """What a phase learns on, of each split."""
    if phase.inputs is None:
        return list(splits)
    return [Tensors(mapped(phase.inputs, split.x), split.y) for split in splits]


class Learning:
    """A model's learning under way, one phase at a time."""

    def __init__(
        self,
        model: nn.Module,
        settings: Training,
        noises: Sequence[Noise],
        draw: Callable[[str], Generator],
        callback: Callback,
        checkpointer: Checkpointer | None,
        precision: Precision,
    ) -> None:
        self.model, self.settings, self.noises, self.draw = model, settings, noises, draw
        self.callback, self.checkpointer = callback, checkpointer
        self.order, self.noise = draw("order"), draw("noise")
        self.autocast = runtime.autocast(self.noise.device, precision)
        self.rounding = runtime.rounding(self.noise.device, precision)

    def begin(self, number: int, phase: Phase, images: int) -> None:
        """The start of phase `number`, which learns from so many images."""
        self.number, self.phase = number, phase
        self.steps = math.ceil(images / self.settings.batch_size)
        self.optimizer = optimizers.build(phase.parameters, self.settings)
        self.epoch, self.step, self.waited = 1, 0, 0  # the next step to do: of 1, 2, ... epochs and 0, 1, ... steps
        self.best, self.best_weights = math.inf, dict[str, Tensor]()
        self.before = self.order.get_state()  # the permutation of the epoch
        self.values: dict[str, Tensor] = {}  # of the loss and its terms, one number per step of the epoch
        self.images = losses.counts(images, self.settings.batch_size)  # of each step
        self.callback.steps(phase.name, self.settings.epochs * self.steps)

    def run(self, train: Tensors, validation: Tensors) -> None:
        """The epochs of the phase that are left; the model then has the weights of the best one."""
        moves = parse(self.settings.augment) if train.x.dim() == 4 else {}  # codes of layers below are no images
        while self.epoch <= self.settings.epochs:
            self.learn(train, moves)
            self.measure(train, validation)
            if self.settings.patience is not None and self.waited >= self.settings.patience:
                break
            self.epoch, self.step, self.values = self.epoch + 1, 0, {}
            self.before = self.order.get_state()
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)

    def learn(self, train: Tensors, moves: dict[str, float]) -> None:
        """The steps of the epoch that are left."""
        self.model.train()
        rows = torch.randperm(len(train.x), generator=self.order).to(train.x.device).split(self.settings.batch_size)
        for batch_rows in rows[self.step :]:
            clean = train.x.index_select(0, batch_rows)  # in half the time of train.x[batch_rows]
            clean = augment(clean, moves, self.noise) if moves else clean
            labels = train.y.index_select(0, batch_rows)
            batch = Batch(clean, corrupt_mixed(clean, self.noises, self.noise), labels)
            with self.rounding:
                with self.autocast:
                    found = self.phase.loss(batch, self.noise)
                found.total.backward()
            done = (self.epoch - 1) * self.steps + self.step
            self.optimizer.step(optimizers.rate(self.settings, done, self.settings.epochs * self.steps))
            losses.note(self.values, found, self.step, self.steps)
            self.step += 1
            self.callback.step()
            if self.checkpointer and self.checkpointer.due():
                self.checkpointer.keep(self.snapshot())
        losses.check(self.values["total"], self.phase.name, self.epoch, self.settings.lr)

    def measure(self, train: Tensors, validation: Tensors) -> None:
        """The end of the epoch: what it came to, and whether it is the best so far."""
        self.model.eval()
        seen = losses.means(self.values, self.images)
        held_out = losses.over(self.phase.loss, validation, self.noises, self.draw("validation"))
        name, monitored = self.phase.name, self.phase.monitor
        monitor = held_out[monitored]
        if not math.isfinite(monitor):
            term = "loss" if monitored == "total" else monitored
            raise DivergedError(f"phase {name}, epoch {self.epoch}: the validation {term} is {monitor}")
        better = monitor < self.best
        self.waited = 0 if better else self.waited + 1
        if better:
            self.best = monitor
            self.best_weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        self.callback.epoch(Epoch(name, self.epoch, seen, held_out, monitored, monitor, better), self.model)

    def snapshot(self) -> Snapshot:
        """Everything, as it is now."""
        numbers = {"phase": self.number, "epoch": self.epoch, "step": self.step}
        numbers |= {"best": self.best, "waited": self.waited, "terms": list(self.values)}  # tensors come back by name
        groups = {
            "model": self.model.state_dict(),
            "best": self.best_weights,
            "values": self.values,
            "optimizer": {str(i): each for i, each in enumerate(self.optimizer.state())},
            "generator": {"order": self.before, "noise": self.noise.get_state(), "modules": torch.get_rng_state()},
        }
        if self.noise.device.type == "cuda":
            groups["generator"]["cuda"] = torch.cuda.get_rng_state(self.noise.device)
        return Snapshot(
            numbers, {f"{group}/{name}": each for group, some in groups.items() for name, each in some.items()}
        )

    def restore(self, snapshot: Snapshot) -> None:
        """The phase as it was when the snapshot was taken; the model has its weights already."""
        self.epoch, self.step = snapshot.numbers["epoch"], snapshot.numbers["step"]
        self.best, self.waited = snapshot.numbers["best"], snapshot.numbers["waited"]
        device, states = self.noise.device, part("generator", snapshot)
        self.best_weights = {name: each.to(device) for name, each in part("best", snapshot).items()}
        values = part("values", snapshot)
        self.values = {name: values[name].to(device) for name in snapshot.numbers["terms"]}
        kept = part("optimizer", snapshot)
        for i, each in enumerate(self.optimizer.state()):
            each.copy_(kept[str(i)])
        self.before = states["order"]
        self.order.set_state(self.before)
        self.noise.set_state(states["noise"])
        torch.set_rng_state(states["modules"])
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], device)
        for _ in range((self.epoch - 1) * self.steps + self.step):
            self.callback.step()


def part(group: str, snapshot: Snapshot) -> dict[str, Tensor]:
    """The tensors of one group, without its name."""
    return {name.partition("/")[2]: each for name, each in snapshot.tensors.items() if name.startswith(f"{group}/")}
