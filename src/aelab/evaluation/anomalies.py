"""How well scores tell anomalies from normal items that no model has seen, for models and for baselines.

Scores are float64 [N]; the higher, the more anomalous.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors
from torch import Generator, Tensor

from aelab.data.tensors import Data, mapped
from aelab.evaluation.measures import Measures
from aelab.evaluation.pca import PCA
from aelab.models.common import Autoencoder
from aelab.uses import anomaly, codec

FALSE_ALARMS = 0.01  # of normal validation items, at which the threshold is set
SIZES = (1, 2, 4, 8, 16, 32, 64)  # components of PCA, of which validation chooses

Found = tuple[dict[str, float], dict[str, float], Tensor]  # metrics on test and validation, scores of test items


def of_model(model: Autoencoder, data: Data) -> dict[str, Found]:
    """What each score of a model finds (see uses/anomaly.py)."""
    return {name: found(score, data) for name, score in anomaly.fit(model, data.train).items()}


def found(score: Callable[[Tensor, Tensor], Tensor], data: Data) -> Found:
    """auroc, average_precision; false_alarms: the share of normal test items above the threshold that FALSE_ALARMS of
    those of validation exceed, absent where these are too few."""
    held_out, other = score(*data.validation), score(*data.validation_anomalies)
    normal, anomalous = score(*data.test), score(*data.anomalies)
    test = ranked(normal, anomalous)
    if FALSE_ALARMS * (len(held_out) + 1) >= 1:
        limit = anomaly.threshold(held_out, FALSE_ALARMS)
        test["false_alarms"] = (normal > limit).double().mean().item()
    return test, {"auroc": ranked(held_out, other)["auroc"]}, torch.cat([normal, anomalous])


def ranked(normal: Tensor, anomalous: Tensor) -> dict[str, float]:
    """auroc: how often an anomaly has the higher score of a pair, ties count half; average_precision: the mean
    precision over all thresholds that find one anomaly more."""
    scores = torch.cat([normal, anomalous]).cpu().numpy()
    truth = np.arange(len(scores)) >= len(normal)
    return {
        "auroc": float(roc_auc_score(truth, scores)),
        "average_precision": float(average_precision_score(truth, scores)),
    }


def baselines(data: Data, pca: PCA, measures: Measures, neighbours: int, generator: Generator) -> dict[str, Found]:
    """What an engineer tries first: PCA's squared error, the distance to the nearest training items, an isolation
    forest (Liu, Ting & Zhou 2008); on raw values. PCA has the size that is best on validation."""
    train = codec.some(data.train.x).flatten(1)
    sizes = [k for k in SIZES if k < pca.directions.shape[1]] or [1]

    def error(k: int) -> Callable[[Tensor, Tensor], Tensor]:
        rebuilt = lambda x: pca.decode(pca.encode(x.flatten(1), k)).view_as(x)  # noqa: E731
        return lambda x, _: measures.squared_errors(x, mapped(rebuilt, x))

    errors = {f"PCA {k} error": found(error(k), data) for k in sizes}
    best = max(errors, key=lambda name: errors[name][1]["auroc"])
    near = NearestNeighbors(n_neighbors=min(neighbours, len(train))).fit(train.cpu().numpy())
    forest = IsolationForest(random_state=generator.initial_seed() % 2**32).fit(train.cpu().numpy())

    def distance(x: Tensor, _: Tensor) -> Tensor:
        return torch.from_numpy(near.kneighbors(x.flatten(1).cpu().numpy())[0].mean(1)).double()

    def isolation(x: Tensor, _: Tensor) -> Tensor:
        return torch.from_numpy(-forest.score_samples(x.flatten(1).cpu().numpy())).double()

    return {
        best: errors[best],
        f"{neighbours} nearest neighbours": found(distance, data),
        "isolation forest": found(isolation, data),
    }
