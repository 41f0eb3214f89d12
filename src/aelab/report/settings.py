"""The knobs of `compare`: which models the figures set side by side."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Compare:
    """Names of entries, by figure; a name that `models:` and `stacks:` do not hold is left out of its figure."""

    codes: tuple[str, ...]  # 2-D codes, beside PCA
    filters: tuple[str, ...]  # first-layer weights, without and with denoising
    units: tuple[str, ...]  # the input that most excites each unit, without and with sparsity
    samples: tuple[str, ...]  # generative models
    plain: str  # the model whose random codes are shown beside the samples
    interpolations: tuple[str, ...]
    epochs: tuple[str, ...]  # validation digits in the course of learning
    denoising: tuple[str, ...]  # models in the denoising panels

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value:
                raise ValueError(f"{field.name}: {value!r} is empty; allowed: names of models")
