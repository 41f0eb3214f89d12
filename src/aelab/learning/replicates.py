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
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, nn

from aelab.core import checkpoints, params, runtime, seeds, stage
from aelab.core.stage import Job, Runtime
from aelab.data import splits, tensors
from aelab.data.tensors import Tensors
from aelab.learning import together
from aelab.learning.classifier import Classifier
from aelab.learning.loop import fit
from aelab.learning.losses import of_replicate
from aelab.learning.resume import Keeper
from aelab.learning.settings import Training
from aelab.learning.together import Seed
from aelab.learning.watch import Panel, Watch, Watches
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


def history(folder: Path) -> list[list[dict[str, Any]]]:
    """Of each replicate of a result, a row per epoch, its parts one after another."""
    histories = [checkpoints.load_json(part / "history.json") for part in parts(folder)]
    return [list(itertools.chain(*rows)) for rows in zip(*histories, strict=True)]


def panel(folder: Path) -> dict[str, np.ndarray]:
    """The validation digits of a result as they got sharper; none of a fine-tuned stack."""
    file = folder / "panel.npz"
    return splits.load_arrays(file) if file.exists() else {}


def digests(folder: Path) -> dict[str, str]:
    """The MD5 of every file of weights of a result, by its path within it."""
    files = [file for part in parts(folder) for file in sorted(part.glob("weights-*.safetensors"))]
    return {str(file.relative_to(folder)): checkpoints.md5(file) for file in files}


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

    machine: what `device` was pinned with. A CPU learns the seeds side by side, in processes of their own; a GPU in one
    loop, those of a model that has to be `alone` one after another.
    """
    data = tensors.split("train", device), tensors.split("validation", device)
    recorder.tags({"device": runtime.describe(device), "seed": tasks[0].words[0]})
    panels = [Panel(data[1], task.settings, task.words, recorder) for task in tasks]
    count = tasks[0].settings.replicates

    def seed(number: int, replicate: int, metrics: seeds.Metrics) -> Seed:
        return _seed(tasks[number], replicate, data, metrics, None if replicate else panels[number])

    def learned(replicate: int, metrics: seeds.Metrics) -> list[list[dict[str, Any]]]:
        return [_learned(task, machine, seed(number, replicate, metrics)) for number, task in enumerate(tasks)]

    if device.type == "cpu":
        histories = seeds.each(learned, count, recorder.metrics)
    else:
        by_task = [
            _all_learned(task, machine, [seed(number, replicate, recorder.metrics) for replicate in range(count)])
            for number, task in enumerate(tasks)
        ]
        histories = [list(each) for each in zip(*by_task, strict=True)]
    for number, (task, panel) in enumerate(zip(tasks, panels, strict=True)):
        made = {"replicates": count, "device": runtime.describe(device)}
        checkpoints.save_json(task.out / "model.json", task.about | made)
        checkpoints.save_json(task.out / "history.json", [each[number] for each in histories])
        if panel.pictures:
            splits.save_arrays(task.out / "panel.npz", panel.pictures)
    weights = [checkpoints.md5(task.out / "weights-0.safetensors") for task in tasks]
    recorder.tags({"weights": " ".join(weights)})  # by which the numbers of the evaluation find this run


def _seed(task: Task, replicate: int, data: Splits, metrics: seeds.Metrics, panel: Panel | None) -> Seed:
    """One seed of a task, ready to learn."""
    seed, *rest = task.words
    device = data[0].x.device

    def draw(use: str) -> Generator:
        where = "cpu" if use in ("init", "order", "modules") else device
        return runtime.generator(seed, *rest, replicate, use, device=where)

    model = task.build(replicate, draw("init")).to(device)
    train, validation = task.part(data, replicate)
    return Seed(model, train, validation, draw, Watch(task, replicate, metrics, panel, len(train.x)))


def _learned(task: Task, machine: Runtime, seed: Seed) -> list[dict[str, Any]]:
    """Train one seed, leave its weights, return its history."""
    watch = seed.watch
    keeper = _keeper(task, machine, [seed], watch.replicate, watch)
    try:
        with of_replicate(watch.replicate):
            fit(seed.model, seed.train, seed.validation, task.settings, seed.draw, watch, keeper, machine.precision)
    finally:
        watch.progress.close()
    return watch.end(seed.model)


def _all_learned(task: Task, machine: Runtime, some: Sequence[Seed]) -> list[list[dict[str, Any]]]:
    """Train all seeds of a task on a GPU, leave their weights, return their histories."""
    if some[0].model.alone:
        return [_learned(task, machine, seed) for seed in some]
    watches = [seed.watch for seed in some]
    try:
        together.fit(some, task.settings, _keeper(task, machine, some, "all", Watches(watches)), machine.precision)
    finally:
        for watch in watches:
            watch.progress.close()
    return [watch.end(seed.model) for watch, seed in zip(watches, some, strict=True)]


def _keeper(task: Task, machine: Runtime, some: Sequence[Seed], name: int | str, watch: Any) -> Keeper | None:
    """Of the snapshots of one seed or of all; none where the out is no stage's."""
    kept = stage.kept(task.out)
    if not kept:
        return None
    about = {"about": task.about, "settings": dataclasses.asdict(task.settings), "words": [*task.words, name]}
    about["runtime"] = dataclasses.asdict(machine)
    data = {id(tensor): tensor for seed in some for tensor in (*seed.train, *seed.validation)}  # seeds may share them
    return Keeper(kept / str(name), about, list(data.values()), watch)
