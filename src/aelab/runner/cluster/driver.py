"""The executor for a Ray cluster: it sends stages to nodes, and brings back what they made."""

from __future__ import annotations

import os
import re
import secrets
import statistics
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aelab.runner import cores, executors
from aelab.runner.cluster import node, ray_api, resources
from aelab.runner.cluster.archive import Archive
from aelab.runner.cluster.mailbox import ECHO, EVERY, Mailbox
from aelab.runner.cluster.orders import Answer, Order, Traffic
from aelab.runner.cluster.store import Missing, Store
from aelab.runner.dvc_api import PipelineStage, Repo

LOSSES = 30  # nodes or workers that a stage may lose before it fails
MISSES = 3  # times that what it reads may be missing on the remote
WAIT = 600.0  # seconds for a node that could run a stage to join
PAUSE = 0.05
SENT = re.compile(r"(AELAB|OMP|MKL|OPENBLAS|CUBLAS|DVC_EXP)_\w+")  # variables of the driver that stages get
OWN = ("AELAB_TRACKING", cores.SHARED)  # those of them that are the driver's own
LOCKS = "versions.lock"  # the packages on which the bits of results depend, if the project has this file

Kept = Callable[[PipelineStage, str], None]  # (stage, host): told when the outs of a stage are there


class OnRay:
    """Runs stages on the nodes of a cluster; connects when the first one starts."""

    def __init__(self, address: str, jobs: int | None, kept: Kept | None = None) -> None:
        """address: "ray", "ray://HOST:PORT" or "HOST:PORT"; jobs: stages at once, none: one per core of the cluster;
        kept: see Kept."""
        self.address, self.jobs, self.kept = address, jobs, kept
        self.here = executors.Local(cores.count())  # for stages that read or write outside the project
        self.stages: list[Stage] = []
        self.local = 0  # stages that ran here
        self.sent, self.received = Traffic(), Traffic()
        self.apart = False  # whether a node has a cache of its own
        self.ray: Any = None

    def begin(self, repo: Repo) -> None:
        self.repo, self.archive = repo, Archive(repo)
        self.here.begin(repo)

    def connect(self) -> None:
        """Raises ValueError if there is no cluster, or no node of the wanted kind."""
        self.resources = resources.read()
        config = self.repo.config
        self.remotes = {name: {key: plain(value) for key, value in it.items()} for name, it in config["remote"].items()}
        self.store = Store(self.repo, config["core"].get("remote"))
        self.pushed, self.pushing = set[str](), threading.Lock()
        package = Path(node.__file__).parents[2]  # nodes run this code, whatever is installed there
        modules = {"py_modules": [str(package)]}
        self.ray = ray_api.connect(self.address, self.jobs or cores.count(), runtime_env=modules)
        self.token = f".aelab-{secrets.token_hex(8)}"
        self.cache = str(Path(self.repo.cache.local_cache_dir).resolve())
        Path(self.cache).mkdir(parents=True, exist_ok=True)
        Path(self.cache, self.token).touch()
        self.versions = versions(self.archive.top)
        self.kind = self.chosen_kind()
        self.task = self.ray.remote(node.work)
        at_head = {"num_cpus": 0, "max_restarts": -1, "resources": {ray_api.HEAD: 0.001}}
        self.mailbox = self.ray.remote(Mailbox).options(**at_head).remote()
        self.over = threading.Event()
        self.listener = threading.Thread(target=self.listen, daemon=True)
        self.listener.start()
        self.asked, self.cpus = -1e9, 0.0

    def chosen_kind(self) -> str:
        there, wanted = resources.kinds(self.nodes()), self.resources.kind
        if wanted and wanted not in there:
            kinds = ", ".join(map(repr, there)) or "none that `aelab node` started"
            raise ValueError(f"params.yaml: resources.kind: no node is of kind {wanted!r}; there are: {kinds}")
        return wanted or next(iter(there), "")

    def nodes(self) -> list[dict[str, Any]]:
        return [item for item in self.ray.nodes() if item["Alive"]]

    def room(self, running: int) -> bool:
        if self.jobs or not self.ray:
            return running < (self.jobs or cores.count())
        if time.monotonic() - self.asked > EVERY:  # nodes come and go
            self.asked = time.monotonic()
            totals = [item["Resources"] for item in self.nodes()]
            self.cpus = sum(item.get("CPU", 0) for item in totals if not self.kind or resources.KIND + self.kind in item)
        return running < max(1, self.cpus)

    def start(self, stage: PipelineStage, environment: Mapping[str, str], log: Path) -> executors.Process:
        if outside(stage, self.archive.top):
            self.local += 1
            return self.here.start(stage, environment, log)
        if not self.ray:
            self.connect()
        log.write_bytes(b"")
        self.stages.append(Stage(self, stage, environment, log))
        return self.stages[-1]

    def order(self, stage: PipelineStage, environment: Mapping[str, str]) -> tuple[Order, Any]:
        """The order for a stage, and Ray's reference to the code. Everything that it reads is in the cache then."""
        if self.archive.update([Path(out.fs_path) for out in self.outs()]):
            self.code = self.ray.put(self.archive.content)
        top = self.archive.top
        variables = {key: value for key, value in os.environ.items() if SENT.fullmatch(key) and key not in OWN}
        return Order(
            stage=stage.addressing,
            script=executors.script(stage),
            command=executors.shell(stage),
            project=os.path.relpath(self.repo.root_dir, top),
            folder=os.path.relpath(stage.wdir, top),
            code=self.archive.md5,
            reads={os.path.relpath(path, top): md5 for path, md5 in self.reads(stage)},
            makes=[os.path.relpath(out.fs_path, top) for out in stage.outs],
            environment=variables | dict(environment) | {"AELAB_TRACKING": "off"},
            versions=self.versions,
            cache=self.cache,
            token=self.token,
            remotes=self.remotes,
            remote=self.store.name,
        ), self.code

    def outs(self) -> list[Any]:
        """What the stages of the project make, on this machine."""
        return [out for out in self.repo.index.outs if out.protocol == "local"]

    def reads(self, stage: PipelineStage) -> Iterator[tuple[str, str]]:
        """What a stage reads beside the archive's files: path, MD5."""
        archived = {str(self.archive.top / name) for name, *_ in self.archive.stamps}
        for dep in stage.deps:
            made = [out for out in self.outs() if within(out.fs_path, dep.fs_path) or within(dep.fs_path, out.fs_path)]
            for out in made:
                known = str(out.hash_info.value) if out.hash_info else ""
                kept = known and not self.store.lacks([known])  # not so where it is no part of DVC's cache
                yield out.fs_path, known if kept else self.store.add(Path(out.fs_path))
            if not made and not any(within(name, dep.fs_path) for name in archived):  # neither git nor DVC knows it
                yield dep.fs_path, self.store.add(Path(dep.fs_path))

    def push(self, md5s: set[str]) -> None:
        """See that the remote has these files."""
        with self.pushing:
            self.sent.add(self.store.push(md5s - self.pushed))
            self.pushed |= md5s

    def listen(self) -> None:
        """Append what running stages say to their logs, and to the folder of AELAB_ECHO."""
        while not self.over.wait(EVERY):
            try:
                news = self.ray.get(self.mailbox.collect.remote(), timeout=10)
            except Exception:  # the actor's node is busy or gone; logs come with the answers
                continue
            running = {item.name: item for item in self.stages if item.returncode is None}
            for name, kind, content in news:
                if name in running:
                    running[name].hear(kind == ECHO, content)

    def end(self) -> None:
        self.here.end()
        if not self.ray:
            return
        self.over.set()
        self.listener.join()
        Path(self.cache, self.token).unlink(missing_ok=True)
        self.ray.shutdown()

    def summary(self) -> str:
        """What the cluster did, in a line; "" if it did nothing."""
        answers = [item.answer for item in self.stages if item.answer]
        if not answers:
            return ""
        brought, sent = Traffic(), Traffic()
        for answer in answers:
            brought.add(answer.brought)
            sent.add(answer.sent)
        per_node = Counter(answer.node for answer in answers)
        parts = [f"{len(answers)} stages on {len(per_node)} nodes"]
        parts.append(f"{self.local} here, which read or write outside the project" * bool(self.local))
        if self.apart:
            parts.append(f"sent {self.sent}, received {self.received}; nodes fetched {brought}, sent {sent}")
        extra = [item.took - item.answer.seconds for item in self.stages if item.answer and not item.losses]
        parts.append(f"{statistics.median(extra):.1f} s more than its command a stage (median)" * bool(extra))
        lost = sum(item.losses for item in self.stages)
        parts.append(f"{lost} run again, as a node or worker was lost" * bool(lost))
        return f"cluster: {'; '.join(filter(None, parts))}"


