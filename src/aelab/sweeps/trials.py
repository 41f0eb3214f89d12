"""One trial: the pipeline up to the sweep's target, in a folder of its own with its own params.yaml.

The folder holds the project's current files and shares DVC's cache: unchanged stages come from there, and so does a
trial that ran before. The project's own folder does not change. Metrics that the target logs are read as they come (see
tracking.recorder).
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, TextIO

import optuna

from aelab.config import params
from aelab.data import storage
from aelab.runner import project_copy, repository, stage
from aelab.runner.dvc_api import Repo
from aelab.runner.project_copy import LOGS
from aelab.sweeps import edits

ECHO = ".echo"  # in a trial's folder: what its stages log
LOG = "trial.log"


class Target:
    """A stage of the pipeline in the working folder, and DVC's cache.

    Raises DvcException if there is no such stage, ParamsError if there are several.
    """

    def __init__(self, name: str) -> None:
        with Repo() as repo:
            result = list(repo.stage.collect(name))
            if len(result) != 1:
                allowed = f"one, such as {result[0].addressing}" if result else "one of dvc.yaml"
                raise params.ParamsError(f"target: {name!r} is {len(result)} stages; allowed: {allowed}")
            self.name, self.out = name, Path(os.path.relpath(result[0].outs[0].fs_path))
            self.cache = repo.cache.local_cache_dir


class Running:
    """A running trial. lock: inherited by its process for as long as it lives; run: its MLflow run; on: the cluster
    that its stages run on, if any."""

    def __init__(
        self, trial: optuna.Trial, target: Target, folder: Path, logs: Path, lock: TextIO, run: str | None, on: str = ""
    ) -> None:
        self.trial, self.target, self.folder, self.log = trial, target, folder, logs / LOG
        self.began, self.pruned, self.at = time.monotonic(), False, 0
        environment = os.environ | {"DVC_ROOT": str(repository.root()), "AELAB_ECHO": str(folder.resolve() / ECHO)}
        where = ["--on", on] if on else ["-j", "1"]
        with open(self.log, "ab") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "aelab.cli", "repro", *where, target.name],
                cwd=folder,
                env=environment | ({"AELAB_PARENT_RUN": run} if run else {}),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,  # Ctrl-C is handled by the sweep, which terminates its trials
                preexec_fn=stage.die_with_parent,
                pass_fds=[lock.fileno()],
            )

    @property
    def echo(self) -> Path:
        return self.folder / ECHO / f"{self.target.name}.jsonl"

    def told(self, metric: str) -> Iterator[tuple[int, float]]:
        """New (step, value) pairs of the first replicate."""
        try:
            with open(self.echo, "rb") as file:
                file.seek(self.at)
                data = file.read()
        except FileNotFoundError:
            return
        data = data[: data.rfind(b"\n") + 1]
        self.at += len(data)
        for line in data.splitlines():
            message = json.loads(line)
            if not message["replicate"] and metric in message["values"]:
                yield message["step"], message["values"][metric]

    def last_word(self) -> str:
        """The last line of the log of a failed trial."""
        lines = self.log.read_text(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if line.strip()), "no word")
        return last.replace(f"{LOGS}/", f"{self.log.parent}/")


def prepare(folder: Path, target: Target, values: Mapping[str, Any], logs: Path) -> None:
    """Make a trial's folder; an existing one belongs to an interrupted trial, which will be resumed.

    Raises ValueError outside git.
    """
    if folder.exists():
        logs.mkdir(parents=True, exist_ok=True)
        return
    with project_copy.copy(folder, target.cache, logs) as draft:
        (draft / params.FILE).write_text(edits.changed(params.FILE.read_text(), values))
        (draft / ECHO).mkdir()


def value(out: Path, objective: str) -> float:
    """The value of an objective in a trial's result.

    [<folder>/]validation/<term>: that term of the validation loss at the best evaluation, mean over replicates; for one
    with several results, <folder> names one of them. parameters: the number of learned values. Raises OSError or
    ValueError if there is no such value.
    """
    if objective == "parameters":
        import torch

        from aelab.evaluation import cost
        from aelab.training import artifacts

        return cost.parameters(artifacts.load(out, 0, torch.device("cpu")))
    folder, _, term = objective.rpartition("validation/")
    path = out / folder / "history.json"
    kept = [[row for row in history if row["best"]] for history in storage.load_json(path)]
    if not all(kept):
        raise ValueError(f"{path}: holds no evaluations, so no {objective}")
    terms = [rows[-1]["validation"] for rows in kept]
    if term not in terms[0]:
        raise ValueError(f"{path}: no {objective}; there: {', '.join(f'validation/{item}' for item in terms[0])}")
    mean = sum(item[term] for item in terms) / len(terms)
    if not math.isfinite(mean):
        raise ValueError(f"{path}: {objective} is {mean}")
    return mean
