"""A process that has torch and other libraries loaded, and forks itself for each stage: no stage waits for its imports.

Imports take most of the time of a short stage. `aelab repro` starts this file as a process, sends it through a socket
which script to run with which arguments, environment and log, and receives the process id and the exit code. The fork
behaves as if `python <script> <arguments>` had been typed. Nothing of aelab is loaded, because a stage chooses the code
that it runs; and a fork exits without torch's clean-up, which takes 0.7 s.
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

LIBRARIES = (  # libraries that stages import; a missing one is an error of the stage
    "torch",
    "torch._dynamo",  # torch.optim and FlopCounterMode import it when they are first used: 2 s of each stage
    "safetensors.torch",
    "numpy",
    "ruamel.yaml",
    "filelock",
    "sklearn.linear_model",
    "sklearn.neighbors",
    "sklearn.cluster",
    "scipy.optimize",
)


def arguments(command: str) -> list[str]:
    """Script and arguments of a command that runs a Python script with this interpreter; empty for any other
    command."""
    text = shlex.split(command)
    plain = shlex.join(text) == command and text[:1] == ["python"] and len(text) > 1 and text[1].endswith(".py")
    python = shutil.which("python") if plain and sys.platform == "linux" else None
    return text[1:] if python and Path(python).parent == Path(sys.executable).parent else []


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
    """The server process, as seen by the process that started it."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """environment: variables that the libraries read when they load."""
        self.stages: list[Stage] = []
        self.line, theirs = multiprocessing.Pipe()
        none, fd = subprocess.DEVNULL, theirs.fileno()
        command = [sys.executable, "-P", __file__, str(fd)]
        self.process = subprocess.Popen(command, stdin=none, stdout=none, stderr=none, env=environment, pass_fds=[fd])
        theirs.close()

    def start(self, words: list[str], cwd: str, env: Mapping[str, str], log: Path) -> Stage:
        """Run a script with its arguments in a fork with this working folder, environment and log."""
        job = {"words": words, "cwd": str(cwd), "env": dict(env), "log": str(log.absolute())}
        self.stages.append(Stage(self))
        with contextlib.suppress(BrokenPipeError):  # `listen` reports it
            self.line.send_bytes(json.dumps(job).encode())
        return self.stages[-1]

    def listen(self, patience: float | None = 0.0) -> None:
        """Read pending messages; wait this many seconds for the first one (None: without limit)."""
        try:
            while self.line.poll(patience):
                number, pid, code = json.loads(self.line.recv_bytes())
                self.stages[number].pid, self.stages[number].returncode = pid, code
                patience = 0.0
        except (EOFError, ConnectionResetError):  # the server is gone, and its forks with it
            for stage in self.stages:
                stage.returncode = -signal.SIGKILL if stage.returncode is None else stage.returncode

    def close(self) -> None:
        self.line.close()
        self.process.wait()


def serve(line: Connection) -> None:
    """Fork for every job that arrives, report process id and exit code, until the other end closes."""
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):
            importlib.import_module(library)
    gc.freeze()  # or a fork's first garbage collection would copy all memory
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the other end
    forks: dict[Any, tuple[int, Any]] = {}  # sentinel -> number, process
    count = 0
    with contextlib.suppress(EOFError, ConnectionResetError, BrokenPipeError):
        while True:
            ready = connection.wait([line, *forks])
            for end in [item for item in ready if item in forks]:
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
    """Continue as `python <script> <arguments>` would, in the job's folder."""
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
