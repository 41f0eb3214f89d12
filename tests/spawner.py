"""Stages as processes that start at once, to be killed, starved and fed with odd data."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Lab

# forks a process per line that it reads, which then is `python stages/<stage>.py <item>` with the libraries loaded
SPAWNER = """
import gc, importlib, json, multiprocessing, os, runpy, sys
from aelab.config import runtime
from aelab.runner.fork_server import LIBRARIES
for library in LIBRARIES:
    importlib.import_module(library)
from aelab.training import multi_seed
from aelab.evaluation import baselines, evaluate
from aelab.models import rbm, stacked
gc.freeze()
def become(order):
    os.chdir(order["folder"])
    os.environ.update(order["env"])
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(os.open(order["errors"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    sys.argv = order["argv"]
    sys.path.insert(0, "stages")
    runpy.run_path(sys.argv[0], run_name="__main__")
for line in sys.stdin:
    process = multiprocessing.get_context("fork").Process(target=become, args=[json.loads(line)])
    process.start()
    print(process.pid, flush=True)
    process.join()
    print(process.exitcode, flush=True)
os._exit(0)  # extensions complain when Python takes them down with what gc.freeze has kept
"""


@dataclass
class Ended:
    """A stage's process after its end: its exit code (minus the signal that killed it) and what it said."""

    code: int
    errors: str


class Spawner:
    """Starts stages as forks of one process that has imported what they import: real processes without the wait."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SPAWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, lab: Lab, words: str, watch: Callable[[int], Any] | None = None, **environment: str) -> Ended:
        """Run a stage ("train vae") to its end; watch(its pid) runs beside it."""
        assert self.process.stdin
        assert self.process.stdout
        stage, *items = words.split()
        with tempfile.NamedTemporaryFile("r") as errors:
            order = {"folder": str(lab.folder), "argv": [f"stages/{stage}.py", *items], "errors": errors.name}
            order["env"] = {"AELAB_TRACKING": "off", "CUDA_VISIBLE_DEVICES": "", **environment}
            print(json.dumps(order), file=self.process.stdin, flush=True)
            pid, code = int(self.process.stdout.readline()), 0
            try:
                if watch:
                    watch(pid)
            finally:  # the next stage's answers come after this one's
                code = int(self.process.stdout.readline())
            return Ended(code, errors.read())

    def works(self, lab: Lab, words: str, **environment: str) -> None:
        """Run a stage that is to succeed without a word."""
        ended = self.run(lab, words, **environment)
        assert (ended.code, ended.errors) == (0, ""), ended.errors

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait()
