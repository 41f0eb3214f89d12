"""A sweep's study: what Optuna keeps of it, one file that is only appended to, and how it asks for parameters.

Only one process at a time writes to a study (see `hold`), so whatever trial is RUNNING when one begins was cut short:
it is taken up as it is, number, parameters and all, and no trial is lost or made twice.
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
YOUNG = 3  # epochs before which a median says little: a small rate of learning begins badly
PRUNERS = {
    "median": lambda: optuna.pruners.MedianPruner(n_warmup_steps=YOUNG),
    "successive_halving": optuna.pruners.SuccessiveHalvingPruner,
}

optuna.logging.set_verbosity(optuna.logging.WARNING)
warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)


def home(name: str) -> Path:
    """Where everything of a sweep lies; it may be thrown away, and the sweep begins anew."""
    return HOME / name


def hold(name: str, patience: float = DYING) -> TextIO:
    """The lock of a sweep's one process. Its trials inherit it, so it is free when they are gone too.

    Raises ValueError where another process keeps it for longer than `patience`, in seconds.
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
    """The study to go on with, made where there is none; by who holds its lock. data: the data set's name.

    Raises ParamsError where the sweep's entry in params.yaml is no longer that of the trials that are there.
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
    """The study as it is, to read; None where there is none."""
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
    """The trials that were cut short."""
    found = []
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        study.sampler = sampler(sweep, trial.number)
        found.append(suggest(optuna.Trial(study, trial._trial_id), sweep))
    return found


def sampler(sweep: Sweep, number: int) -> optuna.samplers.BaseSampler:
    """One per trial, so that a sweep that is taken up asks what it would have asked."""
    digest = hashlib.sha256(f"{sweep.seed}/{number}".encode()).digest()
    return optuna.samplers.TPESampler(seed=int.from_bytes(digest[:4], "big"))


def suggest(trial: optuna.Trial, sweep: Sweep) -> optuna.Trial:
    """The trial with a value for every parameter; those that it has, it keeps."""
    for name, each in sweep.ranges().items():
        if each.kind == "choice":
            trial.suggest_categorical(name, [label(value) for value in each.values])
        elif each.kind == "int":
            trial.suggest_int(name, *each.values, log=each.log)
        else:
            trial.suggest_float(name, *map(float, each.values), log=each.log)
    return trial


def values(params: dict[str, Any], ranges: dict[str, Range]) -> dict[str, Any]:
    """A trial's parameters as params.yaml has them: choices as they were written."""
    choices = {name: {label(v): v for v in each.values} for name, each in ranges.items() if each.kind == "choice"}
    return {name: choices[name][value] if name in choices else value for name, value in params.items()}


def over(study: optuna.Study) -> int:
    """How many trials have ended, well or not."""
    return len(study.get_trials(deepcopy=False, states=OVER))


def best(study: optuna.Study) -> Sequence[FrozenTrial]:
    """The best trial; of two objectives, those that no other beats in both. Empty where none is complete."""
    return sorted(study.best_trials, key=lambda trial: trial.values)
