"""The arrays that the figures of one trained model need, so that restyling a figure needs no model."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor, nn

from aelab.data.tensors import Data, mapped, pixels
from aelab.evaluation import decoded
from aelab.evaluation.cells import CellMeasures
from aelab.evaluation.context import Draw
from aelab.evaluation.images import rebuilt, spread
from aelab.evaluation.settings import Evaluate
from aelab.evaluation.specific import Forecasting
from aelab.models.common import Autoencoder


def of(model: nn.Module, data: Data, settings: Evaluate, draw: Draw) -> dict[str, np.ndarray]:
    """The arrays of `model`: images as uint8 [n, H, W], codes and weights as float32, labels of the test split as int64
    [N].

    A classifier has none.
    """
    if not isinstance(model, Autoencoder):
        return {}
    if model.spec.layout:
        return of_cells(model, data, CellMeasures(model.spec.layout), settings)
    rows = spread(data.test.y, settings.digits)
    digits, labels = data.test.x[rows], data.test.y[rows]
    found = {"reconstructions": rebuilt(model, digits, labels)}
    for label, noisy in data.noisy.items():
        found[f"denoised/{label}"] = rebuilt(model, pixels(noisy[rows]), labels)
    codes = mapped(model.encode, *data.test)
    if codes.shape[1] <= 3:
        found |= {"codes": codes.cpu().numpy(), "labels": data.test.y.cpu().numpy()}
    found |= decoded.of(model, data, rows, codes, settings, draw)
    filters = first_layer(model)
    if filters is not None:
        channels, *size = model.spec.shape
        if filters.shape[1] != model.spec.pixels:  # square patches
            size = [math.isqrt(filters.shape[1] // channels)] * 2
        found["filters"] = filters[: settings.units].reshape(-1, channels, *size).mean(1).cpu().numpy()
    return found


def of_cells(model: Autoencoder, data: Data, measures: CellMeasures, settings: Evaluate) -> dict[str, np.ndarray]:
    """The arrays of a model of a table or of series: reconstructions (see CellMeasures.arrays), codes, labels."""
    x, y = data.test
    rows = spread(y, settings.digits)
    result = measures.arrays("reconstructions", x, None, mapped(model.reconstruct, x, y), rows)
    for label, noisy in data.noisy.items():
        x_hat = measures.completed(label, noisy, mapped(model.reconstruct, noisy, y))
        result |= measures.arrays(f"denoised/{label}", x, noisy, x_hat, rows)
    if isinstance(model, Forecasting):
        predicted = mapped(model.next_steps, x)
        result["predicted"] = predicted[rows].cpu().numpy()
        result["band/predicted"] = measures.band(x[:, 1:], predicted)
    codes = mapped(model.encode, x, y)
    if codes.shape[1] <= 3:
        result |= {"codes": codes.cpu().numpy(), "labels": y.cpu().numpy()}
    return result


def first_layer(model: Autoencoder) -> Tensor | None:
    """The weights [units, pixels] of the first layer, if it is a dense one on pixels."""
    for module in model.encoder.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            return module.weight.detach() if isinstance(module, nn.Linear) else None
    return None
