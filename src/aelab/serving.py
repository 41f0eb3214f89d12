"""Trained models for use: arrays in, codes or images out, and wrong shapes refused in one line.

vae = serving.load("vae")
codes = vae.encode(images)              # uint8 0 to 255 or float 0 to 1; [N, 28, 28], [N, 1, 28, 28] or [N, 784]
images = vae.decode(codes)              # float32 0 to 1, [N, 1, 28, 28]
"""

from __future__ import annotations

import difflib
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, nn

from aelab.core import checkpoints, params, runtime, stage
from aelab.data.tensors import mapped
from aelab.learning.classifier import Classifier, predictions
from aelab.models.base import Autoencoder, Generative, Spec, registry
from aelab.tracking import models


@dataclass(frozen=True)
class Served:
    """A trained model. labels: classes int [N] in 0, 1, ..., which models that are told the class ask for."""

    name: str
    model: nn.Module
    spec: Spec

    def encode(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images -> codes float32 [N, K]. Raises ValueError for wrong shapes or values."""
        x = self.images(images)
        return self.through(self.autoencoder().encode, x, labels)

    def decode(self, codes: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Codes [N, K] -> images float32 [N, C, H, W] in 0 to 1. Raises ValueError for wrong shapes, and for a model
        whose codes alone decode to nothing."""
        model, z = self.autoencoder(), torch.from_numpy(np.asarray(codes, np.float32))
        if not model.decodes:
            raise ValueError(f"{self.name}: its codes alone decode to nothing")
        if z.dim() != 2 or z.shape[1] != self.width:
            raise ValueError(f"codes: {list(z.shape)}; {self.name} takes [N, {self.width}]")
        return self.through(model.decode, z, labels).clip(0, 1)

    def rebuild(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images -> what the model makes of them, float32 [N, C, H, W] in 0 to 1: of a denoiser, clean images."""
        x = self.images(images)
        return self.through(self.autoencoder().reconstruct, x, labels).clip(0, 1)

    def classify(self, images: np.ndarray) -> np.ndarray:
        """Images -> the most likely class of each, int64 [N]. Raises ValueError for a model that is no classifier."""
        x = self.images(images)
        if not isinstance(self.model, Classifier):
            raise ValueError(f"{self.name}: no classifier")
        return predictions(self.model, x).numpy()

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """n new images float32 [n, C, H, W] in 0 to 1. Raises ValueError for a model without a prior."""
        if not isinstance(self.model, Generative):
            raise ValueError(f"{self.name}: has no prior to draw from")
        with torch.no_grad():
            return self.model.sample(n, runtime.generator(seed, "sample")).clamp(0, 1).numpy()

    @functools.cached_property
    def told(self) -> bool:
        """Whether the model must be told the class of an image."""
        try:
            self.autoencoder().encode(torch.zeros(1, *self.spec.shape))
        except ValueError:
            return True
        return False

    @functools.cached_property
    def width(self) -> int:
        """Numbers of a code."""
        blank = torch.zeros(1, *self.spec.shape)
        with torch.no_grad():
            return self.autoencoder().encode(blank, torch.zeros(1, dtype=torch.int64)).shape[1]

    def autoencoder(self) -> Autoencoder:
        """The model, where it is one. Raises ValueError."""
        if not isinstance(self.model, Autoencoder):
            raise ValueError(f"{self.name}: a classifier, it has no codes to decode")
        return self.model

    def through(self, function: Any, x: torch.Tensor, labels: np.ndarray | None) -> np.ndarray:
        """function(x, labels), in parts that fit into memory. Raises ValueError where labels are wrong or missing."""
        if labels is None:
            return mapped(function, x).numpy()
        found, n = np.asarray(labels), len(x)
        known = set(range(self.spec.classes))
        if found.shape != (n,) or found.dtype.kind not in "iu" or not set(np.unique(found)) <= known:
            is_now = f"{found.dtype} {list(found.shape)}"
            raise ValueError(f"labels: {is_now}; allowed: {n} whole numbers below {self.spec.classes}")
        return mapped(function, x, torch.from_numpy(found.astype(np.int64))).numpy()

    def images(self, images: np.ndarray) -> torch.Tensor:
        """Images as the model takes them, float32 [N, C, H, W] in 0 to 1."""
        found, shape = np.asarray(images), self.spec.shape
        forms = {shape, shape[1:] if shape[0] == 1 else shape, (self.spec.pixels,)}
        if found.ndim < 2 or not len(found) or found.shape[1:] not in forms:
            allowed = " or ".join(str([None, *form]).replace("None", "N") for form in sorted(forms, key=len))
            raise ValueError(f"images: {list(found.shape)}; {self.name} takes {allowed}")
        if found.dtype == np.uint8:
            found = found.astype(np.float32) / 255
        if found.dtype.kind not in "fiub":
            raise ValueError(f"images: {found.dtype}; allowed: uint8 0 to 255, numbers from 0 to 1")
        found = found.astype(np.float32)
        if not (np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1):
            raise ValueError("images: values outside 0 to 1; allowed: uint8 0 to 255, numbers from 0 to 1")
        return torch.from_numpy(found).view(len(found), *shape)


def load(name: str, replicate: int = 0, root: Path = Path()) -> Served:
    """The model that the pipeline in `root` trained and measured as `name`, one of its seeds.

    Raises ValueError with the names that there are, and what `of` raises.
    """
    return of(name, described(name, root), replicate, root)


def find(name: str, root: Path = Path()) -> tuple[str, dict[str, Any], Path]:
    """A model's name, what `of` asks for, and the root of its weights: of a trained model of the pipeline in `root`,
    or of a champion of the registry such as denoiser@champion. Raises ValueError."""
    if "@" in name:
        return models.champion(name)
    return name, described(name, root), root


def described(name: str, root: Path = Path()) -> dict[str, Any]:
    """What `evaluate` left of a model (metrics.json). Raises ValueError with the names that there are."""
    files = {file.parent.name: file for file in sorted((root / stage.folder("evaluate")).glob("*/metrics.json"))}
    if name not in files:
        near = difflib.get_close_matches(name, files, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        there = ", ".join(files) or "none: `aelab repro` trains them"
        raise ValueError(f"{name}: no such model{hint}; there are: {there}")
    return checkpoints.load_json(files[name])


def of(name: str, about: Mapping[str, Any], replicate: int = 0, root: Path = Path()) -> Served:
    """The model that `about` describes, one of its seeds.

    about: kind, family, config, shape, classes; source: the folder of its weights below root; weights: file -> MD5.
    A stack gives the classifier of its largest label budget. Weights that have changed since are taken from DVC's
    cache. Raises ValueError for a seed that is not there, FileNotFoundError where the weights are gone.
    """
    runtime.pin("cpu", 1)
    if about["family"] not in params.families():
        raise ValueError(f"{name}: its family {about['family']!r} is unknown; allowed: {', '.join(params.families())}")
    files = [file for file in about["weights"] if Path(file).name == f"weights-{replicate}.safetensors"]
    if not files:
        seeds = len({Path(file).name for file in about["weights"]})
        raise ValueError(f"replicate: {replicate} is out of range; {name} has 0 to {seeds - 1}")
    spec = Spec(tuple(about["shape"]), about["classes"])
    model: nn.Module = registry.build(about["family"], about["config"], spec, Generator())
    if about["kind"] == "classifier":
        model = Classifier(model, spec)  # type: ignore[arg-type]
    path = weights(root, Path(about["source"], files[-1]), about["weights"][files[-1]])
    model.load_state_dict(checkpoints.load_weights(path))
    return Served(name, model.eval(), spec)


def weights(root: Path, file: Path, md5: str) -> Path:
    """Where a file of this MD5 lies: in its place, or in DVC's cache. Raises FileNotFoundError."""
    place = root / file
    if place.is_file() and checkpoints.md5(place) == md5:
        return place
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        kept = Path(repo.cache.local.path, md5[:2], md5[2:])
    if kept.is_file() and checkpoints.md5(kept) == md5:
        return kept
    raise FileNotFoundError(2, "other weights lie there and DVC's cache lacks these", str(file))
