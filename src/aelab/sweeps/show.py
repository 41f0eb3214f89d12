"""A study as text, table and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import TrialState

from aelab.sweeps import study
from aelab.sweeps.settings import Sweep, label

FEWEST = 4  # complete trials from which on importances are computed


def described(found: optuna.Study, sweep: Sweep) -> list[dict[str, Any]]:
    """The study's trials as plain values, for tracking and report."""
    ranges = sweep.ranges()
    return [
        {
            "number": trial.number,
            "state": trial.state.name,
            "params": study.values(trial.params, ranges),
            "values": dict(zip(sweep.objectives, trial.values, strict=True)) if trial.state.name == "COMPLETE" else {},
            "steps": trial.intermediate_values,
            "error": trial.user_attrs.get("error", ""),
            "began": trial.datetime_start,
            "ended": trial.datetime_complete,
        }
        for trial in found.get_trials(deepcopy=False)
    ]


def words(trial: optuna.trial.FrozenTrial) -> str:
    """A trial in one line."""
    if trial.state == TrialState.COMPLETE:
        result = ", ".join(f"{value:.6g}" for value in trial.values)
    elif trial.state == TrialState.PRUNED:
        result = f"pruned after {len(trial.intermediate_values)} epochs"
    else:
        result = f"{trial.state.name.lower()}: {trial.user_attrs.get('error', '')}"
    return f"{result} ({short(trial.params)})"


def short(values: Mapping[str, Any]) -> str:
    """Parameters in short form: the last part of each name, four digits."""
    return ", ".join(f"{name.rpartition('.')[2]} {figure(value)}" for name, value in values.items())


def figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(label(value))


def table(found: optuna.Study, sweep: Sweep) -> str:
    """All trials as text, the best one marked."""
    marked = {trial.number for trial in study.best(found)}
    rows = [["", "trial", "state", *sweep.objectives, *sweep.space]]
    for trial in described(found, sweep):
        results = [f"{trial['values'][name]:.6g}" if trial["values"] else "" for name in sweep.objectives]
        state = trial["state"].lower() + (f" ({len(trial['steps'])} epochs)" if trial["state"] == "PRUNED" else "")
        values = [figure(trial["params"].get(name, "")) for name in sweep.space]
        rows.append(["*" * (trial["number"] in marked), str(trial["number"]), state, *results, *values])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def folder(name: str) -> Path:
    """The folder of the figures of a sweep."""
    return Path("metrics/sweeps") / name


def draw(name: str, found: optuna.Study, sweep: Sweep) -> list[Path]:
    """Draw the figures that the trials allow; returns the files."""
    from aelab.report.figures import sweeps

    return sweeps.draw(name, described(found, sweep), sweep.objectives, importance(found, sweep), folder(name))


def importance(found: optuna.Study, sweep: Sweep) -> dict[str, dict[str, float]]:
    """Objective -> parameter -> its share of the variance between trials; empty with too few trials."""
    complete = found.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if len(complete) < FEWEST or len(sweep.space) < 2:
        return {}
    shares = {}
    for i, objective in enumerate(sweep.objectives):
        if len({trial.values[i] for trial in complete}) < 2:
            return {}
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=sweep.seed)
        by_name = optuna.importance.get_param_importances(
            found, evaluator=evaluator, target=lambda trial, i=i: trial.values[i]
        )
        shares[objective] = {name: by_name.get(name, 0.0) for name in sweep.space}
    return shares
