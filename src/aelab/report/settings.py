"""The knobs of `compare`: which entries the figures set side by side."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Compare:
    """Names of entries, by figure; a name that `models:` does not hold is left out of its figure."""

    codes: tuple[str, ...]  # 2-D codes, beside PCA
    filters: tuple[str, ...]  # first-layer weights: the same net without and with noise
    units: tuple[str, ...]  # the input that most excites each unit: without and with sparsity
    samples: tuple[str, ...]  # generative models, drawn from their prior
    plain: str  # the model whose random codes are shown beside the samples
    interpolations: tuple[str, ...]
    epochs: tuple[str, ...]  # validation digits in the course of learning
    denoising: tuple[str, ...]  # rows of the denoising figure
    noisy_epochs: tuple[str, ...]  # learned from clean images: noisy digits in the course of learning
    codes_3d: tuple[str, ...]  # 3-D codes
    pca: tuple[str, ...]  # reconstructions beside those of PCA with as many numbers
    grids: tuple[str, ...]  # 2-D codes decoded on a grid
    chosen: tuple[str, ...]  # 3-D codes decoded inside and outside of where codes lie
    by_class: tuple[str, ...]  # told the label: the same codes under every label
    clusters: tuple[str, ...]  # one choice per image: what every choice decodes to
    swaps: tuple[str, ...]  # content of one image, style of another
    masked: tuple[str, ...]  # hidden patches rebuilt

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value or not all(value):
                raise ValueError(f"{field.name}: {value!r} is wrong; allowed: one name of an entry or more")
