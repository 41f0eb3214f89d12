"""A stage at work on a node of the cluster; it is sent again when the node dies."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from aelab.runner.cluster.connection import Cluster
from aelab.runner.cluster.mailbox import ECHO
from aelab.runner.cluster.orders import Answer
from aelab.runner.cluster.resources import Needs
from aelab.runner.cluster.store import MissingError
from aelab.runner.dvc_api import PipelineStage

LOSSES = 30  # nodes or workers that a stage may lose before it fails
MISSES = 3  # times that what it reads may be missing on the remote
WAIT = 600.0  # seconds for a node that could run a stage to join

Kept = Callable[[PipelineStage, str], None]  # (stage, host): told when the outs of a stage are there


class RemoteStage:
    """Used like subprocess.Popen. A thread asks a node, and brings the outs into the working folder."""

    def __init__(
        self, cluster: Cluster, stage: PipelineStage, environment: Mapping[str, str], log: Path, kept: Kept | None
    ) -> None:
        self.cluster, self.stage, self.log, self.kept = cluster, stage, log, kept
        self.name = str(stage.addressing)
        self.order, self.code = cluster.order(stage, environment)
        self.reads = {content.md5 for content in self.order.reads.values()}
        self.returncode: int | None = None
        self.answer: Answer | None = None  # of the node where it ended
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
            with contextlib.suppress(Exception):  # a connection that is gone has ended it already
                self.cluster.ray.cancel(self.task, force=True)

    def hear(self, kind: str, content: bytes) -> None:
        """What the stage says while it runs: its log, or metrics for the folder AELAB_ECHO."""
        folder = os.environ.get("AELAB_ECHO")
        path = Path(folder, f"{self.name}.jsonl") if kind == ECHO and folder else self.log
        with open(path, "ab") as file:
            file.write(content)

    def run(self) -> None:
        code = 1
        try:
            code = self.ended()
        except Exception as error:  # this is a thread of its own: whatever it is, it is said in the log
            with open(self.log, "a") as log:
                log.write(f"{' '.join(str(error).split()) or type(error).__name__}\n")
        self.took = time.monotonic() - self.began
        self.returncode = code

    def ended(self) -> int:
        """The exit status of the command, on whichever node. Raises RuntimeError if none can run it."""
        while True:
            answer = self.asked()
            if answer is None:
                self.losses += 1
                if self.losses > LOSSES:
                    raise RuntimeError(f"{self.losses} nodes or workers were lost while they ran this")
            elif answer.code is not None:
                self.log.write_bytes(answer.log)
                if answer.code == 0:
                    self.take(answer)
                self.answer = answer
                return answer.code
            elif answer.missing:  # the remote has lost it, or this node does not see the cache
                self.cluster.apart = True
                self.cluster.pushed -= self.reads
                self.misses += 1
                if self.misses > MISSES:
                    raise RuntimeError(f"DVC's remote does not keep what it gets: {answer.missing}")
            else:
                self.avoided[answer.node] = f"{answer.host}: {answer.problem}"

    def asked(self) -> Answer | None:
        """A node's answer; None if the node or its worker died. Raises RuntimeError if no node is left."""
        cluster, ray = self.cluster, self.cluster.ray
        needs = cluster.resources.of(self.name)
        self.find(needs)
        if cluster.apart:
            cluster.push(self.reads)
        options = needs.of_ray(cluster.kind) | {"max_retries": 0, "name": self.name}
        if self.avoided:
            options["label_selector"] = {"ray.io/node-id": f"!in({','.join(self.avoided)})"}
        self.task = cluster.work.options(**options).remote(self.order, self.code, cluster.mailbox)
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

    def find(self, needs: Needs) -> None:
        """Wait for a node that could run this. Raises RuntimeError when there is none for WAIT seconds."""
        end = time.monotonic() + (0 if self.avoided else WAIT)
        while not self.stopped:
            left = [item["Resources"] for item in self.cluster.nodes() if item["NodeID"] not in self.avoided]
            if any(needs.fits(totals, self.cluster.kind) for totals in left):
                return
            if time.monotonic() > end:
                why = f" ({'; '.join(self.avoided.values())})" if self.avoided else f", which needs {needs}"
                raise RuntimeError(f"no node of the cluster can run this{why}")
            time.sleep(1)
        raise RuntimeError("stopped")

    def take(self, answer: Answer) -> None:
        """Bring the outs into the working folder. Raises RuntimeError if they did not arrive."""
        cluster, made = self.cluster, {content.md5 for content in answer.outs.values()}
        try:
            cluster.received.add(cluster.store.pull(made, promised=answer.alone))
        except MissingError as error:
            raise RuntimeError(f"outs did not arrive: {error}") from None
        if answer.alone:
            cluster.apart = True
            cluster.pushed |= made
        for path, content in answer.outs.items():
            cluster.store.place(content, cluster.archive.top / path)
        if self.kept:
            self.kept(self.stage, answer.host)
