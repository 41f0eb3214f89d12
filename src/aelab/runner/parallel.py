"""Run a function for several seeds at once: the first in this process, the others in forked ones. Results do not
change.

A stage computes with one thread and its seeds are independent, so on idle cores they take little more time than one. At
most as many compute at once as there are cores, or as `aelab repro -j` allows (runner/cores.py). A child sends messages
through a pipe, as JSON lines. The seeds run one after another where a process cannot fork, has one core, or computes on
a GPU or with several threads (OpenMP's threads are not in a fork, which would wait for them forever). On a GPU,
training uses one loop for all seeds (training/vectorized.py).
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from typing import Any, Protocol

from aelab.runner import cores, stage


class Metrics(Protocol):
    """The signature of Recorder.metrics."""

    def __call__(self, values: dict[str, float], step: int = 0, replicate: int | None = None) -> None: ...


Work = Callable[[int, Metrics], Any]  # (replicate, logger) -> a result that JSON can hold


def null_logger(values: dict[str, float], step: int = 0, replicate: int | None = None) -> None:
    """No-op logger."""


def run(work: Work, count: int, metrics: Metrics = null_logger, sequential: bool = False) -> list[Any]:
    """[work(0, metrics), ..., work(count - 1, metrics)]; sequential: one after another.

    Call it before this process computes a gradient: torch refuses to fork afterwards. Raises the error of the first
    failing work (ValueError, OSError and ArithmeticError as such), and ChildProcessError if a child died without a
    message.
    """
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else 1
    if sequential or count == 1 or threads > 1 or not hasattr(os, "sched_getaffinity"):
        return [work(replicate, metrics) for replicate in range(count)]
    with cores.turns() as turns:
        if turns.count == 1:
            return [work(replicate, metrics) for replicate in range(count)]
        children = [_Child(work, replicate, turns.of_a_fork(), metrics) for replicate in range(1, count)]
        try:
            first = work(0, metrics)
            turns.give_back()  # this core is free now
            results = [first, *(child.result() for child in children)]
        finally:
            for child in children:
                child.end()
        turns.take()
        return results


class _Child:
    """One forked process, and the thread that reads its messages."""

    def __init__(self, work: Work, replicate: int, turns: cores.Turns, metrics: Metrics) -> None:
        self.replicate, self.said = replicate, dict[str, Any]()
        inlet, outlet = os.pipe()
        sys.stdout.flush()
        sys.stderr.flush()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(inlet)
            _work(work, replicate, turns, outlet)
        os.close(outlet)
        self.thread = threading.Thread(target=self._listen, args=(inlet, metrics), daemon=True)
        self.thread.start()
        self.status: int | None = None

    def _listen(self, inlet: int, metrics: Metrics) -> None:
        with open(inlet, "rb") as lines:
            for line in lines:
                message = json.loads(line)
                if "values" in message:
                    metrics(**message)
                else:
                    self.said = message

    def result(self) -> Any:
        self.thread.join()
        if "result" in self.said:
            return self.said["result"]
        if "error" in self.said:
            raise KINDS.get(self.said["error"], RuntimeError)(*self.said["args"])
        self.end()
        raise ChildProcessError(f"replicate {self.replicate}: its process ended with status {self.status}")

    def end(self) -> None:
        """Kill the process if it still runs, and reap it."""
        if self.status is None:
            if self.thread.is_alive():
                os.kill(self.pid, signal.SIGKILL)  # its result is not needed any more
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


KINDS = {"ValueError": ValueError, "OSError": OSError, "ArithmeticError": ArithmeticError}


def _work(work: Work, replicate: int, turns: cores.Turns, outlet: int) -> None:
    """The whole life of a child process; does not return."""
    code = 1
    try:
        stage.die_with_parent()

        def say(**message: Any) -> None:
            line = json.dumps(message).encode() + b"\n"
            while line:
                line = line[os.write(outlet, line) :]

        def metrics(values: dict[str, float], step: int = 0, replicate: int | None = None) -> None:
            say(values=values, step=step, replicate=replicate)

        try:
            turns.take()  # released when this process ends
            say(result=work(replicate, metrics))
            code = 0
        except OSError as error:
            say(error="OSError", args=[error.errno, error.strerror, error.filename])
        except (ValueError, ArithmeticError) as error:
            say(error="ValueError" if isinstance(error, ValueError) else "ArithmeticError", args=[str(error)])
        except Exception:
            say(error="Exception", args=[traceback.format_exc()])
        sys.stderr.flush()
    finally:
        os._exit(code)
