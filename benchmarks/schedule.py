"""How long the default pipeline would take on 1 to 256 workers: a simulation of the scheduler with recorded times.

    python benchmarks/schedule.py --record LOG      # what `aelab repro -j 1` (or --on) printed -> stage_seconds.json
    python benchmarks/schedule.py [--write]

Events in order of time, no clock: a stage starts when a worker is free and what it waits for has ended, in the order of
runner/pipeline.first; it takes the recorded seconds and, on a cluster, what a stage costs beside its command. The bound
is the longer of the critical path and the work divided by the workers: no scheduler can be faster.
"""

from __future__ import annotations

import heapq
import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import document
import networkx

from aelab.runner import pipeline
from aelab.runner.dvc_api import Repo, get_active_graph, plan_repro

RECORD = Path(__file__).with_name("stage_seconds.json")
WORKERS = (1, 2, 4, 8, 16, 32, 64, 128, 256)
OVERHEAD = 1.0  # seconds of a stage on a node beside its command: benchmarks/cluster.py
START = 20.0  # seconds until a node's first stage runs: a worker and its libraries load
LIMITS = """What limits it: the critical path, layers that are pretrained one after another and then fine-tuned. Where
the table meets the bound, no scheduler would be faster; the order by longest path, which needs the times beforehand,
would gain at most a seventh, at 32 workers. More workers than that would only help if the seeds of a stage were tasks
of their own, which they are not: they share a fork of one process. The times were recorded while four stages and
other work shared two cores; with a core for each a stage takes half of them or less, so read ratios, not minutes."""
LINE = re.compile(r"^\S+ +\d+/\d+ ran (\S+), (\d+) s", re.MULTILINE)


def graph() -> networkx.DiGraph:
    """From the name of each stage to those that it waits for, of the default pipeline."""
    with Repo() as repo:
        active = get_active_graph(repo.index.graph)
        plan = list(plan_repro(active, list(repo.index.stages)))
        names = {stage: str(stage.addressing) for stage in plan}
        found = networkx.DiGraph()
        found.add_nodes_from(names.values())
        found.add_edges_from((names[one], names[other]) for one in plan for other in active.successors(one))
        return found


def simulate(waits: networkx.DiGraph, order: Sequence[str], seconds: Mapping[str, float], workers: int) -> float:
    """When the last stage ends. order: in which ready stages start."""
    left = {name: set(waits.successors(name)) for name in order}
    free, now, running = [0.0] * workers, 0.0, list[tuple[float, str]]()
    while left or running:
        for name in [name for name, upstream in left.items() if not upstream]:
            if len(running) == workers:
                break
            del left[name]
            heapq.heappush(running, (max(now, heapq.heappop(free)) + seconds[name], name))
        now, ended = heapq.heappop(running)
        heapq.heappush(free, now)
        for upstream in left.values():
            upstream.discard(ended)
    return now


def longest(waits: networkx.DiGraph, seconds: Mapping[str, float]) -> dict[str, float]:
    """Of each stage: the seconds from its start to the end of the pipeline, if nothing had to wait for a worker."""
    result = dict[str, float]()
    for name in networkx.topological_sort(waits):  # what waits for it comes before it
        result[name] = seconds[name] + max((result[each] for each in waits.predecessors(name)), default=0.0)
    return result


def path(waits: networkx.DiGraph, seconds: Mapping[str, float]) -> list[str]:
    """The critical path: the chain of stages that takes longest."""
    left = longest(waits, seconds)
    chain = [max(left, key=left.__getitem__)]
    while below := list(waits.predecessors(chain[-1])):
        chain.append(max(below, key=left.__getitem__))
    return chain


def table(waits: networkx.DiGraph, seconds: Mapping[str, float], overhead: float, start: float) -> list[str]:
    on_node = {name: value + overhead for name, value in seconds.items()}
    left = longest(waits, on_node)
    ours = pipeline.first(waits, list(seconds))
    by_path = sorted(seconds, key=lambda name: -left[name])
    work, critical = sum(on_node.values()), max(left.values())
    lines = ["| workers | minutes | bound | longest path first | speed-up | of the workers' time |"]
    lines.append("|---:|---:|---:|---:|---:|---:|")
    one = simulate(waits, ours, on_node, 1) + start
    for workers in WORKERS:
        took, other = (simulate(waits, order, on_node, workers) + start for order in (ours, by_path))
        bound = max(critical, work / workers) + start
        cells = [f"{took / 60:.1f}", f"{bound / 60:.1f}", f"{other / 60:.1f}", f"{one / took:.1f}"]
        lines.append(f"| {workers} | {' | '.join(cells)} | {work / workers / took:.0%} |")
    return lines


def record(log: Path) -> None:
    found = {name: int(seconds) for name, seconds in LINE.findall(log.read_text())}
    about = {"machine": document.model_name(), "log": "of `aelab repro`", "seconds": found}
    RECORD.write_text(json.dumps(about, indent=1) + "\n")


def main() -> None:
    if "--record" in sys.argv:
        record(Path(sys.argv[sys.argv.index("--record") + 1]))
        return
    about: dict[str, Any] = json.loads(RECORD.read_text())
    waits, seconds = graph(), about["seconds"]
    known = {name: float(seconds.get(name, 0)) for name in waits}
    chain = path(waits, known)
    critical = sum(known[name] for name in chain) / 60
    text = "\n".join(table(waits, known, OVERHEAD, START))
    text += f"\n\n{len(known)} stages, {sum(known.values()) / 60:.0f} minutes of work. "
    text += f"Critical path, {critical:.1f} minutes: "
    text += ", ".join(f"{name} {known[name]:.0f} s" for name in chain) + ".\n\n" + LIMITS + "\n\n"
    text += document.measured(f"times recorded on {about['machine']}")
    print(text)
    if "--write" in sys.argv:
        document.write("Scaling, simulated", text, document.DOCUMENT.with_name("cluster.md"))


if __name__ == "__main__":
    main()
