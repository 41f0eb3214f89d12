"""`aelab use`: a study of the user's own files, with the entries of the catalogue that suit them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from aelab.cli import study
from aelab.config import params, roundtrip
from aelab.data.columns import KINDS
from aelab.sources import own
from aelab.sources.published import SOURCES
from aelab.sources.series import ANOMALY, NORMAL
from aelab.sources.settings import Dataset

# the entries for each kind; {channels}: downsampled so often that some 7 pixels are left; {code}: numbers per code
IMAGE = """
mean: {{family: closed_form, components: 0, num_seeds: 1}}
pca: {{family: closed_form, components: 32, num_seeds: 1}}
ae: {{family: dense, widths: [32], code_activation: relu, lr: 4e-3}}
deep_ae: {{family: dense, widths: [500, 250, 32], lr: 1e-3}}
dae: {{family: dense, widths: [500], code_activation: sigmoid, tied: true, noise: [masking 0.25]}}
vae: {{family: vae, hidden: [400], latent_dim: 32}}
conv_ae: {{family: conv, channels: {channels}, latent_dim: 32}}
conv_dae: {{family: conv, channels: [32, 32], noise: [gaussian 0.25, masking 0.25, salt_pepper 0.1]}}
conv_vae: {{family: conv_vae, channels: {channels}, latent_dim: 32}}
"""
WIDE_IMAGE = """
mean: {{family: closed_form, components: 0, num_seeds: 1}}
pca: {{family: closed_form, components: 32, num_seeds: 1}}
ae: {{family: dense, widths: [32], code_activation: relu}}
deep_ae: {{family: dense, widths: [128, 64, 32], lr: 2e-3}}
dae: {{family: dense, widths: [128], lr: 2e-3, noise: [masking 0.25]}}
vae: {{family: vae, hidden: [128], latent_dim: 32, lr: 2e-3}}
conv_ae: {{family: conv, channels: {channels}, latent_dim: 32, batch_size: 32}}
conv_dae: {{family: conv, channels: [16, 32], batch_size: 32, noise: [gaussian 0.25, masking 0.25, salt_pepper 0.1]}}
conv_vae: {{family: conv_vae, channels: {channels}, latent_dim: 32, batch_size: 32}}
"""
MASKED = (
    "masked: {{family: masked_ae, patch: {patch}, embed_dim: 64, depth: 2, heads: 4, "
    "decoder_embed_dim: 32, decoder_depth: 1{batch}}}\n"
)
TABLE = """
mean: {{family: closed_form, components: 0, num_seeds: 1}}
pca: {{family: closed_form, components: {code}, num_seeds: 1}}
ae: {{family: dense, widths: [64, {code}], output: linear, loss: mse}}
deep_ae: {{family: dense, widths: [128, 64, {code}], output: linear, loss: mse}}
vae: {{family: vae, hidden: [128], latent_dim: {code}, beta: 0.1}}
dae_masking: {{family: dense, widths: [256, 256], output: linear, loss: mse, noise: [masking 0.2]}}
dae_swap: {{family: dense, widths: [256, 256], output: linear, loss: mse, noise: [swap 0.15]}}
table_dae: {{family: table_dae, widths: [256, 256, 256], noise: [swap 0.15]}}
table_dae_mask: {{family: table_dae, widths: [256, 256, 256], mask_weight: 0.1, noise: [swap 0.15]}}
"""
SERIES = """
mean: {{family: closed_form, components: 0, num_seeds: 1}}
pca: {{family: closed_form, components: {code}, num_seeds: 1}}
ae: {{family: dense, widths: [128, {code}], output: linear, loss: mse}}
dae: {{family: dense, widths: [256], output: linear, loss: mse, noise: [span 0.2, gaussian 0.3]}}
vae: {{family: vae, hidden: [128], latent_dim: {code}, beta: 0.1}}
conv1d: {{family: conv1d, channels: {channels}, latent_dim: {code}}}
conv1d_dae: {{family: conv1d, channels: [32, 32], noise: [span 0.2, gaussian 0.3]}}
lstm: {{family: lstm, units: 64, predict_next: true, output: linear, loss: mse, max_steps: {recurrent}}}
"""
MASKED_SERIES = (
    "masked: {{family: masked_ae, patch: {patch}, embed_dim: 32, depth: 2, heads: 4, "
    "decoder_embed_dim: 16, decoder_depth: 1, mask_ratio: 0.5}}\n"
)
EXAMPLES = {
    "colour": "sprites",
    "table": "breast_cancer",
    "table-mixed": "customers",
    "series": "gunpoint",
    "series-anomaly": "pulses",
}  # published data sets
WIDE = 2000  # values of an item, above which nets are narrower and budgets smaller
WIDE_BUDGETS: dict[str, dict[str, Any]] = {  # by section
    "train": {"max_steps": 500},
    "baselines": {"classifier_steps": 200, "max_ood_images": 300},
    "capacity": {"max_steps": 200, "latent_dims": [2, 32]},
    "noise_transfer": {"max_steps": 200, "widths": [64]},
    "evaluate": {"nll_images": 50},
}
NOISES = {
    "image": ("gaussian 0.25", "masking 0.25", "salt_pepper 0.1"),
    "table": ("masking 0.1", "masking 0.3", "swap 0.15"),
    "series": ("gaussian 0.3", "span 0.2", "salt_pepper 0.05"),
}
FIGURES = {
    "image": {"plain": "ae", "noisy_epochs": ["conv_ae", "ae"], "denoising": ["conv_dae", "dae", "conv_ae"]},
    "table": {},
    "series": {},
}
CHANNELS = (32, 64, 64, 64, 64)
WIDE_CHANNELS = (16, 32, 64, 64, 64)
LEFT = 7  # pixels of the shorter side, or steps, after the last halving, about
TOKENS = 8  # patches along the shorter side, or in time, about
CODES = (2, 32)  # numbers per code of a row, at least and at most: a quarter of its inputs; of series a tenth


def use(dataset: Dataset, say: Callable[[str], object], normal: Sequence[str] = ()) -> Path:
    """Look at the files of `dataset`, say what they are, and make a study of them; returns its folder.

    normal: the classes that are normal, all others are anomalies; without, those that are named so, if any.
    A published data set of EXAMPLES needs no look. Raises ValueError that says in one line what is wrong, and OSError.
    """
    study.free(dataset.name)
    if not dataset.path:
        source = SOURCES[dataset.name]
        say(source.title)
        usual = normal or named_normal(source.classes)
        return study.create(dataset.name, settings(params.FILE.read_text(), dataset, source.shape(), usual))
    found = own.look(dataset)
    for line in found.says():
        say(line)
    if unknown := [name for name in normal if name not in found.classes]:
        raise ValueError(f"--normal: no class {unknown[0]!r}; there are: {', '.join(found.classes) or 'none'}")
    usual = normal or named_normal(tuple(found.classes), getattr(found, "label", ""))
    if usual:
        say(f"normal: {', '.join(usual)}; models learn from these alone, all other classes are anomalies to find")
    text = settings(params.FILE.read_text(), dataset, found.shape, usual)
    folder = study.create(dataset.name, text, Path(dataset.path or ""))
    say(f"{folder}/params.yaml holds the models that suit them, and how they learn")
    return folder


def named_normal(classes: Sequence[str], label: str | None = "") -> tuple[str, ...]:
    """The classes whose name says that they are normal, if there are others too. label: the column that holds them."""
    known = [name for name in classes if name.lower() in ("normal", "good") or (label == ANOMALY and name in NORMAL)]
    return tuple(known) if len(known) < len(classes) else ()


def settings(text: str, dataset: Dataset, shape: tuple[int, ...], normal: Sequence[str] = ()) -> str:
    """The params.yaml of the study, from that at the top. shape: of an item; normal: its normal classes."""
    kind = KINDS[len(shape)]
    shares = {"image": 1, "table": 4, "series": 10}  # of an item's values
    code = max(CODES[0], min(CODES[1], math.prod(shape) // shares[kind]))

    def edit(tree: Any) -> None:
        tree.pop("sweeps", None)
        given = {key: value for key, value in vars(dataset).items() if value and (key, value) != ("scale", "rank")}
        if not dataset.path:
            given.pop("kind")
        given |= {"drop": roundtrip.flow(list(dataset.drop))} if dataset.drop else {}
        tree["data"] = roundtrip.flow(given)
        tree["models"] = roundtrip.parsed(ENTRIES[kind](shape, code))
        for group in ("stacks", "narrow_stacks", "unrolled"):
            tree.ca.items.pop(group, None)
            tree[group] = roundtrip.flow({})
        tree["corrupt"]["noises"] = roundtrip.flow(list(NOISES[kind]))
        tree["train"] |= {"max_steps": 2000, "num_seeds": 2}
        tree["baselines"] |= {"classifier_steps": 500, "latent_dim": code}
        if kind != "image":
            tree["baselines"]["few_shot_repeats"] = 10
        if normal:
            tree["prepare"]["normal"] = roundtrip.flow(list(normal))
        for section in ("capacity", "noise_transfer"):
            tree[section] |= {"max_steps": 300, "num_seeds": 1}
        sizes = [size for size in (2, 8, 32) if size < math.prod(shape)] or [1]
        tree["capacity"] |= {"depths": roundtrip.flow([1, 2]), "latent_dims": roundtrip.flow(sizes)}
        tree["compare"] = roundtrip.flow(FIGURES[kind])
        for section, budgets in WIDE_BUDGETS.items() if math.prod(shape) > WIDE else ():
            tree[section] |= {
                key: roundtrip.flow(value) if isinstance(value, list) else value for key, value in budgets.items()
            }

    return roundtrip.edited(text, edit)


def of_table(shape: tuple[int, ...], code: int) -> str:
    """The block `models:` for rows [D]."""
    return TABLE.format(code=code)


def of_series(shape: tuple[int, ...], code: int) -> str:
    """The block `models:` for series [T, D]; a recurrent net reads long ones slowly, and gets fewer updates."""
    levels = max(1, min(3, (shape[0] // LEFT).bit_length() - 1))
    text = SERIES.format(code=code, channels=list(CHANNELS[:levels]), recurrent=500 if shape[0] > 64 else 2000)
    patch = patch_of(shape[:1])
    return text + MASKED_SERIES.format(patch=patch) if patch else text


def of_images(shape: tuple[int, ...], code: int) -> str:
    """The block `models:` for images [C, H, W]."""
    side = min(shape[1:])
    levels = max(1, min(len(CHANNELS), (side // LEFT).bit_length() - 1))
    wide = math.prod(shape) > WIDE
    text, channels = (WIDE_IMAGE, WIDE_CHANNELS) if wide else (IMAGE, CHANNELS)
    text = text.format(channels=list(channels[:levels]))
    patch = patch_of(shape[1:])
    return text + MASKED.format(patch=patch, batch=", batch_size: 32" if wide else "") if patch else text


def patch_of(sides: tuple[int, ...]) -> int:
    """The side of a patch that divides all sides into about TOKENS, 0 without one."""
    fits = [size for size in range(2, min(sides) // 3 + 1) if all(n % size == 0 for n in sides)]
    return min(fits, key=lambda size: abs(min(sides) / size - TOKENS), default=0)


ENTRIES: dict[str, Callable[[tuple[int, ...], int], str]] = {
    "image": of_images,
    "table": of_table,
    "series": of_series,
}
