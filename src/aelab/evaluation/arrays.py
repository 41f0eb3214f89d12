"""The arrays that the figures of one trained model need, so that restyling a figure needs no model."""

from __future__ import annotations

import math

import numpy as np
from torch import Tensor, nn

from aelab.data.tensors import Data, mapped, pixels
from aelab.evaluation import decoded
from aelab.evaluation.evaluate import Draw
from aelab.evaluation.images import rebuilt, spread
from aelab.evaluation.settings import Evaluate
from aelab.models.common import Autoencoder


def of(model: nn.Module, data: Data, settings: Evaluate, draw: Draw) -> dict[str, np.ndarray]:
    """The arrays of `model`: images as uint8 [n, H, W], codes and weights as float32, labels of the test split as int64
    [N].

    A classifier has none.
    """
    if not isinstance(model, Autoencoder):
        return {}
    rows = spread(data.test.y, settings.digits)
    digits, labels = data.test.x[rows], data.test.y[rows]
    kept = {"reconstructions": rebuilt(model, digits, labels)}
    for label, noisy in data.noisy.items():
        kept[f"denoised/{label}"] = rebuilt(model, pixels(noisy[rows]), labels)
    codes = mapped(model.encode, *data.test)
    if codes.shape[1] <= 3:
        kept |= {"codes": codes.cpu().numpy(), "labels": data.test.y.cpu().numpy()}
    kept |= decoded.of(model, data, rows, codes, settings, draw)
    filters = first_layer(model)
    if filters is not None:
        channels, *size = model.spec.shape
        if filters.shape[1] != model.spec.pixels:  # square patches
            size = [math.isqrt(filters.shape[1] // channels)] * 2
        kept["filters"] = filters[: settings.units].reshape(-1, channels, *size).mean(1).cpu().numpy()
    return kept


def first_layer(model: Autoencoder) -> Tensor | None:
    """The weights [units, pixels] of the first layer, if it is a dense one on pixels."""
    for module in model.encoder.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            return module.weight.detach() if isinstance(module, nn.Linear) else None
    return None
