"""The loop of `aelab sweep`: suggest parameters, run the pipeline with them, report the objective."""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Callable
from typing import Any, TextIO

import optuna
from optuna.trial import TrialState

from aelab.config import params
from aelab.sweeps import edits, show, study
from aelab.sweeps.settings import Sweep
from aelab.sweeps.trials import LOGS, Running, Target, prepare, value
from aelab.tracking.sweeps import Tracked

PAUSE = 0.1  # seconds between two looks at the trials

Say = Callable[[str], None]


class Run:
    """A running sweep; it holds the lock of its study."""

    def __init__(self, name: str, sweep: Sweep, lock: TextIO, say: Say, on: str = "") -> None:
        """on: the cluster that stages of trials run on, if any."""
        self.name, self.sweep, self.lock, self.say, self.on = name, sweep, lock, say, on
        self.target, self.ranges = Target(sweep.target), sweep.ranges()
        self.study = study.begin(name, sweep, experiment(sweep))
        self.tracked = Tracked(experiment(sweep), name, list(sweep.objectives), say)
        self.running: list[Running] = []
        self.upstream = False  # whether the outs that all trials need are there

    def go(self, trials: int, jobs: int) -> None:
        """Continue until the study has this many finished trials."""
        try:
            self.track()
            waiting = study.take_up(self.study, self.sweep)
            while self.running or waiting or study.over(self.study) < trials:
                while self.room(jobs) and (waiting or study.over(self.study) + len(self.running) < trials):
                    self.start(waiting.pop(0) if waiting else study.ask(self.study, self.sweep))
                self.watch()
                for item in [item for item in self.running if item.process.poll() is not None]:
                    self.running.remove(item)
                    self.end(item, trials)
                time.sleep(PAUSE)
            show.draw(self.name, self.study, self.sweep)
        finally:
            self.stop()

    def room(self, jobs: int) -> bool:
        """Whether another trial may start; the first one runs alone, to make what all of them depend on."""
        self.upstream = self.upstream or any(item.echo.exists() for item in self.running)
        return len(self.running) < (jobs if self.upstream else 1)

    def start(self, trial: optuna.Trial) -> None:
        values = self.sweep.fixed | study.values(trial.params, self.ranges)
        folder, logs = study.home(self.name) / str(trial.number), LOGS / f"sweep-{self.name}-{trial.number}"
        prepare(folder, self.target, values, logs)
        self.track()
        run = self.tracked.run(trial.number)
        self.running.append(Running(trial, self.target, folder, logs, self.lock, run, self.on))

    def watch(self) -> None:
        """Report intermediate values of running trials, and prune those that are not promising."""
        if not self.sweep.pruner:
            return
        [objective] = self.sweep.objectives
        for item in self.running:
            known = self.study.trials[item.trial.number].intermediate_values
            for step, number in item.told(objective):
                if step not in known:  # a resumed trial reports all values again
                    item.trial.report(number, step)
                if not item.pruned and item.trial.should_prune():
                    item.pruned = True
                    item.process.terminate()

    def end(self, each: Running, trials: int) -> None:
        """Report the result of a trial."""
        number, self.upstream, results = each.trial.number, True, None
        state = TrialState.PRUNED if each.pruned else TrialState.FAIL
        if not each.pruned and each.process.returncode == 0:
            try:
                results = [value(each.folder / each.target.out, name) for name in self.sweep.objectives]
                state = TrialState.COMPLETE
            except (OSError, ValueError) as error:
                each.trial.set_user_attr("error", str(error))
        elif not each.pruned:
            each.trial.set_user_attr("error", each.last_word())
        self.study.tell(number, results, state)
        shutil.rmtree(each.folder, ignore_errors=True)
        self.track()
        values = self.study.trials[number]
        done, seconds = study.over(self.study), time.monotonic() - each.began
        self.say(f"{time.strftime('%H:%M:%S')} {done:4}/{trials} trial {number}, {seconds:.0f} s: {show.words(values)}")

    def stop(self) -> None:
        """Stop running trials; they are resumed when the sweep continues."""
        for item in self.running:
            item.process.terminate()
        for item in self.running:
            item.process.wait()
        self.track(ended=True)

    def track(self, ended: bool = False) -> None:
        """Update MLflow from the study."""
        self.tracked.show(self.study.get_trials(deepcopy=False), ended, show.folder(self.name))


def experiment(sweep: Sweep) -> str:
    """The data set of the trials."""
    return sweep.fixed.get("data.name") or params.load("data").name


def check(sweep: Sweep) -> None:
    """Raise ParamsError if params.yaml would reject what the sweep sets: every bound and choice is tried."""
    text, ranges = params.FILE.read_text(), sweep.ranges()
    for i in range(max(len(item.values) for item in ranges.values())):
        corner = {key: item.values[i % len(item.values)] for key, item in ranges.items()}
        edits.check(text, sweep.fixed | corner)


def sweep(name: str, trials: int | None, jobs: int, say: Say, on: str = "") -> None:
    """Run or continue a sweep until it has `trials` trials (None: as many as params.yaml says). on: see Run."""
    entry = params.load(f"sweeps.{name}")
    check(entry)
    with study.hold(name) as lock:
        run = Run(name, entry, lock, say, on)
        run.go(trials or entry.trials, jobs)


def tell_again(say: Say) -> None:
    """Update MLflow from all studies of params.yaml that no process works on."""
    for journal in sorted(study.HOME.glob("*/journal")):
        name = journal.parent.name
        with contextlib.suppress(ValueError), study.hold(name, patience=0):
            entry, result = params.load(f"sweeps.{name}"), study.look(name)
            if result:
                tracked = Tracked(experiment(entry), name, list(entry.objectives), say)
                tracked.show(result.get_trials(deepcopy=False), True, show.folder(name))


def report(name: str) -> str:
    """The trials as a table, and the paths of their figures, which are drawn again."""
    entry, result = params.load(f"sweeps.{name}"), study.look(name)
    if result is None:
        raise ValueError(f"sweep {name} has no trial yet; `aelab sweep {name}` makes some")
    return "\n".join([show.table(result, entry), *map(str, show.draw(name, result, entry))])


def apply(name: str, number: int | None) -> dict[str, Any]:
    """Set the parameters of the best trial (or of trial `number`) in params.yaml; returns them.

    Raises ValueError if there is no such trial, or no single best one.
    """
    entry, result = params.load(f"sweeps.{name}"), study.look(name)
    best = study.best(result) if result else []
    if not result or not best:
        raise ValueError(f"sweep {name} has no complete trial; `aelab sweep {name}` makes some")
    if number is None and len(entry.objectives) > 1:
        front = ", ".join(str(trial.number) for trial in best)
        raise ValueError(f"sweep {name} has two objectives: choose one of its front with --trial; there: {front}")
    chosen = [trial for trial in result.trials if trial.number == number] if number is not None else best
    if not chosen or chosen[0].state != TrialState.COMPLETE:
        raise ValueError(f"sweep {name}: trial {number} is not there or not complete; see `aelab sweep {name} --show`")
    values = study.values(chosen[0].params, entry.ranges())
    edits.apply(values)
    return values
