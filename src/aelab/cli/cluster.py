"""`aelab node`, and what `--on` means for a pipeline and for several studies."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import typer

from aelab.runner import console, cores, executors

app = typer.Typer()

On = Annotated[
    str, typer.Option(help="Run stages on a Ray cluster: HOST:PORT or ray://HOST:PORT; ray: one made on this machine.")
]


def executor(on: str, jobs: int | None, gpus: Sequence[str]) -> executors.Executor:
    """on: see On; "": processes of this machine."""
    if not on:
        return executors.Local(jobs or cores.count(), gpus)
    if gpus:
        raise ValueError(
            "--gpus is for this machine; on a cluster, `resources:` of params.yaml says what a stage takes"
        )
    from aelab.runner.cluster.driver import OnRay
    from aelab.tracking.replay import replay

    return OnRay(on, jobs, replay)


def studies(folders: Sequence[str], options: Sequence[str], on: str, jobs: int | None) -> int:
    """Run `aelab repro` on several studies: side by side on a cluster, else one after another. Returns the worst exit
    status."""
    with shared(on, jobs) as address:
        running = []
        for folder in folders:
            where = ["--on", address] if address else []
            command = [sys.executable, "-m", "aelab.cli", "repro", folder, *options, *where]
            process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
            thread = threading.Thread(target=relay, args=[folder, process])
            thread.start()
            running.append((process, thread))
            if not on:
                thread.join()
        for _, thread in running:
            thread.join()
        return max(process.wait() for process, _ in running)


@contextlib.contextmanager
def shared(on: str, jobs: int | None = None) -> Iterator[str]:
    """The cluster for several processes that run stages: one made on this machine ends with the `with`."""
    if on:
        from aelab.runner.cluster import ray_api

        with ray_api.shared(on, jobs or cores.count()) as address:
            yield address
    else:
        yield ""


def relay(folder: str, process: subprocess.Popen[str]) -> None:
    """Print what a process says, each line with the study's name."""
    assert process.stderr
    for line in process.stderr:
        console.say(f"{Path(folder).name}: {line.rstrip()}")


@app.command()
def node(
    address: Annotated[str, typer.Argument(help="HOST:PORT of the head node; head: this one is it.")],
    host: Annotated[
        str, typer.Option(help="This machine's address in the cluster's network; 127.0.0.1: a cluster of one machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Of the head node.")] = 6379,
    cpus: Annotated[int | None, typer.Option(min=0, help="Cores to offer; none: all there are.")] = None,
    gpus: Annotated[int | None, typer.Option(min=0, help="GPUs to offer; none: all there are.")] = None,
    folder: Annotated[
        Path | None, typer.Option("--dir", help="A cache of its own, there; none: the driver's, if it is seen.")
    ] = None,
) -> None:
    """Make this machine a node of a Ray cluster, until Ctrl-C.

    It is marked with its kind, CPU and GPU: stages whose results must agree to the bit go to nodes of one kind. Who has
    the head's token, ~/.ray/auth_token, may run any code on the nodes: copy it to each of them, and to nobody else.
    """
    from aelab.runner.cluster import start
    from aelab.runner.cluster.node import HOME

    if folder:
        folder.mkdir(parents=True, exist_ok=True)
        os.environ[HOME] = str(folder.resolve())
    start.node(address, host, port, cpus if cpus is not None else cores.count(), gpus, kind())


def kind() -> str:
    """The kind of this machine: on machines of one kind, results agree to the bit."""
    import torch

    from aelab.config import runtime

    names = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    words = [runtime.describe(torch.device("cpu")), *sorted(set(names))]
    return re.sub(r"[^\w.-]+", "-", " ".join(words)).strip("-")  # Ray takes no comma
