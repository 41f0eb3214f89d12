"""Export encoder and decoder of a trained model as ONNX files, for runtimes without Python or torch.

encoder.onnx    images float32 [N, C, H, W] in 0 to 1 -> codes float32 [N, K]
decoder.onnx    codes -> images
classifier.onnx images -> logits, of a stack

All take any N. A model that needs labels also takes `labels` int64 [N].
"""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aelab.inference.predictor import Predictor
from aelab.models.common import Autoencoder
from aelab.training.classifier import Classifier

TRIED = 3  # images in the example, a number that is no layer's width


class Half(nn.Module):
    """One direction of an autoencoder as a module."""

    def __init__(self, model: Autoencoder, direction: str) -> None:
        super().__init__()
        self.model, self.direction = model, direction

    def forward(self, x: Tensor, labels: Tensor | None = None) -> Tensor:
        return getattr(self.model, self.direction)(x, labels)


def export(served: Predictor, folder: Path) -> list[Path]:
    """Write the files into `folder`, created if missing; returns their paths.

    Raises ValueError, with torch's message, if the model cannot be expressed in ONNX; files written before stay.
    """
    images = torch.rand(TRIED, *served.spec.shape)
    if isinstance(served.model, Classifier):
        return [_export(served.model, (images,), {"input": "images", "output": "logits"}, folder / "classifier.onnx")]
    model = served.model
    assert isinstance(model, Autoencoder)
    labels = (torch.arange(TRIED) % served.spec.classes,) if served.needs_labels else ()
    names = {"input": "images", "output": "codes"}
    paths = [_export(Half(model, "encode"), (images, *labels), names, folder / "encoder.onnx")]
    if model.decodes:
        names = {"input": "codes", "output": "images"}
        codes = torch.rand(TRIED, served.width)
        paths.append(_export(Half(model, "decode"), (codes, *labels), names, folder / "decoder.onnx"))
    return paths


def _export(module: nn.Module, inputs: tuple[Tensor, ...], names: dict[str, str], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    options: dict[str, Any] = {"input_names": [names["input"], *["labels"] * (len(inputs) - 1)]}
    rows = tuple({0: torch.export.Dim("rows")} for _ in inputs)
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            made = torch.onnx.export(
                module.eval(), inputs, output_names=[names["output"]], dynamic_shapes=rows, dynamo=True, **options
            )
        except Exception as error:
            text = " ".join(str(error).split())[:200]
            raise ValueError(f"{path.stem}: torch cannot write it as ONNX ({text})") from error
    assert made is not None
    made.save(str(path))
    return path
