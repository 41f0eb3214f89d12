"""Run a function for several seeds at once: the first in this process, the others in forked ones. Results do not
change.

A stage computes with one thread and its seeds are independent, so on idle cores they take little more time than one. At
most as many compute at once as there are cores, or as `aelab repro -j` allows (runner/cores.py). The seeds run one
after another where a process cannot fork, has one core, or computes on a GPU or with several threads (OpenMP's threads
are not in a fork, which would wait for them forever).
"""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, Protocol

from aelab.runner import cores, stage


class Metrics(Protocol):
    """The signature of Recorder.metrics."""

    def __call__(self, values: dict[str, float], step: int = 0, replicate: int | None = None) -> None: ...


Work = Callable[[int, Metrics], Any]  # (replicate, logger) -> a result


def null_logger(values: dict[str, float], step: int = 0, replicate: int | None = None) -> None:
    """No-op logger."""


def run(work: Work, count: int, metrics: Metrics = null_logger, sequential: bool = False) -> list[Any]:
    """[work(0, metrics), ..., work(count - 1, metrics)]; sequential: one after another.

    Call it before this process computes a gradient: torch refuses to fork afterwards. Raises the error of the first
    failing work (ValueError, OSError and ArithmeticError as such, others as a RuntimeError with their traceback), and
    ChildProcessError if a process was killed.
    """
    threads = sys.modules["torch"].get_num_threads() if "torch" in sys.modules else 1
    if sequential or count == 1 or threads > 1 or "fork" not in multiprocessing.get_all_start_methods():
        return [work(replicate, metrics) for replicate in range(count)]
    with cores.turns() as turns:
        if turns.count == 1:
            return [work(replicate, metrics) for replicate in range(count)]
        fork, started = multiprocessing.get_context("fork"), list[tuple[Connection, BaseProcess]]()
        for replicate in range(1, count):
            ours, theirs = fork.Pipe(duplex=False)
            arguments = (work, replicate, turns.of_a_fork(), theirs)
            process = fork.Process(target=_work, args=arguments, name=f"replicate {replicate}")
            process.start()
            theirs.close()
            started.append((ours, process))
        with ThreadPoolExecutor(count) as listeners:
            others = [listeners.submit(_listen, pipe, process, metrics) for pipe, process in started]
            try:
                first = work(0, metrics)
                turns.give_back()  # this core is free now
                results = [first, *(other.result() for other in others)]
            finally:
                for _, process in started:
                    process.kill()  # after an error, nobody needs its result
                    process.join()
        turns.take()
        return results


def _listen(pipe: Connection, process: BaseProcess, metrics: Metrics) -> Any:
    """Pass on the metrics of one seed until its result arrives; return that, or raise its error."""
    with pipe:
        while True:
            try:
                kind, content = pipe.recv()
            except EOFError:
                process.join()
                raise ChildProcessError(f"{process.name}: its process ended with status {process.exitcode}") from None
            if kind == "metrics":
                metrics(*content)
            elif kind == "error":
                raise content
            else:
                return content


def _work(work: Work, replicate: int, turns: cores.Turns, pipe: Connection) -> None:
    """The whole life of a forked process."""
    stage.die_with_parent()

    def metrics(values: dict[str, float], step: int = 0, replicate: int | None = None) -> None:
        pipe.send(("metrics", (values, step, replicate)))

    try:
        turns.take()  # released when this process ends
        pipe.send(("result", work(replicate, metrics)))
    except (ValueError, OSError, ArithmeticError) as error:
        pipe.send(("error", error))
    except Exception:
        pipe.send(("error", RuntimeError(traceback.format_exc())))
