"""The tree of runs in MLflow: experiment (data set) > state of the pipeline > stage and item > replicate.

In a sweep: experiment > sweep > trial > stage and item > replicate (see tracking/sweeps.py).
"""

from __future__ import annotations

from typing import Any

from aelab.tracking.facts import PARENT
from aelab.tracking.state import State

KEY = "pipeline_state"
EARLIER = State("earlier", "earlier results", {})  # of states of which nothing else is known


def parent(client: Any, experiment_id: str, state: State, at: int) -> str:
    """The id of the run of a pipeline state, created if missing, set to running."""
    result = client.search_runs([experiment_id], f"tags.{KEY} = '{state.key}'", max_results=1)
    if result:
        if result[0].info.status != "RUNNING":
            client.update_run(result[0].info.run_id, status="RUNNING")
        return result[0].info.run_id
    tags = {KEY: state.key, "mlflow.note.content": note(state)}
    run = client.create_run(experiment_id, at, tags, state.name)
    for name, value in state.changed.items():
        client.log_param(run.info.run_id, name, value[:6000])
    return run.info.run_id


def owner(client: Any, parent: str) -> dict[str, Any]:
    """What a parent run represents: {"state": see state.State}, {"sweep": name, "trial": number}, or {}."""
    run = client.get_run(parent)
    if KEY in run.data.tags:
        return {"state": {"key": run.data.tags[KEY], "name": run.info.run_name, "changed": run.data.params}}
    return {tag: run.data.tags[tag] for tag in ("sweep", "trial") if tag in run.data.tags}


def settle(client: Any, experiment_id: str, run: str, at: int) -> None:
    """End a state's run if none of its stages is running: FAILED or KILLED if the last run of a stage is."""
    tags = client.get_run(run).data.tags

    def below(where: str, most: int = 1000) -> Any:
        where, order = f"tags.`{PARENT}` = '{run}' and {where}", ["attributes.start_time DESC"]
        return client.search_runs([experiment_id], where, max_results=most, order_by=order)

    if KEY not in tags or below("attributes.status = 'RUNNING'", 1):
        return
    status = "FINISHED"
    for how in ("KILLED", "FAILED"):
        names = {item.info.run_name for item in below(f"attributes.status = '{how}'")}
        last = [below(f"attributes.run_name = '{name}'", 1)[0] for name in names if linked(name) not in tags]
        if any(item.info.status == how for item in last):
            status = how
    client.set_terminated(run, status, at)


def linked(name: str) -> str:
    """The tag of a state's run that names the run, of another state, that made the result of a stage."""
    return f"linked/{name.replace(' ', '/')}"


def made_by(stage: str) -> str:
    """The description of a stage's run, by DVC's name of the stage."""
    return f"Made by `aelab repro {stage.removeprefix('dvc.yaml:')}`."


def note(state: State) -> str:
    """The run's description in the UI: how to make it again (++: also keys that the commit lacks)."""
    if state == EARLIER:
        return "Results that DVC's cache holds, of states of which nothing else is known. They are the runs below."
    options = " ".join(f"-S '++{name}={value}'" for name, value in state.changed.items())
    command = f"dvc exp run {options}" if options else "aelab repro"
    return f"One state of the pipeline, parameters and code: `{command}`. Its stages are the runs below."
