"""What a model is good for: anomalies, compression, features for a supervised learner. (Search is in evaluate.py, with
all that is measured on codes alone.)"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from aelab.data.images import shown
from aelab.data.tensors import mapped
from aelab.evaluation import anomalies, compression, supervised
from aelab.evaluation.context import EvalContext, Metrics
from aelab.evaluation.images import spread
from aelab.evaluation.representation import Coded
from aelab.models.common import Autoencoder
from aelab.uses import anomaly, codec
from aelab.uses.retrieval import nearest

Found = TypeVar("Found")
SHOWN, QUERIES, NEIGHBOURS = 8, 6, 8  # items in figures


def metrics(model: Autoencoder, context: EvalContext, coded: Sequence[Coded]) -> Metrics:
    """Those that apply to `model`. coded: its codes of train, validation and test."""
    result = Metrics({})
    if context.asks("anomalies"):
        result |= anomaly_metrics(model, context)
    if context.asks("compression"):
        result |= compression_metrics(model, context)
    if context.asks("learners"):
        result |= learner_metrics(model, context, coded)
    if context.asks("representation"):
        result |= Metrics({}, arrays=neighbours(context, coded))
    return result


def anomaly_metrics(model: Autoencoder, context: EvalContext) -> Metrics:
    """auroc/<score>, average_precision/<score>, false_alarms/<score>, and without /<score> those of the score that is
    best on validation; anomaly/<score>: of every test item, normal ones first."""
    found = anomalies.of_model(model, context.data)
    best = max(found, key=lambda score: found[score][1]["auroc"])
    result = Metrics({})
    for end, (test, validation, values) in ended(found, best).items():
        result |= Metrics(
            {f"{name}{end}": value for name, value in test.items()},
            {f"{name}{end}": value for name, value in validation.items()},
            {f"anomaly{end}": values},
        )
    return result | Metrics({}, arrays=most_anomalous(model, context, best, found[best][2]))


def ended(found: dict[str, Found], best: str) -> dict[str, Found]:
    """Ends of metric names: "/<name>" for each, "" for the best."""
    return {f"/{name}": each for name, each in found.items()} | {"": found[best]}


def most_anomalous(model: Autoencoder, context: EvalContext, score: str, scores: Tensor) -> dict[str, np.ndarray]:
    """The test items with the highest scores [N]: what figures show of them.

    Under most_anomalous/: truth [n] (1: an anomaly), score (its place in anomaly.SCORES), x and rebuilt [n, ...], of
    images as they are drawn, with their squared errors float32 [n, H, W].
    """
    normal, other = context.data.test, context.data.anomalies
    rows = scores.argsort(descending=True, stable=True)[:SHOWN].tolist()
    places = [(other, row - len(normal.y)) if row >= len(normal.y) else (normal, row) for row in rows]
    x, y = (torch.stack([split[part][row] for split, row in places]) for part in (0, 1))
    rebuilt = mapped(model.reconstruct, x, y)
    image = x.dim() == 4
    draw = shown if image else lambda part: part.cpu().numpy()
    result = {
        "most_anomalous/truth": np.array([split is other for split, _ in places], np.int64),
        "most_anomalous/score": np.array(anomaly.SCORES.index(score)),
        "most_anomalous/x": draw(x),
        "most_anomalous/rebuilt": draw(rebuilt),
    }
    if image:
        result["most_anomalous/errors"] = (x - rebuilt).square().mean(1).cpu().numpy()
    return result


def compression_metrics(model: Autoencoder, context: EvalContext) -> Metrics:
    """bytes_at/<dB>; arrays: rate/test float64 [L, 3] (see compression.Point), and the codec, which `aelab compress`
    reads."""
    if codec.able(model):
        return Metrics({})
    data, measures, kind = context.data, context.measures, model.spec.kind
    train = codec.some(data.train.x)
    error = measures.squared_errors(train, mapped(model.reconstruct, train)).mean().item()
    coder, test, validation = compression.of_model(model, data, measures, error)
    kept = {f"codec/{name}": array for name, array in coder.codec.arrays.items()}
    found, chosen_by = (compression.metrics(points, kind) for points in (test, validation))
    return Metrics(found, chosen_by, arrays=kept | {"rate/test": np.array(test)})


def learner_metrics(model: Autoencoder, context: EvalContext, coded: Sequence[Coded]) -> Metrics:
    """learner_error/<labels>/<learner>/code, and of all layers where there are several; learner_error/<labels>: of the
    learner and features that are best on validation."""
    if not context.labelled:
        return Metrics({})
    data, features = context.data, {"code": coded}
    with torch.no_grad():
        layers = model.hidden(data.test.x[:1], data.test.y[:1])
    if len(layers) > 1 and sum(layer.shape[1] for layer in layers) <= anomaly.WIDE:
        together = lambda x, y: torch.cat(model.hidden(x, y), 1)  # noqa: E731
        splits = zip((data.train, data.validation, data.test), supervised.MOST, strict=True)
        features["layers"] = [(mapped(together, x[:n], y[:n]), y[:n]) for (x, y), n in splits]
    return learned(context, features)


def learned(context: EvalContext, features: dict[str, Sequence[Coded]], boosted: int = supervised.BOOSTED) -> Metrics:
    """The errors of supervised learners on features by name (see `learner_metrics`); which test items they get wrong,
    bool [draws, N]."""
    sizes, result = context.sizes, Metrics({})
    for n in supervised.sizes(sizes.label_budgets, len(context.data.train.y)):
        found = {
            f"{learner}/{kind}": each
            for kind, splits in features.items()
            for learner, each in supervised.errors(splits, n, sizes.few_shot_repeats, context.draw, boosted).items()
        }
        best = min(found, key=lambda name: found[name][0])
        for end, (held_out, wrong) in ended(found, best).items():
            name = f"learner_error/{n}{end}"
            result |= Metrics({name: wrong.double().mean().item()}, {name: held_out}, {name: wrong})
    return result


def neighbours(context: EvalContext, coded: Sequence[Coded]) -> dict[str, np.ndarray]:
    """The nearest training items to some test items: near/labels int64 [n, k], near/x [n, k, ...]."""
    (codes, _), _, (asked, labels) = coded
    queries = spread(labels, QUERIES)
    rows, _ = nearest(codes, asked[queries], NEIGHBOURS)
    train = context.data.train
    x = train.x[rows.flatten()]
    drawn = shown(x) if x.dim() == 4 else x.cpu().numpy()
    return {
        "near/labels": train.y[rows].cpu().numpy(),
        "near/x": drawn.reshape(*rows.shape, *drawn.shape[1:]),
    }
