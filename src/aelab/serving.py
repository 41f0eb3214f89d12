"""Trained models for use: arrays in, codes or images out, and wrong shapes refused in one line.

vae = serving.load("vae")
codes = vae.encode(images)              # uint8 0 to 255 or float 0 to 1; [N, 28, 28], [N, 1, 28, 28] or [N, 784]
images = vae.decode(codes)              # float32 0 to 1, [N, 1, 28, 28]
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from aelab.core import checkpoints, runtime, stage
from aelab.learning import replicates
from aelab.learning.loop import mapped
from aelab.models.base import Autoencoder, Generative, Spec

KINDS = ("train", "unroll")  # folders of data/ with models that rebuild images


@dataclass(frozen=True)
class Served:
    """A trained model. labels: classes int [N] in 0, 1, ..., for models that are told them (`saw_labels`)."""

    name: str
    folder: Path
    model: Autoencoder
    spec: Spec

    def encode(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images -> codes float32 [N, K]. Raises ValueError for wrong shapes or values."""
        x = self.images(images)
        return mapped(self.model.encode, x, self.labels(labels, len(x))).numpy()

    def decode(self, codes: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Codes [N, K] -> images float32 [N, C, H, W] in 0 to 1. Raises ValueError for wrong shapes, and for a model
        whose codes alone decode to nothing."""
        z = torch.from_numpy(np.asarray(codes, np.float32))
        width = self.encode(np.zeros((1, *self.spec.shape), np.float32)).shape[1]
        if z.dim() != 2 or z.shape[1] != width:
            raise ValueError(f"codes: {list(z.shape)}; {self.name} takes [N, {width}]")
        if not self.model.decodes:
            raise ValueError(f"{self.name}: its codes alone decode to nothing")
        return mapped(self.model.decode, z, self.labels(labels, len(z))).clamp(0, 1).numpy()

    def rebuild(self, images: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Images -> what the model makes of them, float32 [N, C, H, W] in 0 to 1: of a denoiser, clean images."""
        x = self.images(images)
        return mapped(self.model.reconstruct, x, self.labels(labels, len(x))).clamp(0, 1).numpy()

    def sample(self, n: int, seed: int = 0) -> np.ndarray:
        """n new images float32 [n, C, H, W] in 0 to 1. Raises ValueError for a model without a prior."""
        if not isinstance(self.model, Generative):
            raise ValueError(f"{self.name}: has no prior to draw from")
        with torch.no_grad():
            return self.model.sample(n, runtime.generator(seed, "sample")).clamp(0, 1).numpy()

    def images(self, images: np.ndarray) -> torch.Tensor:
        """Images as the model takes them, float32 [N, C, H, W] in 0 to 1."""
        found, shape = np.asarray(images), self.spec.shape
        forms = {shape, shape[1:] if shape[0] == 1 else shape, (int(np.prod(shape)),)}
        if found.ndim < 2 or found.shape[1:] not in forms:
            allowed = " or ".join(str([None, *form]).replace("None", "N") for form in sorted(forms, key=len))
            raise ValueError(f"images: {list(found.shape)}; {self.name} takes {allowed}")
        if found.dtype == np.uint8:
            found = found.astype(np.float32) / 255
        if found.dtype.kind not in "fiub":
            raise ValueError(f"images: {found.dtype}; allowed: uint8 0 to 255, numbers from 0 to 1")
        found = found.astype(np.float32)
        if not (np.isfinite(found).all() and found.min(initial=0) >= 0 and found.max(initial=0) <= 1):
            raise ValueError("images: values outside 0 to 1; allowed: uint8 0 to 255, numbers from 0 to 1")
        return torch.from_numpy(found).view(len(found), *shape)

    def labels(self, labels: np.ndarray | None, n: int) -> torch.Tensor:
        """Labels int64 [n]; a model that is told none gets zeros. Raises ValueError where they are wrong or missing."""
        if labels is None:
            return torch.zeros(n, dtype=torch.int64)
        found = np.asarray(labels)
        if (
            found.shape != (n,)
            or found.dtype.kind not in "iu"
            or not set(np.unique(found)) <= set(range(self.spec.classes))
        ):
            raise ValueError(
                f"labels: {found.dtype} {list(found.shape)}; allowed: {n} whole numbers below {self.spec.classes}"
            )
        return torch.from_numpy(found.astype(np.int64))


def load(name: str, replicate: int = 0, root: Path = Path()) -> Served:
    """The model that the pipeline in `root` trained as `name`, one of its seeds.

    Raises ValueError with the names that there are, FileNotFoundError for a seed that is not there.
    """
    folders = {folder.name: folder for kind in KINDS for folder in sorted((root / stage.DATA / kind).glob("*/"))}
    if name not in folders:
        near = difflib.get_close_matches(name, folders, 1)
        hint = f" (did you mean {near[0]}?)" if near else ""
        there = ", ".join(folders) or "none: `aelab repro` trains them"
        raise ValueError(f"{name}: no trained model{hint}; there are: {there}")
    runtime.pin("cpu", 1)
    about = checkpoints.load_json(folders[name] / "model.json")
    model = replicates.load(folders[name], replicate, torch.device("cpu"))
    assert isinstance(model, Autoencoder)
    return Served(name, folders[name], model, Spec(tuple(about["shape"]), about["classes"]))
