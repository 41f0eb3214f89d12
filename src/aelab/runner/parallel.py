"""Several seeds of one thing at once: the first in this process, each other in a forked one. The results are the same.

A stage computes with one thread, and its seeds have nothing to do with each other, so on a machine with idle cores
they cost little more than one. No more of them compute at once than there are cores, or than `aelab repro -j` lets
(core/cores.py). What a child has to say goes through a pipe as JSON lines. Where a process cannot fork,
has one core, or computes on a GPU or with several threads (which a fork would wait for without end: OpenMP's are not in
it), the seeds are worked on one after another. (Where learning can have all of them in one loop on a GPU, it does:
learning/together.py.)
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
    """Recorder.metrics: where numbers go while work is done."""

    def __call__(self, values: dict[str, float], step: int = 0, replicate: int | None = None) -> None: ...


Work = Callable[[int, Metrics], Any]  # (replicate, where its numbers go) -> its result, of what JSON can hold


def null_logger(values: dict[str, float], step: int = 0, replicate: int | None = None) -> None:
    """Metrics that go nowhere."""


def run(work: Work, count: int, metrics: Metrics = null_logger, sequential: bool = False) -> list[Any]:
    """[work(0, metrics), ..., work(count - 1, metrics)]; sequential: one after another.

    Call it before this process has computed a gradient: torch refuses to fork then. Raises what the first failing
    work raised (ValueError, OSError and ArithmeticError as such), and ChildProcessError where a child died silently.
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
    """One forked process, and the thread that listens to it."""

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
        """Stop the process, if it still runs, and take its status."""
        if self.status is None:
            if self.thread.is_alive():
                os.kill(self.pid, signal.SIGKILL)  # whatever it is at: nothing of it is wanted any more
            self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


KINDS = {"ValueError": ValueError, "OSError": OSError, "ArithmeticError": ArithmeticError}


def _work(work: Work, replicate: int, turns: cores.Turns, outlet: int) -> None:
    """The whole life of a child; it never returns."""
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
            turns.take()  # given back as this process ends
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
