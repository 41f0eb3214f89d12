"""Trained models for use: arrays in, codes or images out; wrong shapes are refused in one line.

    vae = predictor.load("vae")
    codes = vae.encode(images)              # [N, 28, 28], [N, 1, 28, 28] or [N, 784]
    images = vae.decode(codes)              # float32 0 to 1, [N, 1, 28, 28]

Pixels are integers 0 to 255, or floats 0 to 1. The dtype decides: the integer 1 is almost black. Models of tables take
pandas frames with the raw columns, those of series arrays [N, T, features] (see rows.inputs); scaling is theirs.

    complete = predictor.load("dae_masking").fill(frame)    # missing cells filled, all others as they are
"""

from __future__ import annotations

import contextlib
import difflib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, nn

from aelab.config import params, runtime, seeding
from aelab.data import storage
from aelab.data.columns import decode
from aelab.data.tensors import mapped
from aelab.inference import rows
from aelab.models.common import Autoencoder, Generative, Spec, registry
from aelab.runner import stage
from aelab.tracking import models
from aelab.training import artifacts, weight_files
from aelab.training.classifier import Classifier, predictions

PIXELS = "whole numbers 0 to 255, or floats 0 to 1"


@dataclass(frozen=True)
class Predictor:
    """A trained model. labels: classes int [N] in 0, 1, ..., for models that need them.

    replicate: the number of its seed; weights: the MD5 of their file; root: the folder of the pipeline that trained it;
    about: its metrics.json.
    """

    name: str
    model: nn.Module
    spec: Spec
    replicate: int = 0
    weights: str = ""
    root: Path = Path()
    about: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def cannot(self, task: str) -> str:
        """Why the model cannot `decode`, `denoise` or `sample`; empty if it can."""
        if task == "sample":
            return "" if isinstance(self.model, Generative) else f"{self.name}: has no prior to draw from"
        if not isinstance(self.model, Autoencoder):
            return f"{self.name}: a classifier, it has no decoder"
        return f"{self.name}: its codes alone decode to nothing" if task == "decode" and not self.model.decodes else ""

    def encode(self, images: Any, labels: np.ndarray | None = None) -> np.ndarray:
        """Images, rows or series -> codes float32 [N, K]; for a classifier, its last hidden layer.

        Raises ValueError for wrong shapes or values.
        """
        return self.through(self.encoder, self.inputs(images), labels)

    def decode(self, codes: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Codes [N, K] -> images float32 [N, C, H, W] in 0 to 1; raw numbers of series [N, T, features], of a table [N,
        columns], a category as its place among those of training.

        Raises ValueError for wrong shapes or values, and for a model that cannot decode a code alone.
        """
        model, result = self.autoencoder("decode"), np.asarray(codes)
        if result.ndim != 2 or not len(result) or result.shape[1] != self.width:
            raise ValueError(f"codes: {list(result.shape)}; {self.name} takes [N, {self.width}]")
        if result.dtype.kind not in "fiub" or not np.isfinite(result).all():
            raise ValueError(f"codes: {result.dtype}, not all of them finite numbers")
        return self.raw(self.through(model.decode, torch.from_numpy(result.astype(np.float32)), labels))

    def rebuild(self, images: Any, labels: np.ndarray | None = None) -> Any:
        """Images -> reconstructions float32 [N, C, H, W] in 0 to 1; clean images from a denoiser. Frames -> frames."""
        made = self.through(self.autoencoder("denoise").reconstruct, self.inputs(images), labels)
        return rows.rebuilt(torch.from_numpy(made), self.spec, images) if self.spec.columns else self.raw(made)

    def fill(self, given: Any, labels: np.ndarray | None = None) -> Any:
        """A frame or series -> the same with its missing cells filled. Raises ValueError for a model of images."""
        if not self.spec.columns:
            raise ValueError(f"{self.name}: a model of images, which have no missing cells")
        made = self.through(self.autoencoder("denoise").reconstruct, self.inputs(given), labels)
        return rows.filled(torch.from_numpy(made), self.spec, given)

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Images -> the most likely class of each, int64 [N]. Raises ValueError for a model that is no classifier."""
        if not isinstance(self.model, Classifier):
            raise ValueError(f"{self.name}: no classifier")
        return predictions(self.model, self.inputs(images)).numpy()

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """n new images float32 [n, C, H, W] in 0 to 1, rows or series as `decode` gives them. Raises ValueError for a
        model without a prior."""
        if not isinstance(self.model, Generative):
            raise ValueError(self.cannot("sample"))
        with torch.no_grad():
            return self.raw(self.model.sample(n, seeding.generator(seed, "sample")).numpy())

    def raw(self, made: np.ndarray) -> np.ndarray:
        """What a decoder puts out, in the units of the data."""
        return decode(self.spec.columns, made).astype(np.float32) if self.spec.columns else made.clip(0, 1)

    def inputs(self, given: Any) -> torch.Tensor:
        """Data in the model's format. Raises ValueError for another one."""
        return rows.inputs(given, self.spec, self.name) if self.spec.columns else self.images(given)

    @functools.cached_property
    def needs_labels(self) -> bool:
        """Whether the model needs the labels of images."""
        try:
            self.encoder(torch.zeros(1, *self.spec.shape))
        except ValueError:
            return True
        return False

    @functools.cached_property
    def width(self) -> int:
        """The latent dimension."""
        blank = torch.zeros(1, *self.spec.shape)
        with torch.no_grad():
            return self.encoder(blank, torch.zeros(1, dtype=torch.int64)).shape[1]

    @property
    def encoder(self) -> Callable[..., torch.Tensor]:
        """Images [B, C, H, W] -> codes [B, K], with labels [B] if the model needs them."""
        assert isinstance(self.model, Autoencoder | Classifier)
        return self.model.encode

    def autoencoder(self, task: str) -> Autoencoder:
        """The model, for a task that needs a decoder. Raises ValueError if it has none."""
        if reason := self.cannot(task):
            raise ValueError(reason)
        assert isinstance(self.model, Autoencoder)
        return self.model

    def through(self, function: Any, x: torch.Tensor, labels: np.ndarray | None) -> np.ndarray:
        """function(x, labels), in chunks that fit into memory. Raises ValueError for wrong or missing labels."""
        n = len(x)
        if labels is None:
            if self.needs_labels:
                allowed = f"{n} whole numbers below {self.spec.classes}"
                raise ValueError(f"{self.name}: needs the labels of the images; `labels` allowed: {allowed}")
            return mapped(function, x).numpy()
        result = np.asarray(labels)
        known = set(range(self.spec.classes))
        if result.shape != (n,) or result.dtype.kind not in "iu" or not set(np.unique(result)) <= known:
            is_now = f"{result.dtype} {list(result.shape)}"
            raise ValueError(f"labels: {is_now}; allowed: {n} whole numbers below {self.spec.classes}")
        return mapped(function, x, torch.from_numpy(result.astype(np.int64))).numpy()

    def images(self, images: np.ndarray) -> torch.Tensor:
        """Images in the model's format, float32 [N, C, H, W] in 0 to 1."""
        result, shape = np.asarray(images), self.spec.shape
        forms = {shape, shape[1:] if shape[0] == 1 else shape, (self.spec.pixels,)}
        if result.ndim < 2 or not len(result) or result.shape[1:] not in forms:
            allowed = " or ".join(str([None, *form]).replace("None", "N") for form in sorted(forms, key=len))
            raise ValueError(f"images: {list(result.shape)}; {self.name} takes {allowed}")
        if result.dtype.kind not in "fiub":
            raise ValueError(f"images: {result.dtype}; allowed: {PIXELS}")
        low, high, most = result.min(), result.max(), 255 if result.dtype.kind in "iu" else 1
        if not (low >= 0 and high <= most):  # both are false for NaN
            raise ValueError(f"images: {result.dtype} from {low} to {high}; allowed: {PIXELS}")
        return torch.from_numpy(result.astype(np.float32) / np.float32(most)).view(len(result), *shape)


def load(name: str, replicate: int = 0, root: Path = Path()) -> Predictor:
    """One replicate of the model `name` of the pipeline in `root`.

    Raises ValueError with the existing names, and what `of` raises.
    """
    return of(name, described(name, root), replicate, root)


def find(name: str, root: Path = Path()) -> tuple[str, dict[str, Any], Path]:
    """A model's name, its description for `of`, and the root of its weights.

    name: a trained model of the pipeline in `root`, or a registry name such as denoiser@champion. Raises ValueError.
    """
    if "@" in name:
        return models.champion(name)
    return name, described(name, root), root


def able(task: str, root: Path = Path()) -> list[str]:
    """The models of the pipeline in `root` that can `decode`, `denoise` or `sample`."""
    result = {file.parent.name: storage.load_json(file) for file in measured(root)}
    nets = {name: about.get("samples") for name, about in result.items() if about["kind"] != "classifier"}
    samples = {"decode": ("prior", "random codes"), "denoise": ("prior", "random codes", None), "sample": ("prior",)}
    return [name for name, drawn_from in nets.items() if drawn_from in samples[task]]


def measured(root: Path) -> list[Path]:
    """The metrics.json of every evaluated model."""
    return sorted((root / stage.folder("evaluate")).glob("*/metrics.json"))


def described(name: str, root: Path = Path()) -> dict[str, Any]:
    """The metrics.json of a model. Raises ValueError with the existing names."""
    files = {file.parent.name: file for file in measured(root)}
    if name not in files:
        near = difflib.get_close_matches(name, files, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        there = ", ".join(files) or "none: `aelab repro` trains them"
        raise ValueError(f"{name}: no such model{hint}; there are: {there}; or a champion such as encoder@champion")
    return storage.load_json(files[name])


def of(name: str, about: Mapping[str, Any], replicate: int = 0, root: Path = Path()) -> Predictor:
    """One replicate of the model that `about` describes.

    about: kind, family, config, shape, classes; source: the folder of its weights below root; weights: file -> MD5. For
    a stack, the classifier of its largest label budget. Weights that have changed since are taken from DVC's cache.
    Raises ValueError for an unknown replicate, FileNotFoundError if the weights are gone.
    """
    runtime.pin("cpu", 1)
    if about["family"] not in params.families():
        raise ValueError(f"{name}: its family {about['family']!r} is unknown; allowed: {', '.join(params.families())}")
    files = [file for file in about["weights"] if Path(file).name == f"weights-{replicate}.safetensors"]
    if not files:
        seeds = len({Path(file).name for file in about["weights"]})
        raise ValueError(f"replicate: {replicate} is out of range; {name} has 0 to {seeds - 1}")
    spec = artifacts.spec_of(about)
    model: nn.Module = registry.build(about["family"], about["config"], spec, Generator())
    if about["kind"] == "classifier":
        model = Classifier(model, spec)  # type: ignore[arg-type]
    path = weights(root, Path(about["source"], files[-1]), about["weights"][files[-1]])
    model.load_state_dict(weight_files.load_weights(path))
    return Predictor(name, model.eval(), spec, replicate, about["weights"][files[-1]], root, about)


def weights(root: Path, file: Path, md5: str) -> Path:
    """The path of a file with this MD5: in its place, or in DVC's cache. Raises FileNotFoundError."""
    place = root / file
    if place.is_file() and storage.md5(place) == md5:
        return place
    from aelab.runner.dvc_api import NotDvcRepoError, Repo

    with contextlib.suppress(NotDvcRepoError), Repo(str(root)) as repo:
        kept = Path(repo.cache.local.path, md5[:2], md5[2:])
        if kept.is_file() and storage.md5(kept) == md5:
            return kept
    raise FileNotFoundError(2, "other weights lie there and DVC's cache lacks these", str(file))
