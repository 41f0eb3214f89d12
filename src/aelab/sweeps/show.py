"""A study as text, table and figures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState

from aelab.sweeps import study
from aelab.sweeps.settings import Sweep, label

FEWEST = 4  # complete trials from which on importances are computed


def words(trial: FrozenTrial) -> str:
    """A trial in one line: parameters by the last part of their names, four digits."""
    if trial.state == TrialState.COMPLETE:
        result = ", ".join(f"{value:.6g}" for value in trial.values)
    elif trial.state == TrialState.PRUNED:
        count = len(trial.intermediate_values)
        result = f"pruned after {count} evaluation{'s' if count > 1 else ''}"
    else:
        result = f"{trial.state.name.lower()}: {trial.user_attrs.get('error', '')}"
    return f"{result} ({short(trial.params)})"


def short(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.rpartition('.')[2]} {figure(value)}" for name, value in values.items())


def figure(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(label(value))


def table(found: optuna.Study, sweep: Sweep) -> str:
    """All trials as text, the best ones marked."""
    marked = {trial.number for trial in study.best(found)}
    rows = [["", "trial", "state", *sweep.objectives, *sweep.space]]
    for trial in found.get_trials(deepcopy=False):
        complete = trial.state == TrialState.COMPLETE
        results = [f"{value:.6g}" for value in trial.values] if complete else [""] * len(sweep.objectives)
        pruned = f" ({len(trial.intermediate_values)} evaluations)" if trial.state == TrialState.PRUNED else ""
        values = [figure(trial.params.get(name, "")) for name in sweep.space]
        about = ["*" * (trial.number in marked), str(trial.number), trial.state.name.lower() + pruned]
        rows.append([*about, *results, *values])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def folder(name: str) -> Path:
    """The folder of the figures of a sweep."""
    return Path("metrics/sweeps") / name


def draw(name: str, found: optuna.Study, sweep: Sweep) -> list[Path]:
    """Draw Optuna's figures that the trials allow, one of each per objective; returns the files."""
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as drawing

    pyplot.switch_backend("agg")
    complete = found.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return []
    files: list[Path] = []

    def save(kind: str, axes: Any, title: str, width: float = 7.0) -> None:
        panels = list(getattr(axes, "flat", [axes]))
        picture = panels[0].get_figure()
        for panel in panels:
            panel.set_title("")
            panel.set_title("", loc="left")
            panel.xaxis.set_minor_formatter("")
            panel.tick_params(axis="x", labelrotation=30 if len(panels) > 1 else 0)
        picture.set_size_inches(width, 4.5)
        picture.suptitle(f"Sweep {name}: {title}", y=0.96)
        files.append(folder(name) / f"{kind}.png")
        picture.savefig(files[-1], bbox_inches="tight", dpi=100)
        pyplot.close(picture)

    folder(name).mkdir(parents=True, exist_ok=True)
    single = len(sweep.objectives) == 1
    for i, objective in enumerate(sweep.objectives):
        of: dict[str, Any] = {"target_name": objective}
        of |= {} if single else {"target": lambda trial, i=i: trial.values[i]}
        end = "" if single else f"-{i + 1}"
        best = ", and the best so far" if single else ""
        save(f"history{end}", drawing.plot_optimization_history(found, **of), f"each trial{best}")
        slices = drawing.plot_slice(found, **of)
        save(f"parameters{end}", slices, "results by parameter, later trials darker", 2.0 + 2.6 * len(sweep.space))
        varied = len({trial.values[i] for trial in complete}) > 1 and len(sweep.space) > 1
        if len(complete) >= FEWEST and varied:
            evaluator = optuna.importance.FanovaImportanceEvaluator(seed=sweep.seed)
            shares = drawing.plot_param_importances(found, evaluator=evaluator, **of)
            save(f"importance{end}", shares, "which parameters decide (fANOVA over complete trials)")
    if not single:
        front = drawing.plot_pareto_front(found, target_names=list(sweep.objectives))
        save("front", front, "the best are those that no other beats in both objectives")
    return files
