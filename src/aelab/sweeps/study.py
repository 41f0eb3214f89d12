"""The study of a sweep: Optuna's storage, one append-only file, and how parameters are suggested.

Only one process at a time writes to a study (see `hold`), so any trial that is RUNNING at the start was interrupted: it
is resumed with its number and parameters, and no trial is lost or run twice.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

import optuna
from optuna.trial import FrozenTrial, TrialState

from aelab.config.params import ParamsError
from aelab.sweeps.settings import Range, Sweep, label

HOME = Path(".aelab/sweeps")
DYING = 30.0  # seconds that the trials of a killed sweep may take to end
OVER = (TrialState.COMPLETE, TrialState.PRUNED, TrialState.FAIL)
YOUNG = 3  # evaluations before which the median pruner waits: a small learning rate starts slowly
PRUNERS = {
    "median": lambda: optuna.pruners.MedianPruner(n_warmup_steps=YOUNG),
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
}

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def home(name: str) -> Path:
    """The folder of a sweep; without it, the sweep starts from the beginning."""
    return HOME / name


def hold(name: str, patience: float = DYING) -> TextIO:
    """The lock of a sweep. Its trials inherit it, so it is free only when they have ended too.

    Raises ValueError if another process holds it for longer than `patience`, in seconds.
    """
    home(name).mkdir(parents=True, exist_ok=True)
    lock, end = open(home(name) / "lock", "a"), time.monotonic() + patience  # noqa: SIM115
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > end:
                lock.close()
                raise ValueError(
                    f"sweep {name} is at work in another process; -j does several trials at once"
                ) from None
            time.sleep(0.1)
        else:
            return lock


def begin(name: str, sweep: Sweep, data: str) -> optuna.Study:
    """The study, created if there is none; needs the lock. data: the name of the data set.

    Raises ParamsError if the sweep's entry in params.yaml no longer matches the existing trials.
    """
    journal = home(name) / "journal"
    journal.with_name("journal.lock").unlink(missing_ok=True)  # a kill may have left it, and half a line
    if journal.exists():
        whole = journal.read_bytes()
        os.truncate(journal, whole.rfind(b"\n") + 1)
    study = optuna.create_study(
        storage=storage(journal),
        study_name=name,
        directions=list(sweep.objectives.values()),
        pruner=PRUNERS[sweep.pruner]() if sweep.pruner else optuna.pruners.NopPruner(),
        load_if_exists=True,
    )
    kept, identity = study.user_attrs.get("sweep"), f"{data}: {sweep.identity()}"
    if kept is None:
        study.set_metric_names(list(sweep.objectives))
        study.set_user_attr("sweep", identity)
    elif kept != identity:
        raise ParamsError(
            f"sweeps.{name} or the data set changed since its first trial, so trials would not compare; "
            f"give it another name, or delete {home(name)} to begin anew"
        )
    return study


def look(name: str) -> optuna.Study | None:
    """The study, for reading; None if there is none."""
    journal = home(name) / "journal"
    with contextlib.suppress(KeyError):
        return optuna.load_study(study_name=name, storage=storage(journal)) if journal.exists() else None
    return None


def storage(journal: Path) -> Any:
    from optuna.storages.journal import JournalFileBackend, JournalStorage

    return JournalStorage(JournalFileBackend(str(journal)))


def ask(study: optuna.Study, sweep: Sweep) -> optuna.Trial:
    """The next trial with its parameters."""
    study.sampler = sampler(sweep, len(study.trials))
    return suggest(study.ask(), sweep)


def take_up(study: optuna.Study, sweep: Sweep) -> list[optuna.Trial]:
    """The interrupted trials."""
    result = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.sampler = sampler(sweep, trial.number)
        result.append(suggest(optuna.Trial(study, trial._trial_id), sweep))
    return result


def sampler(sweep: Sweep, number: int) -> optuna.samplers.BaseSampler:
    """One sampler per trial, so that a resumed sweep suggests the same parameters."""
    digest = hashlib.sha256(f"{sweep.seed}/{number}".encode()).digest()
    return optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big"))


def suggest(trial: optuna.Trial, sweep: Sweep) -> optuna.Trial:
    """The trial with a value for every parameter; existing values stay."""
    for name, item in sweep.ranges().items():
        if item.kind == "choice":
            trial.suggest_categorical(name, [label(value) for value in item.values])
        elif item.kind == "int":
            trial.suggest_int(name, *item.values, log=item.log)
        else:
            trial.suggest_float(name, *map(float, item.values), log=item.log)
    return trial


def values(params: dict[str, Any], ranges: dict[str, Range]) -> dict[str, Any]:
    """A trial's parameters as in params.yaml, choices as written there."""
    choices = {name: {label(v): v for v in item.values} for name, item in ranges.items() if item.kind == "choice"}
    return {name: choices[name][value] if name in choices else value for name, value in params.items()}


def over(study: optuna.Study) -> int:
    """The number of finished trials, successful or not."""
    return len(study.get_trials(deepcopy=False, states=OVER))


def best(study: optuna.Study) -> Sequence[FrozenTrial]:
    """The best trial; for two objectives, the Pareto front. Empty without complete trials."""
    return sorted(study.best_trials, key=lambda trial: trial.values)
