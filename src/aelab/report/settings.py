"""The section `compare:`: which entries the figures show."""

from __future__ import annotations

from dataclasses import dataclass, fields

# figure -> maximum number of entries, so that it stays readable
LIMITS = {
    "codes": 8,
    "codes_3d": 4,
    "grids": 9,
    "chosen": 4,
    "by_class": 4,
    "clusters": 4,
    "swaps": 4,
    "masked": 8,
    "samples": 19,
    "plain": 1,
    "filters": 6,
    "units": 6,
    "interpolations": 12,
    "epochs": 8,
    "noisy_epochs": 5,
    "denoising": 12,
    "pca": 24,
}


@dataclass(frozen=True)
class Compare:
    """Names of entries by figure, in the order of drawing; unknown names are left out.

    Without a list (null, or no such key) a figure shows what it can: see figures/selection.py.
    """

    filters: tuple[str, ...] | None = None  # first-layer weights: the same net without and with noise
    units: tuple[str, ...] | None = None  # inputs that maximise a unit: without and with sparsity
    samples: tuple[str, ...] | None = None  # samples of generative models from their prior
    plain: str | None = None  # the model whose random codes are shown beside the samples
    interpolations: tuple[str, ...] | None = None
    epochs: tuple[str, ...] | None = None  # reconstructions during training
    denoising: tuple[str, ...] | None = None  # rows of the denoising figure
    noisy_epochs: tuple[str, ...] | None = None  # trained on clean images: noisy digits during training
    pca: tuple[str, ...] | None = None  # reconstructions beside those of PCA with the same latent dimension
    figures: tuple[str, ...] | None = None  # file names of the figures to draw, without .png; null: all

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            names = (value,) if isinstance(value, str) else value
            if names is not None and not (names and all(names)):
                raise ValueError(f"{field.name}: {value!r} is wrong; allowed: null, or one name of an entry or more")
            if names is not None and len(names) > LIMITS.get(field.name, len(names)):
                raise ValueError(f"{field.name}: {len(names)} names; allowed: up to {LIMITS[field.name]}")
