"""A sweep in MLflow: a run "sweep vae" in the data set's experiment, one run per trial below it, trainings below these.

Optuna's study is the truth and the store shows it: what is missing or out of date there is created or updated.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aelab.tracking import events, store
from aelab.tracking.runs import cut
from aelab.tracking.state import PARENT

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

SWEEP, TRIAL = "sweep", "trial"  # tags
STATES = {"RUNNING": "RUNNING", "COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}  # Optuna's, MLflow's


class Tracked:
    """The runs of a sweep. An error of the store costs one line; the store is updated when the sweep continues."""

    def __init__(self, experiment: str, name: str, objectives: Sequence[str], say: Callable[[str], None]) -> None:
        self.experiment, self.name, self.objectives, self.say = experiment, name, objectives, say
        self.client: Any = None
        self.parent = ""
        self.runs: dict[int, tuple[str, str]] = {}  # trial -> its run and the run's status
        self.off = os.environ.get("AELAB_TRACKING") == "off"

    def run(self, number: int) -> str | None:
        """The run of a trial, if the store has it."""
        return self.runs[number][0] if number in self.runs else None

    def show(self, trials: Sequence[FrozenTrial], ended: bool, pictures: Path) -> None:
        """Update the store from the trials; ended: no process works on them now."""
        if self.off:
            return
        try:
            if not self.parent:
                self.open()
            for trial in trials:
                self.update(trial, ended)
            if ended:
                if pictures.is_dir():
                    self.client.log_artifacts(self.parent, str(pictures), "figures")
                interrupted = any(trial.state.name == "RUNNING" for trial in trials)
                self.client.set_terminated(self.parent, "KILLED" if interrupted else "FINISHED")
        except Exception as error:  # any error of MLflow and its stores
            self.off = True
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.say(f"tracking: {first}; the sweep goes on, and the next `aelab sweep {self.name}` tells MLflow")

    def open(self) -> None:
        """Find the existing runs, or create the sweep's."""
        os.environ |= store.TIMEOUTS | os.environ
        self.client, experiment = store.connect(self.experiment)
        for run in self.client.search_runs([experiment], f"tags.{SWEEP} = '{self.name}'", max_results=50000):
            if TRIAL in run.data.tags:
                self.runs[int(run.data.tags[TRIAL])] = run.info.run_id, run.info.status
            else:
                self.parent = run.info.run_id
        if self.parent:
            self.client.update_run(self.parent, status="RUNNING")
        else:
            note = f"Trials of `aelab sweep {self.name}`, each below; its numbers by trial are metrics of this run."
            self.parent = self.create(f"sweep {self.name}", events.now(), {"mlflow.note.content": note})

    def create(self, name: str, at: int, tags: dict[str, str]) -> str:
        experiment = self.client.get_experiment_by_name(self.experiment).experiment_id
        return self.client.create_run(experiment, at, tags | {SWEEP: self.name}, cut(name)).info.run_id

    def update(self, trial: FrozenTrial, ended: bool) -> None:
        """Create or update a trial's run."""
        if trial.number not in self.runs:
            name = f"trial {trial.number}: " + ", ".join(f"{key}={value}" for key, value in trial.params.items())
            run = self.create(name, stamp(trial.datetime_start), {TRIAL: str(trial.number), PARENT: self.parent})
            self.runs[trial.number] = run, "RUNNING"
            for key, value in trial.params.items():
                self.client.log_param(run, key, cut(str(value)))
        run, shown = self.runs[trial.number]
        status = STATES[trial.state.name]
        if ended and status == "RUNNING":  # interrupted
            status = "KILLED"
        if shown == status:
            return
        if trial.state.name == "COMPLETE":
            for name, value in zip(self.objectives, trial.values, strict=True):
                self.client.log_metric(run, name, value, stamp(trial.datetime_complete), 0)
                self.client.log_metric(self.parent, name, value, stamp(trial.datetime_complete), trial.number)
        elif trial.state.name == "PRUNED":
            self.client.set_tag(run, "pruned", f"after {len(trial.intermediate_values)} evaluations")
        elif "error" in trial.user_attrs:
            self.client.set_tag(run, "error", cut(trial.user_attrs["error"]))
        if status == "RUNNING":  # taken up again
            self.client.update_run(run, status=status)
        else:
            self.client.set_terminated(run, status, stamp(trial.datetime_complete))
        self.runs[trial.number] = run, status


def stamp(at: datetime | None) -> int:
    return int(at.timestamp() * 1000) if at else events.now()
