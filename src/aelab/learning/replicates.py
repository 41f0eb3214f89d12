"""What the learning stages share: several seeds of one model, trained, watched, and kept in one folder.

weights-<replicate>.safetensors   the best validation epoch's weights
model.json                        what to build for them, and on which device they learned
history.json                      per replicate: one row per epoch
panel.npz                         validation digits as replicate 0 rebuilt them: input, epoch-<n>; of a model that never
                                  met noise also noisy-input, noisy-epoch-<n>: they under a noise

A fine-tuned stack has such a folder for each label budget, and a model.json that names them.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, nn

from aelab.core import checkpoints, params, runtime, seeds, stage
from aelab.core.corruption import Noise, corrupt_mixed
from aelab.core.progress import Progress
from aelab.core.stage import Job, Runtime
from aelab.data import splits, tensors
from aelab.data.tensors import Tensors
from aelab.learning.classifier import Classifier
from aelab.learning.loop import DivergedError, Epoch, fit
from aelab.learning.resume import Keeper
from aelab.learning.settings import Training
from aelab.models.base import Spec, registry

Maker = Callable[[int, Generator], nn.Module]  # (replicate, CPU generator) -> a fresh model
Splits = tuple[Tensors, Tensors]  # train, validation
Part = Callable[[Splits, int], Splits]  # (all, replicate) -> what that replicate sees


@dataclass(frozen=True)
class Task:
    """What to train and where to leave it: weights, model.json with `about`, history, panel.

    words: (seed, stage, item), from which every generator is derived; further words may follow. prefix: of the names
    of its numbers in the tracking store, where one stage has several tasks.
    """

    out: Path
    build: Maker
    about: dict[str, Any]
    settings: Training
    words: tuple[Any, ...]
    part: Part = lambda data, replicate: data
    prefix: str = ""


def learn(job: Job, section: str, group: str) -> None:
    """The body of `train` and `pretrain`: the entry job.name of `group` under the settings of `section`."""
    meta = splits.meta()
    with job.track(meta.name) as recorder:
        seed, machine, block, entry = params.load("seed", "runtime", section, f"{group}.{job.name}")
        entry = entry.on(meta.name)
        settings = params.merge(section, block, entry, meta.name)
        recorder.params({"seed": seed, "runtime": machine, section: settings, "model": entry})
        recorder.dataset(name=meta.name, digest=meta.digest, source="data/prepare", context="train")
        device = job.device(machine)
        spec = Spec(meta.shape, len(meta.classes))
        train(
            [fresh(job.out, entry.family, entry.config, spec, settings, (seed, section, entry.name))],
            machine,
            device,
            recorder,
        )


def fresh(
    out: Path,
    family: str,
    config: dict[str, Any],
    spec: Spec,
    settings: Training,
    words: tuple[Any, ...],
    prefix: str = "",
) -> Task:
    """The task of training a new model of `family`."""
    about = {"kind": "autoencoder", "family": family, "config": config, "noise": settings.noise}
    about |= {"shape": spec.shape, "classes": spec.classes}

    def build(_: int, generator: Generator) -> nn.Module:
        return registry.build(family, config, spec, generator)

    return Task(out, build, about, settings, words, prefix=prefix)


def load(folder: Path, replicate: int, device: torch.device) -> nn.Module:
    """The trained model that `train` left in `folder`, ready to use on `device`.

    Raises FileNotFoundError, ValueError for damaged files, RuntimeError where weights and model disagree.
    """
    about = checkpoints.load_json(folder / "model.json")
    spec = Spec(tuple(about["shape"]), about["classes"])
    model: nn.Module = registry.build(about["family"], about["config"], spec, torch.Generator())
    if about["kind"] == "classifier":
        model = Classifier(model, spec, about["labels"])
    model.load_state_dict(checkpoints.load_weights(folder / f"weights-{replicate}.safetensors"))
    return model.to(device).eval()


def parts(folder: Path) -> list[Path]:
    """The folders of weights of one result: itself or, of a fine-tuned stack, one per label budget."""
    return [folder / name for name in checkpoints.load_json(folder / "model.json").get("budgets", [""])]


def with_labels(n: int, seed: int) -> Part:
    """What replicates see of the data where n training images have labels: those, and at most n validation images.

    Class-balanced, another draw for each replicate, the same for every stack; the n of a smaller budget are among them.
    """

    def part(data: Splits, replicate: int) -> Splits:
        draws = [runtime.generator(seed, "finetune", "labels", replicate, use) for use in ("train", "validation")]
        return tensors.balanced(data[0], n, draws[0]), tensors.balanced(data[1], n, draws[1])

    return part


def train(tasks: Sequence[Task], machine: Runtime, device: torch.device, recorder: Any) -> None:
    """Do all tasks with every seed; they have as many replicates. Raises DivergedError, naming the replicate.

    machine: what `device` was pinned with."""
    data = tensors.split("train", device), tensors.split("validation", device)
    recorder.tags({"device": runtime.describe(device), "seed": tasks[0].words[0]})
    panels = [Panel(data[1], task.settings, task.words, recorder) for task in tasks]

    def learned(replicate: int, metrics: seeds.Metrics) -> list[list[dict[str, Any]]]:
        return [
            _learned(task, machine, replicate, data, metrics, None if replicate else panel)
            for task, panel in zip(tasks, panels, strict=True)
        ]

    count = tasks[0].settings.replicates
    histories = seeds.each(learned, count, recorder.metrics, alone=device.type != "cpu")
    for number, (task, panel) in enumerate(zip(tasks, panels, strict=True)):
        made = {"replicates": count, "device": runtime.describe(device)}
        checkpoints.save_json(task.out / "model.json", task.about | made)
        checkpoints.save_json(task.out / "history.json", [each[number] for each in histories])
        if panel.pictures:
            splits.save_arrays(task.out / "panel.npz", panel.pictures)


def _learned(
    task: Task, machine: Runtime, replicate: int, data: Splits, metrics: seeds.Metrics, panel: Panel | None
) -> list[dict[str, Any]]:
    """Train one seed of one task, leave its weights, return its history."""
    seed, *rest = task.words
    device = data[0].x.device

    def draw(use: str) -> Generator:
        where = "cpu" if use in ("init", "order", "modules") else device
        return runtime.generator(seed, *rest, replicate, use, device=where)

    model = task.build(replicate, draw("init")).to(device)
    train, validation = task.part(data, replicate)
    watch = Watch(task, replicate, metrics, panel, len(train.x))
    about = {"about": task.about, "settings": dataclasses.asdict(task.settings), "words": [*task.words, replicate]}
    about["runtime"] = dataclasses.asdict(machine)
    kept = stage.kept(task.out)
    keeper = Keeper(kept / f"{replicate}.safetensors", about, (*train, *validation), watch) if kept else None
    try:
        fit(model, train, validation, task.settings, draw, watch, keeper, machine.precision)
    except DivergedError as error:
        raise DivergedError(f"replicate {replicate}, {error}") from None
    finally:
        watch.progress.close()
    if panel:
        panel.draw(model, watch.passed, kept=True)
    checkpoints.save_weights(task.out / f"weights-{replicate}.safetensors", model.state_dict())
    return watch.history


class Watch:
    """Hears of every epoch: keeps the history, tracks the numbers, moves the bar, draws the panel (see loop.Watch).

    images: of training; how many pass per second is tracked and kept nowhere else, as no file may depend on the hour.
    """

    def __init__(self, task: Task, replicate: int, metrics: seeds.Metrics, panel: Panel | None, images: int) -> None:
        self.task, self.replicate, self.metrics, self.panel = task, replicate, metrics, panel
        self.images, self.began = images, 0.0
        self.progress, self.epochs = Progress(replicate), task.settings.epochs
        self.history: list[dict[str, Any]] = []
        self.passed = 0  # epochs over all phases: the step in the tracking store

    def steps(self, phase: str, total: int) -> None:
        self.progress.start(f"{self.task.words[2]} #{self.replicate} {phase}", total)
        self.began = time.monotonic()

    def step(self) -> None:
        self.progress.step()

    def epoch(self, epoch: Epoch, model: nn.Module) -> None:
        self.history.append(dataclasses.asdict(epoch))
        self.tell(self.history[-1])
        self.progress.note(f"epoch {epoch.epoch}, validation {epoch.monitor:.4g}")
        seconds = time.monotonic() - self.began
        cost = {"seconds_per_epoch": seconds, "images_per_second": self.images / seconds}
        prefix = self.prefix(epoch.phase)
        self.metrics({prefix + name: value for name, value in cost.items()}, self.passed, self.replicate)
        self.began += seconds
        if self.panel and self.passed in self.task.settings.panel:
            self.panel.draw(model, self.passed)

    def tell(self, epoch: dict[str, Any]) -> None:
        """Track what the next epoch, a row of the history, came to."""
        self.passed += 1
        for kind in ("train", "validation"):
            values = {f"{self.prefix(epoch['phase'])}{kind}/{term}": value for term, value in epoch[kind].items()}
            self.metrics(values, self.passed, self.replicate)

    def prefix(self, phase: str) -> str:
        """Of the names of the numbers in the tracking store."""
        return self.task.prefix + ("" if phase == "all" else f"{phase}/")

    def state(self) -> tuple[Any, dict[str, torch.Tensor]]:
        """The history and the panel, for a snapshot."""
        pictures = self.panel.pictures if self.panel else {}
        numbers = {"history": self.history, "pictures": list(pictures)}  # in their order
        return numbers, {name: torch.from_numpy(each) for name, each in pictures.items()}

    def restore(self, numbers: Any, pictures: dict[str, torch.Tensor]) -> None:
        """What `state` gave, after a kill, told again: the tracking store takes what it lacks."""
        self.history = numbers["history"]
        for epoch in self.history:
            self.tell(epoch)
        if self.panel:
            self.panel.pictures = {name: pictures[name].numpy() for name in numbers["pictures"]}
            for name in self.panel.pictures:
                if name.startswith("epoch-"):
                    self.panel.track(int(name.removeprefix("epoch-")))


class Panel:
    """One validation digit per class, as the model rebuilds it in the course of learning.

    Where it learns from clean images it is shown the digits under a noise too: what it makes of what it never met
    (Dezeming's booklet, 2.4). The noise is the same for every model.
    """

    NOISE = Noise("impulse", 0.1)

    def __init__(self, validation: Tensors, settings: Training, words: tuple[Any, ...], recorder: Any) -> None:
        first = [int((validation.y == label).nonzero()[0, 0]) for label in validation.y.unique()]
        noises = [Noise.parse(each) for each in settings.noise]
        clean, self.labels = validation.x[first], validation.y[first]
        shown = corrupt_mixed(clean, noises, runtime.generator(*words, "panel", device=clean.device))
        self.seen = {"": shown}  # by prefix of the name in `pictures`
        if not noises:
            generator = runtime.generator(words[0], "panel", device=clean.device)
            self.seen["noisy-"] = corrupt_mixed(clean, [self.NOISE], generator)
        self.recorder = recorder
        self.pictures: dict[str, np.ndarray] = {}

    def draw(self, model: nn.Module, step: int, kept: bool = False) -> None:
        """Keep and track what `model` makes of the panel after `step` epochs, or of the weights that are kept; a
        classifier draws nothing."""
        if not hasattr(model, "reconstruct"):
            return
        model.eval()
        for kind, x in self.seen.items():
            with torch.no_grad():
                rebuilt = _bytes(model.reconstruct(x, self.labels))  # type: ignore[operator]
            self.pictures[f"{kind}input"] = _bytes(x)
            self.pictures[f"{kind}epoch-{step:03d}"] = rebuilt
        self.track(step)
        if kept:  # models last unequally long: here is one picture that all have at the same step
            self.track(step, name="panel_kept", as_step=0)

    def track(self, step: int, name: str = "panel", as_step: int | None = None) -> None:
        """Send what the model made of the panel after `step` epochs to the tracking store, below the panel."""
        shown = self.pictures["input"], self.pictures[f"epoch-{step:03d}"]
        pair = np.concatenate([np.concatenate(list(rows[:, 0]), axis=1) for rows in shown])
        self.recorder.image(name, pair, step=step if as_step is None else as_step)


def _bytes(x: torch.Tensor) -> np.ndarray:
    return x.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
