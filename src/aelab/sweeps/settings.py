"""An entry of `sweeps:` in params.yaml."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

RANGES = "{int: [low, high]} or {float: [low, high]}, either with log: true, or {choice: [value, value, ...]}"
OBJECTIVE = re.compile(r"parameters|([\w.-]+/)?validation/[\w.-]+")

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Range:
    """The values of one parameter: between two bounds, or one of several choices."""

    kind: str  # int, float, choice
    values: tuple[Any, ...]
    log: bool = False

    @classmethod
    def parse(cls, name: str, block: Any) -> Range:
        """The range written for `name` in `space:`. Raises ValueError that begins with its key."""
        kinds = [key for key in ("int", "float", "choice") if key in block] if isinstance(block, Mapping) else []
        if len(kinds) != 1 or set(block) - {kinds[0], "log"}:
            raise ValueError(f"space.{name}: {block!r} is wrong; allowed: {RANGES}")
        kind, values, log = kinds[0], block[kinds[0]], block.get("log", False)
        if not isinstance(values, tuple) or not isinstance(log, bool) or (log and kind == "choice"):
            raise ValueError(f"space.{name}: {dict(block)!r} is wrong; allowed: {RANGES}")
        if kind == "choice":
            if len({label(value) for value in values}) < max(2, len(values)):
                raise ValueError(f"space.{name}: {values!r}: allowed: two or more values, each once")
            return cls(kind, values)
        numbers = (int,) if kind == "int" else (int, float)
        if len(values) != 2 or any(isinstance(v, bool) or not isinstance(v, numbers) for v in values):
            raise ValueError(f"space.{name}: {values!r} is wrong; allowed: two numbers of kind {kind}")
        low, high = values
        if not low < high:
            raise ValueError(f"space.{name}: from {low} to {high} there is nothing; allowed: a low below a high")
        if log and low <= 0:
            raise ValueError(f"space.{name}: {low} has no logarithm; allowed: bounds above 0")
        return cls(kind, values, log)


@dataclass(frozen=True)
class Sweep:
    """One search: the target stage, the number of trials, the parameters, the objectives."""

    target: str  # a training stage, such as train@vae
    objectives: dict[str, Literal["minimize", "maximize"]]  # validation/<term> or parameters; see trials.value
    trials: int
    seed: int
    pruner: Literal["median", "successive_halving"] | None  # ends trials early that look worse than earlier ones
    space: dict[str, Any]  # dotted parameter of params.yaml -> its range
    fixed: dict[str, Any]  # dotted parameter -> its fixed value

    def __post_init__(self) -> None:
        if not 1 <= len(self.objectives) <= 2:
            raise ValueError(f"objectives: there are {len(self.objectives)}; allowed: one or two")
        for name in self.objectives:
            if not OBJECTIVE.fullmatch(name):
                allowed = "validation/<term>, <folder>/validation/<term> or parameters; test images choose nothing"
                raise ValueError(f"objectives.{name}: unknown number; allowed: {allowed}")
        if self.pruner and list(self.objectives) == ["parameters"]:
            raise ValueError(f"pruner: {self.pruner!r}: no epoch changes `parameters`; allowed: null")
        if self.pruner and len(self.objectives) > 1:
            raise ValueError(f"pruner: {self.pruner!r} judges by one objective, and there are two; allowed: null")
        if self.trials < 1:
            raise ValueError(f"trials: {self.trials} is out of range; allowed: 1 or more")
        if self.seed < 0:
            raise ValueError(f"seed: {self.seed} is out of range; allowed: 0 or more")
        if not self.space:
            raise ValueError("space: is empty; allowed: parameter: range, one or more")
        for name in self.space.keys() & self.fixed.keys():
            raise ValueError(f"fixed.{name}: stands in `space` too; allowed: either")
        for name in [*self.space, *self.fixed]:
            if name.split(".")[0] == "sweeps":
                raise ValueError(f"space.{name}: a sweep changes no sweep; allowed: parameters of stages")
        self.ranges()

    def ranges(self) -> dict[str, Range]:
        """The space, parsed."""
        return {name: Range.parse(name, block) for name, block in self.space.items()}

    def identity(self) -> str:
        """What makes trials comparable with each other; their number and the pruner do not matter."""
        kept = {"target": self.target, "objectives": self.objectives, "space": self.space, "fixed": self.fixed}
        return json.dumps(kept, sort_keys=True)


def label(value: Any) -> Scalar:
    """A choice as Optuna stores it, which has no lists."""
    return json.dumps(value) if isinstance(value, (tuple, list, Mapping)) else value
