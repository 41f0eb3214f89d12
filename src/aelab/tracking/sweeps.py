"""A sweep in MLflow: a run "sweep vae" in the data set's experiment, one run per trial below it, trainings below these.

The study is the truth and the store shows it: what is missing or out of date there is created or updated.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from aelab.tracking import state as states
from aelab.tracking import store
from aelab.tracking.runs import cut

SWEEP, TRIAL = "sweep", "trial"  # tags
STATES = {"RUNNING": "RUNNING", "COMPLETE": "FINISHED", "PRUNED": "KILLED", "FAIL": "FAILED"}  # Optuna's, MLflow's


class Tracked:
    """The runs of a sweep. An error of the store costs one line; the store is updated when the sweep continues."""

    def __init__(self, experiment: str, name: str, say: Callable[[str], None]) -> None:
        self.experiment, self.name, self.say = experiment, name, say
        self.client: Any = None
        self.parent = ""
        self.ids: dict[int, str] = {}  # trial -> run
        self.shown: dict[int, str] = {}  # trial -> its state in the store
        self.off = os.environ.get("AELAB_TRACKING") == "off"

    def run(self, number: int) -> str | None:
        """The run of a trial, if the store has it."""
        return self.ids.get(number)

    def show(self, trials: Sequence[Mapping[str, Any]], ended: bool, pictures: Path) -> None:
        """Update the store from the trials; ended: no process works on them now."""
        if self.off:
            return
        try:
            if not self.parent:
                self.open()
            for trial in trials:
                self.one(trial, ended)
            if ended:
                if pictures.is_dir():
                    self.client.log_artifacts(self.parent, str(pictures), "figures")
                cut = any(trial["state"] == "RUNNING" for trial in trials)
                self.client.set_terminated(self.parent, "KILLED" if cut else "FINISHED")
        except Exception as error:  # any error of MLflow and its stores
            self.off = True
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            self.say(f"tracking: {first}; the sweep goes on, and the next `aelab sweep {self.name}` tells MLflow")

    def open(self) -> None:
        """Find the existing runs, or create the sweep's."""
        for name, value in store.TIMEOUTS.items():
            os.environ.setdefault(name, value)
        self.client, self.experiment_id = store.connect(self.experiment)
        result = self.client.search_runs([self.experiment_id], f"tags.{SWEEP} = '{self.name}'", max_results=50000)
        for run in result:
            tags = run.data.tags
            if TRIAL in tags:
                self.ids[int(tags[TRIAL])], self.shown[int(tags[TRIAL])] = run.info.run_id, run.info.status
            else:
                self.parent = run.info.run_id
        if self.parent:
            self.client.update_run(self.parent, status="RUNNING")
            return
        note = f"Trials of `aelab sweep {self.name}`, each below; its numbers by trial are metrics of this run."
        tags = {SWEEP: self.name, "mlflow.note.content": note}
        self.parent = self.client.create_run(
            self.experiment_id, int(time.time() * 1000), tags, f"sweep {self.name}"
        ).info.run_id

    def one(self, trial: Mapping[str, Any], ended: bool) -> None:
        """Create or update a trial's run."""
        number, state = trial["number"], STATES[trial["state"]]
        if number not in self.ids:
            tags = {SWEEP: self.name, TRIAL: str(number), states.PARENT: self.parent}
            name = f"trial {number}: " + ", ".join(f"{key}={plain(value)}" for key, value in trial["params"].items())
            run = self.client.create_run(self.experiment_id, stamp(trial["began"]), tags, cut(name))
            self.ids[number], self.shown[number] = run.info.run_id, "RUNNING"
            for key, value in trial["params"].items():
                self.client.log_param(run.info.run_id, key, cut(plain(value)))
        run = self.ids[number]
        wanted = "KILLED" if ended and state == "RUNNING" else state
        if self.shown[number] == wanted:
            return
        self.shown[number] = wanted
        if state == "RUNNING":  # interrupted, or resumed
            end = self.client.set_terminated if ended else self.client.update_run
            end(run, status=wanted)
            return
        at = stamp(trial["ended"])
        for name, value in trial["values"].items():
            self.client.log_metric(run, name, value, at, 0)
            self.client.log_metric(self.parent, name, value, at, number)
        if trial["error"]:
            self.client.set_tag(run, "error", cut(trial["error"]))
        if state == "KILLED":
            self.client.set_tag(run, "pruned", f"after {len(trial['steps'])} epochs")
        self.client.set_terminated(run, state, at)


def plain(value: Any) -> str:
    """A parameter as Recorders write it."""
    return json.dumps(value) if isinstance(value, (tuple, list)) else str(value)


def stamp(at: datetime) -> int:
    return int(at.timestamp() * 1000)
