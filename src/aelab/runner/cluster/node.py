"""What a node does with an order: bring the files, run the command, keep and send what it made.

A node has a DVC cache of its own where AELAB_NODE_DIR names a folder for it, or where it does not see the driver's. It
never touches dvc.lock, the run cache or the tracking store, and needs no credentials but those of the remote.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import logging
import os
import platform
import shutil
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from aelab.runner import cores, fork_server
from aelab.runner.cluster import command, mailbox
from aelab.runner.cluster.orders import Answer, Order
from aelab.runner.cluster.ray_api import imported
from aelab.runner.cluster.store import NO_REMOTE, MissingError, Store
from aelab.runner.dvc_api import Config, Repo
from aelab.runner.executors import Process

HOME = "AELAB_NODE_DIR"  # environment variable of a node: the folder of its cache and its working folders
LOCK, TOKEN = "aelab.lock", ".aelab"
ROOM = 100e6  # bytes: a stage that fails with less left on the disk failed for want of them
PAUSE = 0.02

_server: fork_server.Server | None = None  # of this worker process, which runs one stage after another


def work(order: Order, code: bytes, box: Any) -> Answer:
    """Run a stage. code: the archive of the project's files; box: the actor for messages (mailbox.py)."""
    context = imported().get_runtime_context()
    answer = Answer(context.get_node_id(), platform.node())
    os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    answer.problem = unlike(order.versions)
    if answer.problem:
        return answer
    if hashlib.md5(code).hexdigest() != order.code:
        answer.problem = "the code arrived damaged"
        return answer
    logging.getLogger("dvc").setLevel(logging.CRITICAL)
    try:
        with workplace() as folder:
            run(order, code, box, folder, answer)
    except MissingError as error:
        answer.missing = str(error)
    except Exception as error:  # of the disk, the remote, DVC: another node may do better
        answer.code, answer.problem = None, " ".join(str(error).split()) or type(error).__name__
    return answer


def run(order: Order, code: bytes, box: Any, folder: Path, answer: Answer) -> None:
    """Fill in the answer. Raises MissingError, and errors of this node."""
    with tarfile.open(fileobj=io.BytesIO(code)) as archive:
        archive.extractall(folder, filter="tar")
    shared = HOME not in os.environ and token(Path(order.cache)) == order.token
    answer.alone, project = not shared, folder / order.project
    if not shared and not order.remote:
        raise ValueError(NO_REMOTE)
    settle(project, order, order.cache if shared else str(home() / "cache"), folder)
    with Repo(str(project)) as repo:
        store = Store(repo, None if shared else order.remote)
        answer.brought = store.pull(content.md5 for content in order.reads.values())
        for path, content in order.reads.items():
            store.place(content, folder / path)
        log, echo = folder / "aelab.log", folder / "aelab.echo"
        echo.mkdir()
        began = time.monotonic()
        with mailbox.Reporter(box, order.stage, {mailbox.LOG: log, mailbox.ECHO: echo / f"{order.stage}.jsonl"}):
            answer.code = execute(order, folder, project, log, echo)
        answer.seconds, answer.log = time.monotonic() - began, log.read_bytes()
        if answer.code and shutil.disk_usage(folder).free < ROOM:
            answer.code, answer.problem = None, "its disk is full"
        elif answer.code == 0:
            made = [path for path in order.makes if os.path.lexists(folder / path)]  # DVC misses the others
            answer.outs = {path: store.add(folder / path) for path in made}
            if not shared:
                answer.sent = store.push(content.md5 for content in answer.outs.values())


def settle(project: Path, order: Order, cache: str, folder: Path) -> None:
    """Make the unpacked project a DVC repository with this cache, and the driver's remotes."""
    config: Any
    (project / ".dvc").mkdir(exist_ok=True)
    with Config(str(project / ".dvc")).edit("local") as config:
        config.setdefault("core", {}).update(no_scm=True, site_cache_dir=str(folder / "site"))
        config.setdefault("cache", {})["dir"] = cache
        config["remote"] = {name: dict(about) for name, about in order.remotes.items()}


def execute(order: Order, folder: Path, project: Path, log: Path, echo: Path) -> int:
    """The exit status of the command."""
    global _server
    mine = {"DVC_ROOT": str(project.resolve()), "DVC_STAGE": order.stage, cores.SHARED: turns()}
    mine |= {"CUDA_VISIBLE_DEVICES": gpus()} | ({"AELAB_ECHO": str(echo)} if "AELAB_ECHO" in order.environment else {})
    environment = dict(os.environ) | dict(order.environment) | mine
    where = str(folder / order.folder)
    if order.script:
        if _server is None or _server.process.poll() is not None:
            _server = fork_server.Server(environment)
        return ended(_server.start(list(order.script), where, environment, log))
    with open(log, "wb") as out, command.started(order.command, where, environment, out) as process:
        return ended(process)


def ended(process: Process) -> int:
    """The exit status of a process, once it has ended."""
    while process.poll() is None:
        time.sleep(PAUSE)
    return int(process.returncode)


def home() -> Path:
    """The node's own folder."""
    path = Path(os.environ.get(HOME) or Path.home() / ".cache" / "aelab-node")
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """A new folder for a stage, removed at the end; those of workers that were killed are removed first."""
    base = home() if HOME in os.environ else Path(tempfile.gettempdir())
    for old in base.glob("aelab-stage-*"):
        with contextlib.suppress(OSError), open(old / LOCK) as held:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its worker lives
            shutil.rmtree(old, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix="aelab-stage-", dir=base))
    try:
        with open(folder / "draft", "w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            (folder / "draft").rename(folder / LOCK)
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def token(cache: Path) -> str | None:
    """What a DVC cache is known by; None if it is not seen here, or was never a driver's."""
    with contextlib.suppress(OSError):
        return (cache / TOKEN).read_text()
    return None


def turns() -> str:
    """The cores of this node, for the stages on it and the seeds that they fork (see cores.py)."""
    ray = imported()
    mine = ray.get_runtime_context().get_node_id()
    count = next((int(node["Resources"].get("CPU", 1)) for node in ray.nodes() if node["NodeID"] == mine), 1)
    path = Path(tempfile.gettempdir(), f"aelab-cores-{mine[:16]}")
    path.touch()
    return f"{max(1, count)} {path}"


def gpus() -> str:
    """The GPUs that Ray gives this task."""
    return ",".join(map(str, imported().get_runtime_context().get_accelerator_ids().get("GPU", ())))


def unlike(versions: Mapping[str, str]) -> str:
    """How this node's packages differ from the driver's; "" if they do not."""
    return "; ".join(differences(versions, installed(versions)))


def installed(names: Iterable[str]) -> dict[str, str]:
    """The installed versions of packages, and of python; without the mark of a build, such as +cpu."""
    found = {}
    for name in names:
        try:
            found[name] = metadata.version(name).partition("+")[0] if name != "python" else platform.python_version()
        except metadata.PackageNotFoundError:
            found[name] = "none"
    return found


def differences(wanted: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    return [f"{name} {there[name]} there, {version} here" for name, version in wanted.items() if there[name] != version]
