"""Trained models at work: anomaly scores, nearest training items, compressed archives.

The same functions as in evaluation, fitted to the same prepared data of the pipeline that trained the model.

    found = uses.scores(served, images)                       # by score, float64 [N]; higher is more anomalous
    limit = uses.threshold(served, uses.best_score(served))   # 1% of normal items exceed it
    rows, distances = uses.neighbours(served, images, 10)     # of data/prepare/learning/train
    archive = uses.compress(served, images)                   # bytes
    images, served = uses.decompress(archive)
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import numpy as np
import torch

from aelab.data import splits, storage
from aelab.data.tensors import Tensors, mapped, pixels
from aelab.inference import predictor
from aelab.inference.predictor import Predictor
from aelab.models.common import Autoencoder
from aelab.runner import stage
from aelab.uses import anomaly, codec, retrieval
from aelab.uses.codec import Codec, Coder

FALSE_ALARMS = 0.01
LEVEL = 3  # if none is asked for
GALLERY = 10_000  # training items at most among which neighbours are sought


def autoencoder(served: Predictor) -> Autoencoder:
    """The model. Raises ValueError for a classifier."""
    return served.autoencoder("score")


def split(served: Predictor, name: str, most: int | None = None) -> Tensors:
    """The first items of a split of the data that the model learned from. Raises ValueError if it is gone."""
    try:
        stored = splits.load(name, served.root / splits.place(name).parent)
    except FileNotFoundError:
        place = served.root / splits.place(name)
        raise ValueError(f"{place}: missing; `dvc checkout` or `aelab repro` restores it") from None
    if stored.x.shape[1:] != served.spec.shape:
        raise ValueError(f"{served.name}: made for other data than that of {served.root / splits.FOLDER}")
    x, y = stored.x[:most], stored.y[:most]
    return Tensors(pixels(torch.from_numpy(np.array(x))), torch.from_numpy(np.array(y)))


@functools.lru_cache(4)
def scorer(served: Predictor) -> dict[str, anomaly.Score]:
    """The scores of the model, fitted to training items."""
    return anomaly.fit(autoencoder(served), split(served, "train", anomaly.ROWS))


def best_score(served: Predictor) -> str:
    """The score that finds the anomalies of validation best, as evaluation measured; else the reconstruction error."""
    measured = served.about.get("validation", {})
    found = {name: values[served.replicate] for name, values in measured.items() if name.startswith("auroc/")}
    return max(found, key=found.__getitem__, default="auroc/error").partition("/")[2]


def scores(served: Predictor, given: Any, labels: np.ndarray | None = None) -> dict[str, np.ndarray]:
    """The anomaly scores of items, by name (see uses/anomaly.py): float64 [N]. Raises ValueError."""
    x, found = served.inputs(given), scorer(served)
    if served.needs_labels:
        return {name: served.through(score, x, labels) for name, score in found.items()}
    return {name: score(x, torch.zeros(len(x), dtype=torch.int64)).numpy() for name, score in found.items()}


def threshold(served: Predictor, score: str, false_alarms: float = FALSE_ALARMS) -> float:
    """The score that this share of normal items exceeds, from validation items. Raises ValueError."""
    if score not in scorer(served):
        raise ValueError(f"{served.name}: has no score {score!r}; allowed: {', '.join(scorer(served))}")
    return anomaly.threshold(scorer(served)[score](*split(served, "validation")), false_alarms)


@functools.lru_cache(4)
def gallery(served: Predictor) -> tuple[torch.Tensor, Tensors]:
    """The codes [G, K] of training items, and these."""
    train = split(served, "train", GALLERY)
    return mapped(served.encoder, *train), train


def classes(served: Predictor, labels: np.ndarray) -> list[str]:
    """The names of the classes of training items [N]; empty texts without classes."""
    names = storage.load_json(served.root / splits.LEARNING / "meta.json")["classes"]
    return [str(names[label]) if names else "" for label in labels]


def neighbours(
    served: Predictor, given: Any, k: int, labels: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest training items to each item: their rows in data/prepare/learning/train int64 [N, k], and the
    Euclidean distances of the codes [N, k]. Raises ValueError."""
    codes, train = gallery(served)
    if not 0 < k <= len(train.y):
        raise ValueError(f"k: {k} is out of range; allowed: 1 to {len(train.y):,}")
    rows, distances = retrieval.nearest(codes, torch.from_numpy(served.encode(given, labels)), k)
    return rows.numpy(), distances.numpy()


def coder(served: Predictor) -> Coder:
    """What compresses the codes of the model. Raises ValueError if it cannot."""
    model = autoencoder(served)
    if reason := codec.able(model):
        raise ValueError(f"{served.name}: cannot compress, {reason}")
    if served.replicate:
        raise ValueError(f"replicate: {served.replicate} is out of range; archives are of replicate 0")
    file = served.root / stage.folder("evaluate", served.name) / "arrays.npz"
    kept = storage.load_arrays(file).items() if file.exists() else ()
    arrays = {name.removeprefix("codec/"): array for name, array in kept if name.startswith("codec/")}
    if not arrays:
        raise ValueError(f"{file}: no codec there; `aelab repro` makes it")
    return Coder(Codec.of(arrays), *codec.both(model))


def compress(served: Predictor, given: Any, level: int | None = None) -> bytes:
    """An archive of items. level: 1, the finest and largest, to 5; of indices there is one. Raises ValueError."""
    made = coder(served)
    level = level or min(LEVEL, made.codec.levels)
    if not 0 < level <= made.codec.levels:
        raise ValueError(f"level: {level} is out of range; {served.name} has 1 to {made.codec.levels}")
    return made.codec.compressed(made.numbers(served.inputs(given), level - 1), level - 1, served.weights)


def decompress(archive: bytes, root: Path = Path()) -> tuple[np.ndarray, Predictor]:
    """The items of an archive, as `Predictor.decode` gives them, and the model, which is found by its weights.

    Raises ValueError for other bytes, a damaged archive, and one of a model that is not there.
    """
    head = codec.header(archive)
    for file in predictor.measured(root):
        about = storage.load_json(file)
        known = [md5 for name, md5 in about["weights"].items() if name.endswith("weights-0.safetensors")]
        if any(md5.startswith(head.weights) for md5 in known):
            served = predictor.of(file.parent.name, about, 0, root)
            made = coder(served)
            items = made.items(made.codec.decompressed(archive), head.level, torch.device("cpu"))
            return served.raw(items.numpy()), served
    raise ValueError(f"made by a model whose weights begin with {head.weights}; no model of this pipeline has them")
