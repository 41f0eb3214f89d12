"""Do codes form clusters by class? k-means with as many clusters as classes.

Codes are float32 [N, K], labels int64 [N].
"""

from __future__ import annotations

import warnings

import numpy as np
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from torch import Generator

from aelab.evaluation.representation import Coded, arrays

RESTARTS = 3


def clusters(train: Coded, test: Coded, generator: Generator) -> dict[str, float]:
    """k-means on `train`'s codes, scored on `test`: nmi, ari, and the accuracy after each cluster is assigned a class.

    Labels are used after clustering only; the assignment (one to one, by the Hungarian method) uses those of training
    images. nmi: normalised mutual information, 0 to 1; ari: adjusted Rand index, 0 by chance, at most 1.
    """
    (x, y), (queries, truth) = arrays(train), arrays(test)
    classes = int(max(y.max(), truth.max())) + 1
    means = KMeans(min(classes, len(x)), n_init=RESTARTS, random_state=generator.initial_seed() % 2**32)  # pyright: ignore[reportArgumentType]
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):  # fewer different codes than classes
        found = means.fit_predict(x)
    counts = np.zeros((classes, classes))
    np.add.at(counts, (found, y), 1)
    _, assigned = linear_sum_assignment(counts, maximize=True)
    found = means.predict(queries)
    return {
        "cluster_nmi": float(normalized_mutual_info_score(truth, found)),
        "cluster_ari": float(adjusted_rand_score(truth, found)),
        "cluster_accuracy": float((assigned[found] == truth).mean()),
    }
