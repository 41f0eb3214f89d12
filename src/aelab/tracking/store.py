"""The MLflow store, its experiments, and where tracking keeps its own files."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from aelab.runner.repository import root

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # in every process that imports MLflow after this

KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI's mode; without it, the mode for language models
STARTING = 110.0  # seconds that another process may take to create the store
TIMEOUTS = {  # MLflow's defaults would wait 246 s for a server that is not there
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "5",
}


def uri() -> str:
    """The URI of the MLflow store: MLFLOW_TRACKING_URI, or mlflow.db in the main checkout."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root() / 'mlflow.db'}"


def spool() -> Path:
    """The folder of events that are not yet in the store: one per store, so that one process writes to it."""
    return root() / ".aelab" / f"tracking-{hashlib.sha256(uri().encode()).hexdigest()[:8]}"


def connect(experiment: str) -> tuple[Any, str]:
    """A client of the store and the experiment's id; creates what is missing, safe with several processes."""
    from mlflow.exceptions import MlflowException

    made, artifacts = client(), None
    if uri().startswith(("sqlite", "postgresql", "mysql", "mssql")):
        artifacts = str(root() / "mlartifacts" / experiment)  # MLflow's own depends on the working folder
    result = made.get_experiment_by_name(experiment)
    if result is None:
        try:
            return made, made.create_experiment(experiment, artifacts, KIND)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
            result = made.get_experiment_by_name(experiment)
    if result.lifecycle_stage == "deleted":
        made.restore_experiment(result.experiment_id)
    for key, value in KIND.items() - result.tags.items():
        made.set_experiment_tag(result.experiment_id, key, value)
    return made, result.experiment_id


def delete_experiment(name: str) -> None:
    """Remove an experiment with its runs and artifacts from the store, if it is there."""
    if (database := file()) and not database.exists():
        return
    made = client()
    if (found := made.get_experiment_by_name(name)) is None:
        return
    if found.lifecycle_stage != "deleted":
        made.delete_experiment(found.experiment_id)
    command = ["gc", "--tracking-uri", uri(), "--backend-store-uri", uri(), "--experiment-ids", found.experiment_id]
    subprocess.run([sys.executable, "-m", "mlflow", *command], check=True, stdout=subprocess.DEVNULL)


def client() -> Any:
    """A client of the store, which is created if missing."""
    from filelock import FileLock
    from mlflow import MlflowClient

    logging.getLogger("mlflow").setLevel(logging.ERROR)  # it logs every migration
    if database := file():
        import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  (seconds, so not under the lock)

        with FileLock(f"{database}.lock", timeout=STARTING):  # concurrent migrations fail
            prepare(database)
    return MlflowClient(uri())


def prepare(database: Path) -> None:
    """Create a new sqlite store under another name first: an interrupted migration would break it for good.

    Raises ValueError for a file that is no database: MLflow would retry for half an hour.
    """
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if database.exists():
        ask(database, "SELECT count(*) FROM sqlite_master")
        return
    draft = database.with_name(database.name + ".new")
    draft.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{draft}", str(root() / "mlartifacts")).engine.dispose()
    draft.rename(database)


def check() -> None:
    """Read a sqlite store from end to end. Raises ValueError for a damaged one."""
    if (database := file()) and database.exists():
        ask(database, "PRAGMA integrity_check")


def ask(database: Path, question: str) -> None:
    """Raise ValueError if the answer says that the database is damaged."""
    import sqlite3

    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            answer = connection.execute(question).fetchone()[0]
    except sqlite3.DatabaseError as error:
        answer = str(error)
    if isinstance(answer, str) and answer != "ok":
        raise ValueError(f"{database}: {answer.splitlines()[0]}; delete it, and `aelab sync` fills a new one")


def file() -> Path | None:
    """The file of a sqlite store."""
    text = uri()
    return Path(text.removeprefix("sqlite:///").partition("?")[0]).resolve() if text.startswith("sqlite:") else None
