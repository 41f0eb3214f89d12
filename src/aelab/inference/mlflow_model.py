"""The model of `mlflow.pyfunc.load_model`; MLflow stores a copy of this file with each model and runs it.

model.predict(images)                                   reconstructions
model.predict(images, params={"output": "codes"})       codes; or classes, of a classifier
model.predict(images, params={"output": "scores"})      anomaly scores, as `aelab score`; needs the prepared data
model.predict(images, params={"output": "neighbours"})  rows of the 10 nearest training images, as `aelab search`
model.predict(images, params={"output": "archive"})     the bytes of `aelab compress`

images: an array, nested lists or a pandas frame with one image per row, [N, 784], [N, 28, 28] or [N, 1, 28, 28]; pixels
are integers 0 to 255, or floats 0 to 1. A model of a table takes a frame with the raw columns, and has one output more,
"filled": the frame with its missing cells filled.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel


class RefusedError(MlflowException, ValueError):
    """Invalid input: a ValueError in Python, one line with status 400 from an MLflow server."""

    def serialize_as_json(self) -> str:
        """Without the whole input, which MLflow puts before the message."""
        return json.dumps({"error_code": self.error_code, "message": self.args[0]})


class Model(PythonModel):
    """Builds the network on first use; its weights stay in DVC."""

    def load_context(self, context: Any) -> None:
        from aelab.inference import predictor

        self.config = context.model_config
        self.served = predictor.of(self.config["name"], self.config["about"], 0, Path(self.config["root"]))

    def predict(self, context, model_input: np.ndarray, params=None):  # type: ignore[override]
        # the only hint of which MLflow makes no schema (with one shape), and without a hint it warns
        asked = {"output": self.config["output"], "labels": []} | (params or {})
        images: Any = model_input  # in truth also a frame
        try:
            if not hasattr(images, "to_numpy"):
                images = np.asarray(images)
            elif self.served.spec.kind != "table":
                images = images.to_numpy()
            return self.answer(images, **asked)
        except ValueError as error:
            raise RefusedError.invalid_parameter_value(str(error)) from error

    def answer(self, images: Any, output: str, labels: Any) -> Any:
        """What `output` asks for. Raises ValueError for invalid images, labels or output."""
        from aelab.inference import uses

        values = np.asarray(labels, np.int64) if len(labels) else None
        match output:
            case "images" | "rows":
                return self.served.rebuild(images, values)
            case "codes":
                return self.served.encode(images, values)
            case "classes":
                return self.served.classify(images)
            case "filled":
                return self.served.fill(images, values)
            case "scores":
                return uses.scores(self.served, images, values)[uses.best_score(self.served)]
            case "neighbours":
                return uses.neighbours(self.served, images, 10, values)[0]
            case "archive":
                return np.frombuffer(uses.compress(self.served, images), np.uint8)
        allowed = "images, codes, scores, neighbours, archive, classes; of tables rows, filled"
        raise ValueError(f"output: {output!r} is unknown; allowed: {allowed}")


set_model(Model())
