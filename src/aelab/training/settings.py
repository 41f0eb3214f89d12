"""Training settings: the sections `train`, `pretrain`, `finetune`, `unroll`, `capacity`, `noise_transfer` of
params.yaml.

An entry of `models:` may override those of `train`, a stack those of `pretrain`.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass, field
from typing import Literal

from aelab.config.options import OPTION, Options


@dataclass(frozen=True)
class Training(Options):
    """How a model is trained; the weights of the best evaluation are kept."""

    optimizer: Literal["adam", "adamw", "sgd"]
    lr: float
    # rising_momentum: a constant rate, and of sgd the momentum 0.5 for the first tenth of the steps, then 0.9 (Hinton &
    # Salakhutdinov 2006: 5 of 50 epochs)
    schedule: Literal["constant", "one_cycle", "rising_momentum"]
    weight_decay: float
    batch_size: int
    # the budget of a phase: one of the two, the other is null
    max_epochs: int | None
    max_steps: int | None  # optimizer steps
    eval_every: int | None  # steps between two evaluations on validation images; null: an epoch
    # evaluations without improvement of the validation loss before a phase ends (of one_cycle: in the last third of its
    # steps); null: no early stopping
    early_stopping_patience: int | None
    num_seeds: int  # seeds
    noise: tuple[str, ...]  # "kind level": noise added to the input; the target is clean
    augment: tuple[str, ...]  # "kind most": random transforms of training images, see augmentation.py
    preview_steps: tuple[int, ...]  # the preview is drawn at the first evaluation after so many steps, and at the end
    # what the history holds beside the mean losses, as tutorials print it. batches: the loss of the last batch before
    # each evaluation, and the standard deviation over batches; accuracy: the share of validation values with
    # round(x_hat) == x, Keras' "accuracy"
    history: tuple[Literal["batches", "accuracy"], ...] = field(default=(), kw_only=True, metadata=OPTION)
    # the classes that a model learns; it is judged by how it tells all others from them, and by nothing else; null: all
    normal: tuple[str | int, ...] | None = field(default=None, kw_only=True, metadata=OPTION)

    def __post_init__(self) -> None:
        for key, least in (
            ("batch_size", 1),
            ("max_epochs", 1),
            ("max_steps", 1),
            ("eval_every", 1),
            ("num_seeds", 1),
            ("weight_decay", 0),
            ("early_stopping_patience", 1),
        ):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ValueError(f"{key}: {value} is out of range; allowed: {least} or more")
        if (self.max_epochs is None) == (self.max_steps is None):
            raise ValueError(
                f"max_steps: {self.max_steps} beside max_epochs: {self.max_epochs} is wrong; allowed: one of them, "
                "the other null"
            )
        if self.schedule == "rising_momentum" and self.optimizer != "sgd":
            raise ValueError(f"schedule: rising_momentum with {self.optimizer} is wrong; allowed: with sgd")
        if self.normal == ():
            raise ValueError("normal: names no class; allowed: one or more classes of the data set, null")
        if not 0 < self.lr < float("inf"):
            raise ValueError(f"lr: {self.lr} is out of range; allowed: above 0")
        if self.augment:
            from aelab.training import augmentation

            augmentation.parse(self.augment)
        if self.noise:
            from aelab.data.corruption import Noise

            for text in self.noise:
                Noise.parse(text)

    def auxiliary(self, max_steps: int, num_seeds: int) -> Training:
        """These settings for `capacity` and `noise_transfer`: so many steps and seeds, no preview."""
        return dataclasses.replace(self, max_steps=max_steps, max_epochs=None, num_seeds=num_seeds, preview_steps=())

    def steps_per_epoch(self, images: int) -> int:
        """Optimizer steps that see each of `images` training images once."""
        return math.ceil(images / self.batch_size)

    def steps(self, images: int) -> int:
        """The budget of a phase with `images` training images, in optimizer steps."""
        return self.max_steps or (self.max_epochs or 0) * self.steps_per_epoch(images)

    def steps_between(self, images: int) -> int:
        """Optimizer steps between two evaluations."""
        return self.eval_every or self.steps_per_epoch(images)


@dataclass(frozen=True)
class Finetune(Training):
    """How a pretrained stack is fine-tuned as a classifier, once per label budget.

    A budget is a number of labelled training images; at most as many validation images are used. A budget
    in epochs and the patience are those with all labels (see `for_labels`); one in steps is for any number of them.
    """

    labels: tuple[int | Literal["all"], ...]

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.labels or any(budget != "all" and budget < 1 for budget in self.labels):
            raise ValueError(f"labels: {list(self.labels)} is out of range; allowed: numbers above 0, all")
        if len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels: {list(self.labels)} names one twice; allowed: different budgets")

    def for_labels(self, labelled: int, images: int) -> Finetune:
        """The settings for `labelled` of all `images`: a budget in epochs, and the patience, times
        sqrt(images / labelled); a budget in steps as it is.

        This lies half-way between equal numbers of epochs and equal numbers of updates: a hundredth of the labels gets
        ten times the epochs and a tenth of the updates. Raises ValueError if there are fewer images than `labelled`.
        """
        if labelled > images:
            raise ValueError(f"labels: {labelled} is wrong; allowed: up to the {images} training images there are, all")
        if self.max_epochs is None:
            return self
        factor = math.sqrt(images / labelled)
        patience = None if self.early_stopping_patience is None else round(factor * self.early_stopping_patience)
        return dataclasses.replace(self, max_epochs=round(factor * self.max_epochs), early_stopping_patience=patience)


@dataclass(frozen=True)
class Capacity:
    """The grid of dense autoencoders: every depth with every code size, trained with the settings of `train` but for
    the number of steps and seeds; without seeds it is left out."""

    depths: tuple[int, ...]  # layers of the encoder
    latent_dims: tuple[int, ...]  # code sizes
    hidden: int  # units of every hidden layer
    max_steps: int
    num_seeds: int

    def __post_init__(self) -> None:
        if self.num_seeds < 0:
            raise ValueError(f"num_seeds: {self.num_seeds} is out of range; allowed: 0 or more")
        for key in ("depths", "latent_dims", "hidden", "max_steps"):
            value = getattr(self, key)
            if not value or min(value if isinstance(value, tuple) else [value]) < 1:
                raise ValueError(f"{key}: {value} is out of range; allowed: 1 or more")
        for key in ("depths", "latent_dims"):
            if len(set(getattr(self, key))) < len(getattr(self, key)):
                raise ValueError(f"{key}: {list(getattr(self, key))} names one twice; allowed: different numbers")

    def pairs(self) -> list[tuple[int, int]]:
        """(depth, latent dimension) of every net."""
        return list(itertools.product(self.depths, self.latent_dims))

    def widths(self, depth: int, code: int) -> tuple[int, ...]:
        """The widths of the encoder's layers."""
        return (*[self.hidden] * (depth - 1), code)


@dataclass(frozen=True)
class NoiseTransfer:
    """The denoising autoencoder (sigmoid, tied weights) that is trained on each noise, with the settings of `train` but
    for the number of steps and seeds; without seeds it is left out."""

    widths: tuple[int, ...]  # widths of the encoder's layers
    max_steps: int
    num_seeds: int

    def __post_init__(self) -> None:
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths: {list(self.widths)} is wrong; allowed: one or more positive numbers")
        for key, least in (("max_steps", 1), ("num_seeds", 0)):
            if getattr(self, key) < least:
                raise ValueError(f"{key}: {getattr(self, key)} is out of range; allowed: {least} or more")
