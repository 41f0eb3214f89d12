"""Where runs are written: the MLflow store and its experiments, made where they are missing."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from aelab.tracking.places import root, store

STARTING = 110.0  # seconds that another process may take to make the store


def connect(experiment: str) -> tuple[Any, str]:
    """A client of the store and the experiment's id; creates what is missing, safe when several do it at once."""
    from filelock import FileLock
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    uri, artifacts = store(), None
    with contextlib.ExitStack() as stack:
        if uri.startswith("sqlite:"):
            import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  (seconds, so not under the lock)

            database = Path(uri.removeprefix("sqlite:///").partition("?")[0]).resolve()
            stack.enter_context(FileLock(f"{database}.lock", timeout=STARTING))  # migrations race
            prepare(database)
        if uri.startswith(("sqlite", "postgresql", "mysql", "mssql")):
            artifacts = str(root() / "mlartifacts" / experiment)  # MLflow's own depends on the working folder
        client = MlflowClient(uri)
        found = client.get_experiment_by_name(experiment)
        if found is None:
            try:
                return client, client.create_experiment(experiment, artifacts)
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                found = client.get_experiment_by_name(experiment)
        assert found is not None
        if found.lifecycle_stage == "deleted":
            client.restore_experiment(found.experiment_id)
        return client, found.experiment_id


def client() -> Any:
    """A client of the store as it is."""
    from mlflow import MlflowClient

    return MlflowClient(store())


def prepare(database: Path) -> None:
    """Make a fresh sqlite store under another name first: one whose migration was cut short is broken for good.

    Raises sqlite3.DatabaseError for a file that is no database: MLflow would try it for half an hour.
    """
    import sqlite3

    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    if database.exists():
        with contextlib.closing(sqlite3.connect(database)) as connection:
            connection.execute("SELECT count(*) FROM sqlite_master")
        return
    draft = database.with_name(database.name + ".new")
    draft.unlink(missing_ok=True)
    SqlAlchemyStore(f"sqlite:///{draft}", str(root() / "mlartifacts")).engine.dispose()
    draft.rename(database)
