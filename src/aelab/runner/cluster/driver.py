"""The executor for a Ray cluster: see executors.Executor."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from pathlib import Path

from aelab.runner import cores, executors
from aelab.runner.cluster.archive import Archive
from aelab.runner.cluster.connection import Cluster, within
from aelab.runner.cluster.orders import Traffic
from aelab.runner.cluster.remote_stage import Kept, RemoteStage
from aelab.runner.dvc_api import PipelineStage, Repo

EVERY = 2.0  # seconds between two looks at how many nodes there are


class OnRay:
    """Runs stages on the nodes of a cluster; connects when the first one starts."""

    def __init__(self, address: str, jobs: int | None, kept: Kept | None = None) -> None:
        """address: "ray", "ray://HOST:PORT" or "HOST:PORT"; jobs: stages at once, none: one per core of the cluster;
        kept: told when the outs of a stage are there."""
        self.address, self.jobs, self.kept = address, jobs, kept
        self.here, self.local = executors.Local(cores.count()), 0  # stages that read or write outside the project
        self.stages: dict[str, RemoteStage] = {}
        self.cluster: Cluster | None = None
        self.looked, self.cores = 0.0, 0.0

    def begin(self, repo: Repo) -> None:
        self.repo, self.archive = repo, Archive(repo)
        self.here.begin(repo)

    def room(self, running: int) -> bool:
        if self.cluster and time.monotonic() - self.looked > EVERY:  # nodes come and go
            self.looked, self.cores = time.monotonic(), self.cluster.cores()
        return running < (self.jobs or max(1, self.cores))

    def start(self, stage: PipelineStage, environment: Mapping[str, str], log: Path) -> executors.Process:
        if outside(stage, self.archive.top):
            self.local += 1
            return self.here.start(stage, environment, log)
        self.cluster = self.cluster or Cluster(
            self.repo, self.archive, self.address, self.jobs or cores.count(), self.hear
        )
        log.write_bytes(b"")
        process = RemoteStage(self.cluster, stage, environment, log, self.kept)
        self.stages[process.name] = process
        return process

    def hear(self, name: str, kind: str, content: bytes) -> None:
        """A message from a node."""
        if name in self.stages and self.stages[name].returncode is None:
            self.stages[name].hear(kind, content)

    def end(self) -> None:
        self.here.end()
        if self.cluster:
            self.cluster.close()

    def summary(self) -> str:
        """What the cluster did; "" if it did nothing."""
        ended = [(item, item.answer) for item in self.stages.values() if item.answer]
        if not ended or not self.cluster:
            return ""
        fetched, sent = Traffic(), Traffic()
        for _, answer in ended:
            fetched.add(answer.brought)
            sent.add(answer.sent)
        parts = [f"{len(ended)} stages on {len({answer.node for _, answer in ended})} nodes"]
        if self.local:
            parts.append(f"{self.local} here, which read or write outside the project")
        if self.cluster.apart:
            parts.append(f"sent {self.cluster.sent}, received {self.cluster.received}")
            parts.append(f"nodes fetched {fetched}, sent {sent}")
        if quiet := [item.took - answer.seconds for item, answer in ended if not item.losses]:
            parts.append(f"{statistics.median(quiet):.1f} s a stage beside its command (median)")
        if lost := sum(item.losses for item in self.stages.values()):
            parts.append(f"{lost} sent again, as a node or worker was lost")
        return f"cluster: {'; '.join(parts)}"


def outside(stage: PipelineStage, top: Path) -> bool:
    """Whether a stage reads or writes outside the project's folder, or keeps its outs for its next run."""
    files = [*stage.deps, *stage.outs]
    return any(item.protocol != "local" or not within(item.fs_path, str(top)) for item in files) or any(
        out.persist for out in stage.outs
    )
