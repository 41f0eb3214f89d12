"""The files of a trained model, written by the training stages and read by everything after them.

weights-<replicate>.safetensors   weights of the best evaluation
model.json                        how to build the model, and the device it was trained on
history.json                      for each replicate one row per evaluation
preview.npz                       validation digits as replicate 0 reconstructed them: input, step-<n>; for a model
                                  trained on clean images also noisy-input, noisy-step-<n>

pretraining.json                  history.json of the stack that the model started from, if it did

A fine-tuned stack has such a folder for each label budget, and a model.json that names them.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from aelab.data import storage
from aelab.data.columns import from_json
from aelab.models.common import Spec, registry
from aelab.training import weight_files
from aelab.training.classifier import Classifier

History = list[dict[str, Any]]  # one row per evaluation


def weights_file(folder: Path, replicate: int) -> Path:
    return folder / f"weights-{replicate}.safetensors"


def save_weights(folder: Path, replicate: int, model: nn.Module) -> None:
    """Write the weights of one trained replicate."""
    weight_files.save_weights(weights_file(folder, replicate), model.state_dict())


def save(folder: Path, description: dict[str, Any], histories: Sequence[History], preview: dict[str, Any]) -> None:
    """Write everything except the weights, once all replicates are trained."""
    storage.save_json(folder / "model.json", description)
    storage.save_json(folder / "history.json", histories)
    if preview:
        storage.save_arrays(folder / "preview.npz", preview)


def load(folder: Path, replicate: int, device: torch.device) -> nn.Module:
    """The trained model in `folder`, on `device` and in evaluation mode.

    Raises FileNotFoundError, ValueError for damaged files, RuntimeError where weights and model disagree.
    """
    description = storage.load_json(folder / "model.json")
    spec = spec_of(description)
    model: nn.Module = registry.build(description["family"], description["config"], spec, torch.Generator())
    if description["kind"] == "classifier":
        model = Classifier(model, spec, description["labels"])
    model.load_state_dict(weight_files.load_weights(weights_file(folder, replicate)))
    return model.to(device).eval()


def spec_of(description: Mapping[str, Any]) -> Spec:
    """The data that a model was made for, from its model.json."""
    columns = from_json(description.get("columns", ()))
    return Spec(tuple(description["shape"]), description["classes"], columns)


def parts(folder: Path) -> list[Path]:
    """The folders with weights of one result: the folder itself or, for a fine-tuned stack, one per label budget."""
    return [folder / name for name in storage.load_json(folder / "model.json").get("budgets", [""])]


def history(folder: Path) -> list[History]:
    """For each replicate of a result its rows, one per evaluation; those of all label budgets one after another."""
    histories = [storage.load_json(part / "history.json") for part in parts(folder)]
    return [list(itertools.chain(*rows)) for rows in zip(*histories, strict=True)]


def keep_pretraining(stack: Path, folder: Path) -> None:
    """Keep how the pretrained `stack` learned with the result that starts from it."""
    storage.save_json(folder / "pretraining.json", storage.load_json(stack / "history.json"))


def whole_history(folder: Path) -> list[History]:
    """The history of a result, for each replicate after the rows of the pretraining that it started from."""
    file, rows = folder / "pretraining.json", history(folder)
    earlier = storage.load_json(file) if file.exists() else [[]] * len(rows)
    return [[*first, *then] for first, then in zip(earlier, rows)]  # noqa: B905  (a stack may have more seeds)


def preview(folder: Path) -> dict[str, np.ndarray]:
    """The reconstructions of validation digits during training; empty for a fine-tuned stack."""
    file = folder / "preview.npz"
    return storage.load_arrays(file) if file.exists() else {}


def digests(folder: Path) -> dict[str, str]:
    """The MD5 of every weights file of a result, by its path within the folder."""
    files = [file for part in parts(folder) for file in sorted(part.glob("weights-*.safetensors"))]
    return {str(file.relative_to(folder)): storage.md5(file) for file in files}
