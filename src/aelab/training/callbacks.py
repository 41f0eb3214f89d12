"""Callbacks of the training loop: history, metrics for MLflow, progress bar, reconstruction preview."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from aelab.config import seeding
from aelab.data import images
from aelab.data.corruption import Noise, Noises, corrupt
from aelab.data.tensors import Tensors
from aelab.runner import parallel
from aelab.runner.progress import Progress
from aelab.training.loop import Evaluation
from aelab.training.settings import Training

if TYPE_CHECKING:
    from aelab.training.task import Task


PREVIEWED = 10  # images of data without classes


class SeedCallback:
    """The callback of one seed: keeps the history, logs metrics, moves the progress bar, draws the preview.

    images: the number of training images. Images per second (for seeds in one loop: while all of them train) are logged
    and stored nowhere else, because no result file may depend on the clock.
    """

    def __init__(
        self, task: Task, replicate: int, metrics: parallel.Metrics, preview: ReconstructionPreview | None, images: int
    ) -> None:
        self.task, self.replicate, self.metrics, self.preview = task, replicate, metrics, preview
        self.images, self.began = images, 0.0
        self.progress = Progress(replicate)
        self.history: list[dict[str, Any]] = []

    def steps(self, phase: str, total: int) -> None:
        self.progress.start(f"{self.task.stream[2]} #{self.replicate} {phase}", total)
        self.began = time.monotonic()

    def step(self) -> None:
        self.progress.step()

    def evaluated(self, evaluation: Evaluation, model: nn.Module) -> None:
        last = self.history[-1]["step"] if self.history and self.history[-1]["phase"] == evaluation.phase else 0
        self.history.append(row := dataclasses.asdict(evaluation))
        self.tell(row)
        self.progress.note(f"step {evaluation.step}, validation {evaluation.monitor:.4g}")
        seconds, settings = time.monotonic() - self.began, self.task.settings
        steps, total = evaluation.step - last, self.total_steps(row)
        epochs = steps / settings.steps_per_epoch(self.images)
        cost = {"seconds_per_epoch": seconds / epochs, "images_per_second": epochs * self.images / seconds}
        prefix = self.prefix(evaluation.phase)
        self.metrics({prefix + name: value for name, value in cost.items()}, total, self.replicate)
        self.began += seconds
        if self.preview and any(total - steps < step <= total for step in settings.preview_steps):
            self.preview.draw(model, total)

    def total_steps(self, row: dict[str, Any]) -> int:
        """The optimizer steps of all phases up to an evaluation, a row of the history: the step in MLflow."""
        ended: dict[str, int] = {}  # steps of the earlier phases
        for each in self.history:
            if each["phase"] == row["phase"]:
                break
            ended[each["phase"]] = each["step"]
        return sum(ended.values()) + row["step"]

    def tell(self, row: dict[str, Any]) -> None:
        """Log the metrics of an evaluation, given as a row of the history."""
        for kind in ("train", "validation"):
            values = {f"{self.prefix(row['phase'])}{kind}/{term}": value for term, value in row[kind].items()}
            self.metrics(values, self.total_steps(row), self.replicate)

    def prefix(self, phase: str) -> str:
        """The prefix of the metric names in MLflow."""
        return self.task.prefix + ("" if phase == "all" else f"{phase}/")

    def end(self, model: nn.Module) -> list[dict[str, Any]]:
        """The end of training: the last preview; returns the history."""
        if self.preview:
            last = self.total_steps(self.history[-1]) if self.history else 0
            self.preview.draw(model, last, kept=True)
        return self.history

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self.progress.close()

    def state(self) -> tuple[Any, dict[str, torch.Tensor]]:
        """The history and the preview, for a checkpoint: what JSON can hold, and tensors by name."""
        pictures = self.preview.pictures if self.preview else {}
        numbers = {"history": self.history, "pictures": list(pictures)}  # in their order
        return numbers, {name: torch.from_numpy(item) for name, item in pictures.items()}

    def restore(self, numbers: Any, pictures: dict[str, torch.Tensor]) -> None:
        """Continue from what `state` returned, and log it again: the tracking store adds what it lacks."""
        self.history = numbers["history"]
        for row in self.history:
            self.tell(row)
        if self.preview:
            self.preview.pictures = {name: pictures[name].numpy() for name in numbers["pictures"]}
            for name in self.preview.pictures:
                if name.startswith("step-"):
                    self.preview.track(int(name.removeprefix("step-")))


class CallbackList:
    """The callbacks of all seeds, for a checkpoint of all seeds."""

    def __init__(self, callbacks: Sequence[SeedCallback]) -> None:
        self.callbacks = callbacks

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        for callback in self.callbacks:
            callback.progress.close()

    def state(self) -> tuple[Any, dict[str, torch.Tensor]]:
        """The state of each callback; only the first one has preview images."""
        states = [callback.state() for callback in self.callbacks]
        return [numbers for numbers, _ in states], states[0][1]

    def restore(self, numbers: Any, pictures: dict[str, torch.Tensor]) -> None:
        for callback, own in zip(self.callbacks, numbers, strict=True):
            callback.restore(own, pictures)


class ReconstructionPreview:
    """One validation image per class, or without classes the first PREVIEWED, reconstructed as training goes on.

    A model that trains on clean images also gets the digits with a noise that it has never seen (Dezeming's booklet,
    2.4). The noise is the same for every model.
    """

    NOISE = Noise("impulse", 0.05)

    def __init__(self, validation: Tensors, settings: Training, stream: tuple[Any, ...], recorder: Any) -> None:
        classes = validation.y.unique()
        first = [int((validation.y == label).nonzero()[0, 0]) for label in classes]
        if len(classes) == 1:
            first = list(range(min(PREVIEWED, len(validation.y))))
        noises = Noises.parse(settings.noise)
        clean, self.labels = validation.x[first], validation.y[first]
        shown = noises(clean, seeding.generator(*stream, "preview", device=clean.device))
        self.seen = {"": shown}  # by prefix of the names in `pictures`
        if not noises.kinds:
            generator = seeding.generator(stream[0], "preview", device=clean.device)
            self.seen["noisy-"] = corrupt(clean, self.NOISE.kind, self.NOISE.level, generator)
        self.recorder = recorder
        self.pictures: dict[str, np.ndarray] = {}

    def draw(self, model: nn.Module, step: int, kept: bool = False) -> None:
        """Reconstruct the digits after `step` optimizer steps, keep and log the images. kept: with the best weights.

        Classifiers reconstruct nothing.
        """
        if not hasattr(model, "reconstruct"):
            return
        model.eval()
        for kind, x in self.seen.items():
            with torch.no_grad():
                rebuilt = images.in_bytes(model.reconstruct(x, self.labels))  # type: ignore[operator]
            self.pictures[f"{kind}input"] = images.in_bytes(x)
            self.pictures[f"{kind}step-{step:05d}"] = rebuilt
        self.track(step)
        if kept:  # models train for different numbers of steps: this image has the same step for all
            self.track(step, name="preview_best", as_step=0)

    def track(self, step: int, name: str = "preview", as_step: int | None = None) -> None:
        """Log the reconstructions after `step` optimizer steps to the tracking store, below the inputs."""
        shown = self.pictures["input"], self.pictures[f"step-{step:05d}"]
        pair = np.concatenate([np.concatenate(list(images.drawn(rows)), axis=1) for rows in shown])
        self.recorder.image(name, pair, step=step if as_step is None else as_step)
