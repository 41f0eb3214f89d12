"""The driver's side of a cluster: its nodes, the code and files that they get, the messages that they send."""

from __future__ import annotations

import os
import re
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aelab.runner import executors
from aelab.runner.cluster import node, ray_api, resources
from aelab.runner.cluster.archive import Archive
from aelab.runner.cluster.mailbox import EVERY, Mailbox
from aelab.runner.cluster.orders import Content, Order, Traffic
from aelab.runner.cluster.store import Store
from aelab.runner.dvc_api import PipelineStage, Repo

SENT = re.compile(r"(AELAB|OMP|MKL|OPENBLAS|CUBLAS|DVC_EXP)_\w+")  # variables of the driver that stages get
OWN = ("AELAB_TRACKING", "AELAB_CORES")  # those of them that are the driver's own
LOCKS = "versions.lock"  # the packages on which the bits of results depend, if the project has this file

Hear = Callable[[str, str, bytes], None]  # (stage, kind of message, content)


class Cluster:
    """A connection to Ray for the stages of one repository."""

    def __init__(self, repo: Repo, archive: Archive, address: str, jobs: int, hear: Hear) -> None:
        """jobs: cores of a cluster that is made on this machine; hear: told what running stages say.

        Raises ValueError if there is no cluster, or no node of the kind that params.yaml wants.
        """
        self.repo, self.archive, self.hear = repo, archive, hear
        self.resources, config = resources.read(), repo.config
        self.remotes = {name: {key: plain(value) for key, value in it.items()} for name, it in config["remote"].items()}
        self.store, self.apart = Store(repo, config["core"].get("remote")), False  # apart: a node has its own cache
        self.sent, self.received = Traffic(), Traffic()
        self.pushed, self.pushing = set[str](), threading.Lock()
        self.versions = versions(archive.top)
        package = Path(node.__file__).parents[2]  # nodes run this code, whatever is installed there
        self.ray = ray_api.connect(address, jobs, runtime_env={"py_modules": [str(package)]})
        self.cache = Path(str(repo.cache.local_cache_dir)).resolve()
        self.cache.mkdir(parents=True, exist_ok=True)
        if node.token(self.cache) is None:
            (self.cache / node.TOKEN).write_text(secrets.token_hex(16))
        self.kind, self.work = self.chosen_kind(), self.ray.remote(node.work)
        at_head = {"num_cpus": 0, "max_restarts": -1, "resources": {ray_api.HEAD: 0.001}}
        self.mailbox = self.ray.remote(Mailbox).options(**at_head).remote()
        self.over, self.listener = threading.Event(), threading.Thread(target=self.listen, daemon=True)
        self.listener.start()

    def chosen_kind(self) -> str:
        there, wanted = resources.kinds(self.nodes()), self.resources.kind
        if wanted and wanted not in there:
            kinds = ", ".join(map(repr, there)) or "none that `aelab node` started"
            raise ValueError(f"params.yaml: resources.kind: no node is of kind {wanted!r}; there are: {kinds}")
        return wanted or next(iter(there), "")

    def nodes(self) -> list[dict[str, Any]]:
        return [item for item in self.ray.nodes() if item["Alive"]]

    def cores(self) -> float:
        """Of the nodes that stages go to."""
        totals = [item["Resources"] for item in self.nodes()]
        kind = resources.KIND + self.kind
        return sum(item.get("CPU", 0) for item in totals if not self.kind or kind in item)

    def order(self, stage: PipelineStage, environment: Mapping[str, str]) -> tuple[Order, Any]:
        """The order for a stage, and Ray's reference to the code. Everything that it reads is in the cache then."""
        if self.archive.update([Path(out.fs_path) for out in self.outs()]):
            self.code = self.ray.put(self.archive.content)
        top = self.archive.top
        variables = {key: value for key, value in os.environ.items() if SENT.fullmatch(key) and key not in OWN}
        order = Order(
            stage=str(stage.addressing),
            script=executors.script(stage),
            command=executors.shell(stage),
            project=os.path.relpath(self.repo.root_dir, top),
            folder=os.path.relpath(stage.wdir, top),
            code=self.archive.md5,
            reads={os.path.relpath(path, top): content for path, content in self.reads(stage)},
            makes=[os.path.relpath(out.fs_path, top) for out in stage.outs],
            environment=variables | dict(environment) | {"AELAB_TRACKING": "off"},
            versions=self.versions,
            cache=str(self.cache),
            token=node.token(self.cache) or "",
            remotes=self.remotes,
            remote=self.store.name,
        )
        return order, self.code

    def outs(self) -> list[Any]:
        """What the stages of the project make, on this machine."""
        return [out for out in self.repo.index.outs if out.protocol == "local"]

    def reads(self, stage: PipelineStage) -> Iterator[tuple[str, Content]]:
        """What a stage reads beside the archive's files, which is in the cache then."""
        archived = {str(self.archive.top / name) for name, *_ in self.archive.stamps}
        for dep in stage.deps:
            made = [out for out in self.outs() if within(out.fs_path, dep.fs_path) or within(dep.fs_path, out.fs_path)]
            for out in made:
                known = Content(str(out.hash_info.value) if out.hash_info else "", bool(out.meta and out.meta.isexec))
                kept = known.md5 and not self.store.lacks([known.md5])  # not so where it is no part of DVC's cache
                yield out.fs_path, known if kept else self.store.add(Path(out.fs_path))
            if not made and not any(within(name, dep.fs_path) for name in archived):  # neither git nor DVC knows it
                yield dep.fs_path, self.store.add(Path(dep.fs_path))

    def push(self, md5s: set[str]) -> None:
        """See that the remote has these files."""
        with self.pushing:
            self.sent.add(self.store.push(md5s - self.pushed))
            self.pushed |= md5s

    def listen(self) -> None:
        while not self.over.wait(EVERY):
            try:
                news = self.ray.get(self.mailbox.collect.remote(), timeout=10)
            except Exception:  # the actor's node is busy or gone; logs come with the answers
                continue
            for message in news:
                self.hear(*message)

    def close(self) -> None:
        self.over.set()
        self.listener.join()
        self.ray.shutdown()


def within(path: str, folder: str) -> bool:
    """Whether a path is a folder's, or in it."""
    return path == folder or path.startswith(folder + os.sep)


def plain(value: Any) -> Any:
    """A setting of a remote as it is sent; DVC has paths as strings of its own kind."""
    return str(value) if isinstance(value, str) else value


def versions(top: Path) -> dict[str, str]:
    """What nodes must have installed as it is here: Python, and the packages of versions.lock."""
    text = (top / LOCKS).read_text() if (top / LOCKS).exists() else ""
    return node.installed(["python", *re.findall(r"^([\w.-]+)==", text, re.MULTILINE)])
