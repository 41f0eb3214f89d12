"""ONNX against torch, one model per family: untrained but real nets."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
import torch

from aelab.config import params
from aelab.inference import onnx_export, predictor
from aelab.models.common import Spec, registry
from aelab.training.classifier import Classifier

SPEC = Spec((1, 28, 28), 10)
ENTRIES = [params.load(f"models.{name}") for name in params.load("models")]
FAMILIES = {entry.family: entry for entry in ENTRIES}
STACK = params.load("stacks.stack_conv")


@pytest.mark.parametrize("family", sorted(FAMILIES))
def test_onnx_equals_torch(family, tmp_path):
    entry, x = FAMILIES[family], np.random.default_rng(0).random((5, 1, 28, 28), np.float32)
    model = registry.build(family, entry.config, SPEC, torch.Generator().manual_seed(0)).eval()
    served = predictor.Predictor(family, model, SPEC)
    labels = np.arange(5) if served.needs_labels else None
    extra = {"labels": labels} if served.needs_labels else {}
    encoder, *decoder = onnx_export.export(served, tmp_path)
    codes = served.encode(x, labels)
    found = onnxruntime.InferenceSession(str(encoder)).run(None, {"images": x, **extra})[0]
    np.testing.assert_allclose(found, codes, atol=1e-5)
    for path in decoder:
        with torch.no_grad():
            want = model.decode(torch.from_numpy(codes), None if labels is None else torch.from_numpy(labels)).numpy()
        found = onnxruntime.InferenceSession(str(path)).run(None, {"codes": codes, **extra})[0]
        np.testing.assert_allclose(found, want, atol=1e-5)
    assert bool(decoder) == model.decodes


def test_onnx_of_a_classifier(tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)
    net = registry.build(STACK.family, STACK.config, SPEC, torch.Generator().manual_seed(0))
    stack = predictor.Predictor("stacked", Classifier(net, SPEC).eval(), SPEC)
    (path,) = onnx_export.export(stack, tmp_path)
    found = onnxruntime.InferenceSession(str(path)).run(None, {"images": images[:, None].astype(np.float32) / 255})[0]
    np.testing.assert_array_equal(found.argmax(1), stack.classify(images))
