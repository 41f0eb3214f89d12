"""Stages without their imports: a process that has torch and its like in memory, and forks itself for each stage.

Imports are most of a short stage's work. `aelab repro` starts this file as a process of its own, tells it through a
socket which script to run with which arguments, environment and log, and hears which process does it and how that
ended. The fork goes on as if `python <script> <arguments>` had been typed. It has nothing of aelab in memory, for a
stage itself says which code it runs, and it leaves without taking apart what torch has in memory, another 0.7 s.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import multiprocessing
import os
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from multiprocessing import connection
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

LIBRARIES = (  # what stages import; one that is missing is the stage's matter
    "torch",
    "safetensors.torch",
    "numpy",
    "ruamel.yaml",
    "filelock",
    "sklearn.linear_model",
)


def arguments(command: str) -> list[str]:
    """Script and arguments of a command that this interpreter would run, none where it is another kind of command."""
    words = shlex.split(command)
    plain = shlex.join(words) == command and words[:1] == ["python"] and len(words) > 1 and words[1].endswith(".py")
    python = shutil.which("python") if plain and sys.platform == "linux" else None
    return words[1:] if python and Path(python).parent == Path(sys.executable).parent else []


class Stage:
    """A script at work in a fork; used like subprocess.Popen."""

    def __init__(self, server: Server) -> None:
        self.server, self.pid = server, 0
        self.returncode: int | None = None

    def poll(self) -> int | None:
        self.server.listen()
        return self.returncode

    def wait(self) -> int:
        while self.returncode is None:
            self.server.listen(None)
        return self.returncode

    def terminate(self) -> None:
        while not self.pid and self.returncode is None:
            self.server.listen(None)
        if self.returncode is None:
            os.kill(self.pid, signal.SIGTERM)


class Server:
    """The process with the libraries, as seen by who started it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """environment: what the libraries are to find when they load."""
        self.stages: list[Stage] = []
        self.line, theirs = multiprocessing.Pipe()
        none, fd = subprocess.DEVNULL, theirs.fileno()
        command = [sys.executable, "-P", __file__, str(fd)]
        self.process = subprocess.Popen(command, stdin=none, stdout=none, stderr=none, env=environment, pass_fds=[fd])
        theirs.close()

    def start(self, words: list[str], cwd: str, env: Mapping[str, str], log: Path) -> Stage:
        """Run a script with its arguments in a fork that has this working folder and environment and writes to log."""
        job = {"words": words, "cwd": str(cwd), "env": dict(env), "log": str(log.absolute())}
        self.stages.append(Stage(self))
        with contextlib.suppress(BrokenPipeError):  # listen tells
            self.line.send_bytes(json.dumps(job).encode())
        return self.stages[-1]

    def listen(self, patience: float | None = 0.0) -> None:
        """Take in what has been said; wait so many seconds for a first word (None: as long as it takes)."""
        try:
            while self.line.poll(patience):
                number, pid, code = json.loads(self.line.recv_bytes())
                self.stages[number].pid, self.stages[number].returncode = pid, code
                patience = 0.0
        except (EOFError, ConnectionResetError):  # it is gone, and its forks with it
            for stage in self.stages:
                stage.returncode = -signal.SIGKILL if stage.returncode is None else stage.returncode

    def close(self) -> None:
        self.line.close()
        self.process.wait()


def serve(line: Connection) -> None:
    """Fork for every job that comes, tell of its process and its exit code, until the other end is gone."""
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    gc.freeze()  # else a fork's first collection would copy it all
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in the terminal is the other end's
    forks: dict[Any, tuple[int, Any]] = {}  # what tells of its end: its number, its process
    count = 0
    with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
        while True:
            ready = connection.wait([line, *forks])
            for end in [each for each in ready if each in forks]:
                number, process = forks.pop(end)
                process.join()
                line.send_bytes(json.dumps([number, process.pid, process.exitcode]).encode())
            if line in ready:
                job = json.loads(line.recv_bytes())
                process = multiprocessing.get_context("fork").Process(target=become, args=[job, line])
                process.start()
                forks[process.sentinel] = count, process
                line.send_bytes(json.dumps([count, process.pid, None]).encode())
                count += 1
    for _, process in forks.values():
        process.terminate()


def become(job: Mapping[str, Any], line: Connection) -> None:
    """Go on as `python <words>` would, in the job's folder."""
    line.close()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ.clear()
    os.environ.update(job["env"])
    os.chdir(job["cwd"])
    log = os.open(job["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    sys.argv = job["words"]
    sys.path.insert(0, str(Path(sys.argv[0]).absolute().parent))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])))
