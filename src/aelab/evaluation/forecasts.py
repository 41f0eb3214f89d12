"""The next step of series, predicted from those before it: errors, and the baselines of models that predict.

Series are float32 [N, T, D]; errors are squared errors of known numbers from step LAGS on, scaled to standard deviation
1, so that every predictor has as many steps to look back.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from aelab.data.tensors import Data
from aelab.evaluation.cells import CellMeasures
from aelab.evaluation.measures import Measures

LAGS = 8  # steps that ridge regression looks back
ALPHAS = (0.01, 0.1, 1.0, 10.0, 100.0)  # penalties of ridge regression, chosen on validation series
MOST = 200_000  # steps at most that it is fitted to


def error(x: Tensor, predicted: Tensor, measures: Measures) -> float:
    """The squared error of predictions [N, T - 1, D] of x [N, T, D] from its second step on."""
    assert isinstance(measures, CellMeasures)
    start = min(LAGS, x.shape[1] - 1)
    known = measures.layout.known_numbers(x)[:, start:]
    squares = (x[:, start:] - predicted[:, start - 1 :]).square() * known
    return (squares.double().sum() / known.double().sum().clamp_min(1)).item()


def baselines(data: Data, measures: Measures) -> dict[str, float]:
    """The errors on test series of repeating the last value, and of ridge regression on the last LAGS steps."""
    x = data.test.x
    result = {"last value": error(x, x[:, :-1], measures)}
    if x.shape[1] > LAGS:
        result[f"ridge AR({LAGS})"] = ridge(data, measures)
    return result


def ridge(data: Data, measures: Measures) -> float:
    """Linear regression of all features on the last LAGS steps of all features (scikit-learn's Ridge)."""
    from sklearn.linear_model import Ridge

    inputs, targets = lagged(data.train.x)
    chosen = np.linspace(0, len(inputs) - 1, min(MOST, len(inputs))).astype(np.int64)
    fitted = [Ridge(alpha).fit(inputs[chosen], targets[chosen]) for alpha in ALPHAS]

    def judged(model: Ridge, x: Tensor) -> float:
        found = torch.from_numpy(np.asarray(model.predict(lagged(x)[0]), np.float32).reshape(len(x), -1, x.shape[2]))
        before = x[:, : LAGS - 1]  # not judged
        return error(x, torch.cat([before, found.to(x.device)], 1), measures)

    best = min(fitted, key=lambda model: judged(model, data.validation.x))
    return judged(best, data.test.x)


def lagged(x: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Of series [N, T, D] for every step from LAGS on, series by series: the LAGS steps before [M, LAGS D], the step
    [M, D]."""
    windows = x.unfold(1, LAGS + 1, 1).cpu().numpy()  # [N, T - LAGS, D, LAGS + 1]
    flat = windows.reshape(-1, *windows.shape[2:])
    return flat[..., :-1].reshape(len(flat), -1), flat[..., -1]
