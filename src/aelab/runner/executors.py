"""Where stages run: what the scheduler asks of an executor, and the executor for this machine.

Another one, for a Ray cluster, is in runner/cluster.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from aelab.runner import cores, fork_server
from aelab.runner.dvc_api import PipelineStage, Repo, get_executable, make_cmd, prepare_kwargs


class Process(Protocol):
    """A stage at work: the part of subprocess.Popen that is used."""

    @property
    def returncode(self) -> Any: ...
    def poll(self) -> int | None: ...
    def wait(self) -> int: ...
    def terminate(self) -> None: ...


class Executor(Protocol):
    """Runs the commands of stages; the scheduler has removed their old outs, and saves and commits the new ones."""

    def begin(self, repo: Repo) -> None:
        """Called before the first stage of a run, in the folder of dvc.yaml; a mistake of the user raises
        ValueError."""
        ...

    def room(self, running: int) -> bool:
        """Whether another stage may start beside so many."""
        ...

    def start(self, stage: PipelineStage, environment: Mapping[str, str], log: Path) -> Process:
        """Start a stage's command, with these variables added to the environment. Its outs are in the working folder
        when the process has ended with returncode 0; what it prints goes to `log`."""
        ...

    def end(self) -> None:
        """Called when no stage runs any more, also after an error of `begin`."""
        ...

    def summary(self) -> str:
        """What there is to say about the run, in a line; "" for nothing."""
        ...


class Local:
    """Stages are processes of this machine. jobs: cores to use; gpus: shared out among the stages, if any are named."""

    def __init__(self, jobs: int, gpus: Sequence[str] = ()) -> None:
        self.jobs, self.gpus = jobs, gpus
        self.taken: list[tuple[Process, str]] = []  # stages and their GPU
        self.server: fork_server.Server | None = None
        self.held, self.turns = contextlib.ExitStack(), dict[str, str]()

    def begin(self, repo: Repo) -> None:
        self.turns = self.held.enter_context(cores.share(self.jobs))

    def room(self, running: int) -> bool:
        return running < self.jobs

    def start(self, stage: PipelineStage, environment: Mapping[str, str], log: Path) -> Process:
        options, gpu = prepare_kwargs(stage, {**environment, **self.turns}), self.free_gpu()
        if gpu is not None:
            options["env"]["CUDA_VISIBLE_DEVICES"] = gpu
        process = self.process(stage, options, log)
        if gpu is not None:
            self.taken.append((process, gpu))
        return process

    def process(self, stage: PipelineStage, options: Any, log: Path) -> Process:
        """Start the command; a Python script runs in a fork that has its libraries loaded."""
        if words := script(stage):
            self.server = self.server or fork_server.Server(os.environ)
            return self.server.start(words, options["cwd"], options["env"], log)
        with open(log, "wb") as out:
            return subprocess.Popen(shell(stage), stdin=subprocess.DEVNULL, stdout=out, stderr=out, **options)

    def free_gpu(self) -> str | None:
        """The GPU with the fewest stages; None if there are none to share out."""
        self.taken = [(process, gpu) for process, gpu in self.taken if process.poll() is None]
        taken = [gpu for _, gpu in self.taken]
        return min(self.gpus, key=taken.count, default=None)

    def end(self) -> None:
        if self.server:
            self.server.close()
            self.server = None
        self.held.close()

    def summary(self) -> str:
        return ""


def script(stage: PipelineStage) -> list[str]:
    """The Python script that is a stage's command, with its arguments; empty for any other command."""
    return fork_server.arguments(stage.cmd) if isinstance(stage.cmd, str) else []


def shell(stage: PipelineStage) -> Any:
    """The command line that runs a stage's commands as DVC does: each in a shell of its own, until one fails."""
    lines = stage.cmd if isinstance(stage.cmd, list) else str(stage.cmd).splitlines()
    words: list[Any] = [make_cmd(get_executable(), line) for line in lines]
    return words[0] if len(words) == 1 else ["/bin/sh", "-c", " && ".join(map(shlex.join, words))]
