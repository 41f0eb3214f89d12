"""Where tracking keeps its files: the MLflow store and the spool."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from aelab.runner.repository import root

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # in every process that imports MLflow after this


def store() -> str:
    """The URI of the MLflow store: MLFLOW_TRACKING_URI, or mlflow.db in the main checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def spool() -> Path:
    """The folder of events that are not yet in the store: one per store, so that one process writes to it."""
    return root() / ".aelab" / f"tracking-{hashlib.sha256(store().encode()).hexdigest()[:8]}"
