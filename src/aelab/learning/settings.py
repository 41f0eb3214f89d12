"""The knobs of learning: the blocks `train`, `pretrain` and `finetune` of params.yaml, which an entry may override."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Training:
    """How a model learns; the epoch that was best on validation is kept."""

    optimizer: Literal["adam", "adamw", "sgd"]
    lr: float
    schedule: Literal["constant", "one_cycle"]
    weight_decay: float
    batch: int
    epochs: int  # per phase
    epochs_factor: dict[str, float]  # data set -> factor on `epochs`
    batch_factor: dict[str, float]  # data set -> factor on `batch`
    patience: int | None  # epochs without a better validation value before a phase ends; null: all epochs
    replicates: int  # seeds
    noise: tuple[str, ...]  # "kind level": the model sees x so corrupted and is to rebuild the clean x
    panel: tuple[int, ...]  # epochs after which the panel of validation digits is drawn; the last one always is

    def __post_init__(self) -> None:
        for key, least in (
            ("batch", 1),
            ("epochs", 1),
            ("replicates", 1),
            ("weight_decay", 0),
            ("patience", 1),
        ):
            value = getattr(self, key)
            if value is not None and value < least:
                raise ValueError(f"{key}: {value} is out of range; allowed: {least} or more")
        if not 0 < self.lr < float("inf"):
            raise ValueError(f"lr: {self.lr} is out of range; allowed: above 0")
        for key in ("epochs_factor", "batch_factor"):
            if any(not 0 < factor < 1e6 for factor in getattr(self, key).values()):
                raise ValueError(f"{key}: {getattr(self, key)} is out of range; allowed: numbers above 0")
        if self.noise:
            from aelab.corruption import Noise

            for words in self.noise:
                Noise.parse(words)
