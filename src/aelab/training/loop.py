"""The training loop: data on the device, shuffled batches, fresh noise, the best validation result kept.

The model says what to optimise (`phases`), the loop does it. Nothing here reads or writes files, prints or tracks:
callbacks do.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Generator, Tensor, nn

from aelab.config import runtime
from aelab.config.runtime import Precision
from aelab.data.corruption import Noises
from aelab.data.tensors import Tensors, chunks, stored
from aelab.models.common import Batch, Phase
from aelab.training import losses, optimizers
from aelab.training.augmentation import augment, parse
from aelab.training.losses import DivergedError
from aelab.training.settings import Training

SETTLING = 2 / 3  # of a one-cycle schedule: what comes later counts for early stopping


@dataclass(frozen=True)
class Evaluation:
    """Mean losses per image, by term: in training since the evaluation before, and on validation images."""

    phase: str
    step: int  # optimizer steps of the phase before it
    budget: int  # the most steps of the phase
    train: dict[str, float]
    validation: dict[str, float]
    monitored: str  # the term that selects the best evaluation
    monitor: float  # its validation value
    best: bool  # so far


class Callback(Protocol):
    """Called by the loop: `steps` before a phase, `step` after each step, `evaluated` after each evaluation."""

    def steps(self, phase: str, total: int) -> None: ...
    def step(self) -> None: ...
    def evaluated(self, evaluation: Evaluation, model: nn.Module) -> None: ...


class Checkpointer(Protocol):
    """Saves snapshots of training under way, so that an interrupted run resumes from the last one."""

    def latest(self, model: nn.Module) -> Snapshot | None:
        """The snapshot to resume from, None without one; `model` is untrained."""
        ...

    def due(self) -> bool:
        """Whether it is time to save the next one."""
        ...

    def keep(self, snapshot: Snapshot) -> None: ...


@dataclass(frozen=True)
class Snapshot:
    """Everything that the rest of training depends on: JSON content, and tensors by name."""

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
    """Train `model` in place, phase by phase; it ends with the weights of each phase's best evaluation.

    draw(use) returns a new generator for a use, the same one every time: "order" and "modules" on the CPU, "noise" and
    "validation" on the device. checkpointer: training resumes from its latest snapshot, and ends with the same bits as
    if it had never stopped. precision: of the training steps (see runtime.autocast); validation is
    always float32. Raises DivergedError with phase and step.
    """
    torch.manual_seed(draw("modules").initial_seed())  # dropout takes no generator
    model.fit_statistics(train.x, train.y)
    snapshot = checkpointer.latest(model) if checkpointer else None
    if snapshot:
        model.load_state_dict(part("model", snapshot))  # the inputs of later phases are codes of trained layers
    learning = Learning(model, settings, draw, callback, checkpointer, precision)
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
    """The inputs of a phase, for each split: the images, or the codes of the layers below."""
    if phase.inputs is None:
        return list(splits)
    return [Tensors(stored(chunks(phase.inputs, split.x), split.x.device), split.y) for split in splits]


class Learning:
    """The training of one model, one phase at a time."""

    def __init__(
        self,
        model: Any,
        settings: Training,
        draw: Callable[[str], Generator],
        callback: Callback,
        checkpointer: Checkpointer | None,
        precision: Precision,
    ) -> None:
        self.model, self.settings, self.draw = model, settings, draw
        self.noises = Noises.parse(settings.noise, model.spec.layout)
        self.callback, self.checkpointer = callback, checkpointer
        self.order, self.noise = draw("order"), draw("noise")
        self.autocast = runtime.autocast(self.noise.device, precision)

    def begin(self, number: int, phase: Phase, images: int) -> None:
        """Start phase `number` with this number of training images."""
        self.number, self.phase = number, phase
        self.images, self.total = images, self.settings.steps(images)
        self.optimizer, self.schedule = optimizers.build(phase.parameters, self.settings, self.total, rate=phase.rate)
        self.step, self.evaluations, self.waited = 0, 0, 0  # done so far
        self.best, self.best_weights = math.inf, dict[str, Tensor]()
        self.permutation: tuple[Tensor, ...] = ()  # of the epoch, by batch
        self.before = self.order.get_state()  # random state before the permutation of the epoch
        self.values: dict[str, Tensor] = {}  # the loss and its terms, one value per step since the last evaluation
        self.callback.steps(phase.name, self.total)

    def run(self, train: Tensors, validation: Tensors) -> None:
        """Run the remaining steps of the phase; the model then has the weights of the best evaluation."""
        moves = parse(self.settings.augment) if train.x.dim() == 4 else {}  # codes of the layers below are no images
        while self.going():
            self.learn(train, moves)
            self.measure(train, validation)
            self.values = {}
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)

    def going(self) -> bool:
        """Whether the phase has steps or an evaluation left, and has not stopped early."""
        patience = self.settings.early_stopping_patience
        return self.span()[0] < self.total and (patience is None or self.waited < patience)

    def span(self) -> tuple[int, int]:
        """The steps between the last evaluation and the next one: from, to (exclusive)."""
        start = self.evaluations * self.settings.steps_between(self.images)
        return start, min(start + self.settings.steps_between(self.images), self.total)

    def rows(self) -> Tensor:
        """The images of the next batch: every epoch is a new permutation of all."""
        if not self.permutation:
            drawn = torch.randperm(self.images, generator=self.order)
            self.permutation = drawn.to(self.noise.device).split(self.settings.batch_size)
        return self.permutation[self.step % len(self.permutation)]

    def advance(self) -> None:
        """Count a step."""
        self.step += 1
        if self.step % len(self.permutation) == 0:
            self.permutation, self.before = (), self.order.get_state()

    def learn(self, train: Tensors, moves: dict[str, float]) -> None:
        """Run the remaining steps until the next evaluation."""
        self.model.train()
        start, stop = self.span()
        while self.step < stop:
            rows = self.rows()
            clean = train.x.index_select(0, rows)  # takes half the time of train.x[rows]
            clean = augment(clean, moves, self.noise) if moves else clean
            labels = train.y.index_select(0, rows)
            batch = Batch(clean, self.noises(clean, self.noise), labels)
            with self.autocast:
                result = self.phase.loss(batch, self.noise)
            result.total.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            self.schedule.step()
            losses.note(self.values, result, self.step - start, stop - start)
            self.advance()
            self.callback.step()
            if self.checkpointer and self.checkpointer.due():
                self.checkpointer.keep(self.snapshot())
        losses.check(self.values["total"], self.phase.name, start, self.settings.lr)

    def measure(self, train: Tensors, validation: Tensors) -> None:
        """Compute the validation loss, keep the weights if it is the best so far."""
        self.model.eval()
        start, stop = self.span()
        of_batch = losses.counts(self.images, self.settings.batch_size)
        seen = losses.means(self.values, of_batch[torch.arange(start, stop) % len(of_batch)])
        self.evaluations += 1
        held_out = losses.over(self.phase.loss, validation, self.noises, self.draw("validation"))
        if "batches" in self.settings.history:
            seen |= losses.batches(self.values["total"])
        if "accuracy" in self.settings.history:
            held_out["accuracy"] = losses.accuracy(self.model.reconstruct, validation)
        name, monitored = self.phase.name, self.phase.monitor
        monitor = held_out[monitored]
        if not math.isfinite(monitor):
            term = "loss" if monitored == "total" else monitored
            raise DivergedError(f"phase {name}, step {self.step}: the validation {term} is {monitor}")
        better = monitor < self.best
        # the loss of a one-cycle schedule may rise until the rate falls
        counts = self.settings.schedule != "one_cycle" or self.step > SETTLING * self.total
        self.waited = self.waited + 1 if counts and not better else 0
        if better:
            self.best = monitor
            self.best_weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}
        evaluation = Evaluation(name, self.step, self.total, seen, held_out, monitored, monitor, better)
        self.callback.evaluated(evaluation, self.model)

    def snapshot(self) -> Snapshot:
        """The state of training now."""
        numbers = {"phase": self.number, "evaluations": self.evaluations, "step": self.step}
        # their order: tensors are restored by name
        numbers |= {"best": self.best, "waited": self.waited, "terms": list(self.values)}
        numbers["schedule"] = self.schedule.state_dict()
        optimizer = self.optimizer.state_dict()["state"]
        groups = {
            "model": self.model.state_dict(),
            "best": self.best_weights,
            "values": self.values,
            "optimizer": {f"{i}/{name}": item for i, one in optimizer.items() for name, item in one.items()},
            "generator": {"order": self.before, "noise": self.noise.get_state(), "modules": torch.get_rng_state()},
        }
        if self.noise.device.type == "cuda":
            groups["generator"]["cuda"] = torch.cuda.get_rng_state(self.noise.device)
        return Snapshot(
            numbers, {f"{group}/{name}": item for group, subset in groups.items() for name, item in subset.items()}
        )

    def restore(self, snapshot: Snapshot) -> None:
        """Restore the phase from a snapshot; the model has its weights already."""
        self.evaluations, self.step = snapshot.numbers["evaluations"], snapshot.numbers["step"]
        self.best, self.waited = snapshot.numbers["best"], snapshot.numbers["waited"]
        device, states = self.noise.device, part("generator", snapshot)
        self.best_weights = {name: item.to(device) for name, item in part("best", snapshot).items()}
        values = part("values", snapshot)
        self.values = {name: values[name].to(device) for name in snapshot.numbers["terms"]}
        optimizers.create_state(self.optimizer)  # in the memory format of the parameters, as fused updates need it
        state = self.optimizer.state_dict()["state"]
        for name, item in part("optimizer", snapshot).items():
            number, _, key = name.partition("/")
            state[int(number)][key].copy_(item)
        self.schedule.load_state_dict(snapshot.numbers["schedule"])
        for group, rate in zip(self.optimizer.param_groups, self.schedule.get_last_lr(), strict=True):
            group["lr"] = rate
        self.before = states["order"]
        self.order.set_state(self.before)
        if self.step % self.settings.steps_per_epoch(self.images):
            self.rows()  # draws the permutation again
        self.noise.set_state(states["noise"])
        torch.set_rng_state(states["modules"])
        if "cuda" in states:
            torch.cuda.set_rng_state(states["cuda"], device)
        for _ in range(self.step):
            self.callback.step()


def part(group: str, snapshot: Snapshot) -> dict[str, Tensor]:
    """The tensors of one group of a snapshot, without the prefix."""
    return {name.partition("/")[2]: item for name, item in snapshot.tensors.items() if name.startswith(f"{group}/")}
