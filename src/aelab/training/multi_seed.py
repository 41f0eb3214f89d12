"""Train several seeds of one or more models, and leave their files in one folder.

On a CPU the seeds train side by side, each in a process of its own. On a GPU they train in one vectorized loop, or one
after another where the model does not support that.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Generator

from aelab.config import runtime, seeding
from aelab.config.runtime import Runtime
from aelab.data import storage, tensors
from aelab.runner import parallel
from aelab.training import artifacts, vectorized
from aelab.training.callbacks import CallbackList, ReconstructionPreview, SeedCallback
from aelab.training.checkpoints import CheckpointManager
from aelab.training.loop import fit
from aelab.training.losses import of_replicate
from aelab.training.task import Splits, Task
from aelab.training.vectorized import Seed


def train(
    tasks: Sequence[Task],
    out: Path,
    machine: Runtime,
    device: torch.device,
    recorder: Any,
    checkpoints: Path | None = None,
) -> None:
    """Train every task with every seed; all tasks have the same number of seeds.

    out: the folder for the results (see artifacts). machine: the settings that `device` was set up with. checkpoints:
    the folder for checkpoints; None: no checkpoints. Raises DivergedError, naming the replicate.
    """
    data = tensors.split("train", device), tensors.split("validation", device)
    recorder.tags({"device": runtime.describe(device), "seed": tasks[0].stream[0]})
    previews = [
        ReconstructionPreview(data[1], task.settings, task.stream, recorder) if data[1].x.dim() == 4 else None
        for task in tasks
    ]
    num_seeds = tasks[0].settings.num_seeds

    for task in tasks:
        (out / task.folder).mkdir(exist_ok=True)

    def seed(number: int, replicate: int, metrics: parallel.Metrics) -> Seed:
        return _seed(tasks[number], replicate, data, metrics, None if replicate else previews[number])

    def train_replicate(replicate: int, metrics: parallel.Metrics) -> list[artifacts.History]:
        return [
            _train_one(task, seed(number, replicate, metrics), machine, out, checkpoints)
            for number, task in enumerate(tasks)
        ]

    if device.type == "cpu":
        by_replicate = parallel.run(train_replicate, num_seeds, recorder.metrics)
        histories = [list(rows) for rows in zip(*by_replicate, strict=True)]
    else:
        histories = []
        for number, task in enumerate(tasks):
            seeds = [seed(number, replicate, recorder.metrics) for replicate in range(num_seeds)]
            histories.append(_train_vectorized(task, seeds, machine, out, checkpoints))
    made = {"num_seeds": num_seeds, "device": runtime.describe(device)}
    for task, rows, preview in zip(tasks, histories, previews, strict=True):
        artifacts.save(out / task.folder, task.description | made, rows, preview.pictures if preview else {})
    weights = [storage.md5(artifacts.weights_file(out / task.folder, 0)) for task in tasks]
    recorder.tags({"weights": " ".join(weights)})  # evaluation finds this run by them


def _seed(
    task: Task, replicate: int, data: Splits, metrics: parallel.Metrics, preview: ReconstructionPreview | None
) -> Seed:
    """An untrained model with its data, random generators and callback."""
    seed, *stream = task.stream
    device = data[0].x.device

    def draw(use: str) -> Generator:
        where = "cpu" if use in ("init", "order", "modules") else device
        return seeding.generator(seed, *stream, replicate, use, device=where)

    model = task.build(replicate, draw("init")).to(device)
    train, validation = task.subset(data, replicate)
    callback = SeedCallback(task, replicate, metrics, preview, len(train.x))
    return Seed(model, train, validation, draw, callback)


def _train_one(task: Task, seed: Seed, machine: Runtime, out: Path, checkpoints: Path | None) -> artifacts.History:
    """Train one seed, write its weights, return its history."""
    callback = seed.callback
    manager = _checkpoints(task, [seed], machine, checkpoints, callback.replicate, callback)
    with callback, of_replicate(callback.replicate):
        fit(seed.model, seed.train, seed.validation, task.settings, seed.draw, callback, manager, machine.precision)
    artifacts.save_weights(out / task.folder, callback.replicate, seed.model)
    return callback.end(seed.model)


def _train_vectorized(
    task: Task, seeds: Sequence[Seed], machine: Runtime, out: Path, checkpoints: Path | None
) -> list[artifacts.History]:
    """Train all seeds of a task in one loop, if its model can; write their weights, return a history for each."""
    if seeds[0].model.vmap_unsupported_reason:
        return [_train_one(task, seed, machine, out, checkpoints) for seed in seeds]
    callbacks = CallbackList([seed.callback for seed in seeds])
    manager = _checkpoints(task, seeds, machine, checkpoints, "all", callbacks)
    with callbacks:
        vectorized.fit(seeds, task.settings, manager, machine.precision)
    for seed in seeds:
        artifacts.save_weights(out / task.folder, seed.callback.replicate, seed.model)
    return [seed.callback.end(seed.model) for seed in seeds]


def _checkpoints(
    task: Task, seeds: Sequence[Seed], machine: Runtime, folder: Path | None, name: int | str, callback: Any
) -> CheckpointManager | None:
    """The checkpoints of one replicate, or of all in one loop; None without a folder for them."""
    if not folder:
        return None
    key = {"description": task.description, "settings": dataclasses.asdict(task.settings)}
    key |= {"stream": [*task.stream, name], "runtime": dataclasses.asdict(machine)}
    data = {id(tensor): tensor for seed in seeds for tensor in (*seed.train, *seed.validation)}  # seeds may share them
    return CheckpointManager(folder / task.folder / str(name), key, list(data.values()), callback)
