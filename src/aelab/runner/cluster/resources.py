"""What stages take of a cluster: the section `resources:` of params.yaml, which no stage lists.

resources:
  kind: CPU-AMD-25-1-AVX512         # of the nodes, see `aelab node`; none: that with most cores
  "train@*": {cpus: 1, memory: 2}   # patterns of DVC's names; the first that fits counts
  "evaluate@*": {gpus: 0.5}
"""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aelab.runner.dvc_api import load_yaml

FILE, SECTION = Path("params.yaml"), "resources"
KIND = "kind:"  # the beginning of a custom resource of Ray's that says of what kind a node is
KINDS = 1000  # how much of it a node has: as many stages as nobody runs there
WHAT = {"cpus": "a number above 0", "gpus": "0 or more", "memory": "GiB, 0 or more"}


@dataclass(frozen=True)
class Needs:
    """Of one stage."""

    cpus: float = 1
    gpus: float = 0
    memory: float = 0  # GiB

    def of_ray(self, kind: str) -> dict[str, Any]:
        """As options of a Ray task."""
        options: dict[str, Any] = {"num_cpus": self.cpus, "num_gpus": self.gpus, "resources": {KIND + kind: 1}}
        if not kind:
            del options["resources"]
        return options | ({"memory": int(self.memory * 2**30)} if self.memory else {})

    def fits(self, node: Mapping[str, float], kind: str) -> bool:
        """Whether a node of these totals could ever run it."""
        enough = node.get("CPU", 0) >= self.cpus and node.get("GPU", 0) >= self.gpus
        return enough and node.get("memory", 0) >= self.memory * 2**30 and (not kind or KIND + kind in node)

    def __str__(self) -> str:
        parts = [f"{self.cpus:g} cpus", f"{self.gpus:g} gpus" * bool(self.gpus)]
        return ", ".join(filter(None, [*parts, f"{self.memory:g} GiB" * bool(self.memory)]))


@dataclass(frozen=True)
class Resources:
    """kind: of the nodes, "" where any will do; patterns: pattern of names -> needs, in the order of the file."""

    kind: str
    patterns: dict[str, Needs]

    def of(self, stage: str) -> Needs:
        return next((needs for pattern, needs in self.patterns.items() if fnmatch.fnmatchcase(stage, pattern)), Needs())


def read() -> Resources:
    """Of the params.yaml in the working folder, if there is one. Raises ValueError with one line for a mistake."""
    tree = load_yaml(str(FILE)) if FILE.exists() else {}
    block = (tree or {}).get(SECTION) or {}
    if not isinstance(block, Mapping):
        raise ValueError(f"{FILE}: {SECTION}: {block!r} is no block; allowed: a pattern of stages: {{cpus: 1}}")
    patterns = {str(name): needs(str(name), value) for name, value in block.items() if name != "kind"}
    return Resources(str(block.get("kind") or ""), patterns)


def needs(pattern: str, block: Any) -> Needs:
    where = f"{FILE}: {SECTION}.{pattern}"
    if not isinstance(block, Mapping):
        raise ValueError(f"{where}: {block!r} is no block; allowed: {{cpus: 1, gpus: 0, memory: 2}}")
    for name, value in block.items():
        if name not in WHAT:
            raise ValueError(f"{where}.{name}: unknown; allowed: {', '.join(WHAT)}")
        number = isinstance(value, int | float) and not isinstance(value, bool)
        if not number or value < 0 or (name == "cpus" and value == 0):
            raise ValueError(f"{where}.{name}: {value!r} is wrong; allowed: {WHAT[name]}")
    return Needs(**block)


def kinds(nodes: list[dict[str, Any]]) -> dict[str, float]:
    """The kinds of Ray's nodes and their cores, the most frequent one first; nothing for nodes without a kind."""
    found: dict[str, float] = {}
    for node in nodes:
        for name in node["Resources"]:
            if name.startswith(KIND):
                found[name.removeprefix(KIND)] = found.get(name.removeprefix(KIND), 0) + node["Resources"].get("CPU", 0)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
