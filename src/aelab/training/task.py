"""What to train: how a model is built, its settings, and the training data that each seed sees."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Generator, nn

from aelab.config import seeding
from aelab.data import tensors
from aelab.data.tensors import Tensors
from aelab.models.common import Spec, registry
from aelab.training.settings import Training

Builder = Callable[[int, Generator], nn.Module]  # (replicate, CPU generator) -> an untrained model
Splits = tuple[Tensors, Tensors]  # train, validation
Subset = Callable[[Splits, int], Splits]  # (all data, replicate) -> the data that this replicate sees


@dataclass(frozen=True)
class Task:
    """One model to train with several seeds. A replicate is the number of a seed, from 0.

    description: written to model.json. stream: (seed, stage, item, ...), from which every random generator is derived.
    folder: of the results, within the folder of the stage. prefix: of the metric names in MLflow, where one stage has
    several tasks.
    """

    build: Builder
    description: dict[str, Any]
    settings: Training
    stream: tuple[Any, ...]
    subset: Subset = lambda data, replicate: data
    folder: str = ""
    prefix: str = ""


def new_model_task(
    family: str,
    config: dict[str, Any],
    spec: Spec,
    settings: Training,
    stream: tuple[Any, ...],
    folder: str = "",
    subset: Subset = lambda data, replicate: data,
) -> Task:
    """The task of training a new model of `family`; `folder` also names its metrics."""
    description = {"kind": "autoencoder", "family": family, "config": config, "noise": settings.noise}
    description |= {"shape": spec.shape, "classes": spec.classes}
    if settings.normal:
        description["normal"] = [str(name) for name in settings.normal]
    if spec.columns:
        description["columns"] = [dataclasses.asdict(column) for column in spec.columns]

    def build(_: int, generator: Generator) -> nn.Module:
        return registry.build(family, config, spec, generator)

    prefix = f"{folder}/" if folder else ""
    return Task(build, description, settings, stream, subset, folder, prefix)


def classes_subset(labels: Sequence[int]) -> Subset:
    """The data of a model that learns these classes only."""
    return lambda data, replicate: (tensors.of_classes(data[0], labels), tensors.of_classes(data[1], labels))


def labelled_subset(n: int, seed: int) -> Subset:
    """The data of a label budget: n labelled training images and at most n validation images.

    Class-balanced; each replicate has its own draw, the same for every stack. A larger budget includes a smaller one.
    """

    def subset(data: Splits, replicate: int) -> Splits:
        draws = [seeding.generator(seed, "finetune", "labels", replicate, use) for use in ("train", "validation")]
        return tensors.balanced(data[0], n, draws[0]), tensors.balanced(data[1], n, draws[1])

    return subset