class Stage:
    """A stage at work on some node; used like subprocess.Popen. Its thread sends it again when the node dies."""

    def __init__(self, cluster: OnRay, stage: PipelineStage, environment: Mapping[str, str], log: Path) -> None:
        self.cluster, self.stage, self.log, self.name = cluster, stage, log, stage.addressing
        self.order, self.code = cluster.order(stage, environment)
        self.returncode: int | None = None
        self.answer: Answer | None = None
        self.losses = self.misses = 0
        self.avoided = dict[str, str]()  # node -> what was wrong with it
        self.began, self.took = time.monotonic(), 0.0
        self.task: Any = None
        self.stopped = False
        self.thread = threading.Thread(target=self.run, name=self.name, daemon=True)
        self.thread.start()

    def poll(self) -> int | None:
        return self.returncode

    def wait(self) -> int:
        self.thread.join()
        return self.returncode or 0

    def terminate(self) -> None:
        self.stopped = True
        if self.task is not None:
            self.cluster.ray.cancel(self.task, force=True)

    def hear(self, echo: bool, content: bytes) -> None:
        """What the stage said while it ran."""
        folder = os.environ.get("AELAB_ECHO")
        path = Path(folder, f"{self.name}.jsonl") if echo and folder else self.log
        with open(path, "ab") as file:
            file.write(content)

    def run(self) -> None:
        code = 1
        try:
            code = self.ended()
        except Exception as error:  # one line in the log, whatever it is: this is a thread of its own
            with open(self.log, "a") as log:
                log.write(f"{' '.join(str(error).split()) or type(error).__name__}\n")
        self.took = time.monotonic() - self.began
        self.returncode = code

    def ended(self) -> int:
        """The exit status of the command, on whichever node; its outs are in the working folder.

        Raises RuntimeError if no node can run it.
        """
        while True:
            answer = self.asked()
            if answer is None:
                self.losses += 1
                if self.losses > LOSSES:
                    raise RuntimeError(f"{LOSSES} nodes or workers were lost while they ran this")
            elif answer.code is not None:
                self.log.write_bytes(answer.log)
                if answer.code == 0:
                    self.take(answer)
                self.answer = answer
                return answer.code
            elif answer.missing:  # the remote has lost it, or this node does not see the cache
                self.cluster.apart = True
                self.cluster.pushed -= set(self.order.reads.values())
                self.misses += 1
                if self.misses > MISSES:
                    raise RuntimeError(f"DVC's remote does not keep what it gets: {answer.missing}")
            else:
                self.avoided[answer.node] = f"{answer.host}: {answer.problem}"

    def asked(self) -> Answer | None:
        """A node's answer; None if it died meanwhile. Raises RuntimeError if no node is left."""
        ray, cluster = self.cluster.ray, self.cluster
        needs = cluster.resources.of(self.name)
        self.find(needs)
        options = needs.of_ray(cluster.kind) | {"max_retries": 0, "name": self.name}
        if self.avoided:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self.avoided)})"}
        if cluster.apart:
            cluster.push(set(self.order.reads.values()))
        self.task = cluster.task.options(**options).remote(self.order, self.code, cluster.mailbox)
        if self.stopped:
            self.terminate()
        try:
            return ray.get(self.task)
        except ray.exceptions.RayTaskError:
            raise  # a mistake of ours, which would come again
        except (ray.exceptions.RayError, ConnectionError):
            if self.stopped:
                raise RuntimeError("stopped") from None
            return None

    def find(self, needs: resources.Needs) -> None:
        """Wait for a node that could run this. Raises RuntimeError when there is none for WAIT seconds."""
        end = time.monotonic() + (WAIT if not self.avoided else 0)
        while not self.stopped:
            nodes = self.cluster.nodes()
            left = [item["Resources"] for item in nodes if item["NodeID"] not in self.avoided]
            if any(needs.fits(totals, self.cluster.kind) for totals in left):
                return
            if time.monotonic() > end:
                why = f" ({'; '.join(self.avoided.values())})" if self.avoided else f", which needs {needs}"
                raise RuntimeError(f"no node of the cluster can run this{why}")
            time.sleep(1)
        raise RuntimeError("stopped")

    def take(self, answer: Answer) -> None:
        """Bring the outs into the working folder."""
        cluster = self.cluster
        try:
            cluster.received.add(cluster.store.pull(answer.outs.values()))
        except Missing as error:
            raise RuntimeError(f"outs did not arrive: {error}") from None
        if answer.alone:
            cluster.apart = True
            cluster.pushed |= set(answer.outs.values())
        for path, md5 in answer.outs.items():
            cluster.store.place(md5, cluster.archive.top / path)
        if cluster.kept:
            cluster.kept(self.stage, answer.host)


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder's, or in it."""
    return path == folder or path.startswith(folder + os.sep)


def outside(stage: PipelineStage, top: Path) -> bool:
    """Whether a stage reads or writes outside the project's folder, or keeps its outs for its next run."""
    files = [*stage.deps, *stage.outs]
    return any(item.protocol != "local" or not within(item.fs_path, str(top)) for item in files) or any(
        out.persist for out in stage.outs
    )


def plain(value: Any) -> Any:
    """A setting of a remote, for another machine: paths are absolute."""
    return str(value) if isinstance(value, str) else value


def versions(top: Path) -> dict[str, str]:
    """What nodes must have installed as it is here: Python, and the packages of versions.lock."""
    text = (top / LOCKS).read_text() if (top / LOCKS).exists() else ""
    return node.installed(["python", *re.findall(r"^([\w.-]+)==", text, re.MULTILINE)])
