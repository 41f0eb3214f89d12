"""The model that `mlflow.pyfunc.load_model` gives; MLflow keeps a copy of this file with each model and runs that.

model.predict(images)                                   what the model makes of the images
model.predict(images, params={"output": "codes"})       or codes, or classes of a classifier

images: an array or pandas frame, uint8 0 to 255 or float 0 to 1, [N, 784], [N, 28, 28] or [N, 1, 28, 28].
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from mlflow.models import set_model
from mlflow.pyfunc.model import PythonModel

warnings.filterwarnings("ignore", ".*Add type hints")  # a hint would be a schema, and MLflow's knows one shape only


class Model(PythonModel):
    """Builds the network when first loaded; its weights stay where DVC keeps them."""

    def load_context(self, context: Any) -> None:
        from aelab import serving

        self.config = context.model_config
        self.served = serving.of(self.config["name"], self.config["about"], 0, Path(self.config["root"]))

    def predict(self, context, model_input, params=None):  # type: ignore[override]
        asked = {"output": self.config["output"], "labels": []} | (params or {})
        images = np.asarray(getattr(model_input, "values", model_input))
        labels = np.asarray(asked["labels"], np.int64) if len(asked["labels"]) else None
        match asked["output"]:
            case "images":
                return self.served.rebuild(images, labels)
            case "codes":
                return self.served.encode(images, labels)
            case "classes":
                return self.served.classify(images)
        raise ValueError(f"output: {asked['output']!r} is unknown; allowed: images, codes, classes")


set_model(Model())
