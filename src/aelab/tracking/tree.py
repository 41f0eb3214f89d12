"""The tree of runs in MLflow: experiment (data set) > state of the pipeline > stage and item > replicate.

In a sweep: experiment > sweep > trial > stage and item > replicate (see tracking/sweeps.py).
"""

from __future__ import annotations

from typing import Any

from aelab.tracking.facts import PARENT
from aelab.tracking.state import State

KEY = "pipeline_state"


def parent(client: Any, experiment_id: str, state: State, at: int) -> str:
    """The id of the run that stands for a state of the pipeline, made where there is none; it runs (again)."""
    found = client.search_runs([experiment_id], f"tags.{KEY} = '{state.key}'", max_results=1)
    if found:
        if found[0].info.status != "RUNNING":
            client.update_run(found[0].info.run_id, status="RUNNING")
        return found[0].info.run_id
    tags = {KEY: state.key, "mlflow.note.content": note(state)}
    run = client.create_run(experiment_id, at, tags, state.name)
    for name, value in state.changed.items():
        client.log_param(run.info.run_id, name, value[:6000])
    return run.info.run_id


def settle(client: Any, experiment_id: str, run: str, at: int) -> None:
    """End a state's run where none of its stages is at work."""
    if not client.search_runs(
        [experiment_id], f"tags.`{PARENT}` = '{run}' and attributes.status = 'RUNNING'", max_results=1
    ):
        client.set_terminated(run, "FINISHED", at)


def made_by(stage: str) -> str:
    """The description of a stage's run, by DVC's name of the stage."""
    return f"Made by `aelab repro {stage.removeprefix('dvc.yaml:')}`."


def note(state: State) -> str:
    """What the UI shows as the run's description: how to make it again."""
    options = " ".join(f"-S '{name}={value}'" for name, value in state.changed.items())
    command = f"dvc exp run {options}" if options else "aelab repro"
    return f"One state of the pipeline, parameters and code: `{command}`. Its stages are the runs below."
