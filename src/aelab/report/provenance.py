"""What a report was made from. Nothing that changes between runs: no time, no host, no path."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aelab.report.results import Results

PACKAGE = Path(__file__).parents[1]
CODE = ("config", "data", "training", "evaluation", "models", "report")  # folders with code that determines the numbers
PARAMETERS = ("seed", "runtime", "data", "prepare", "corrupt", "baselines", "train", "models", "pretrain", "stacks")
PARAMETERS += ("narrow_stacks", "finetune", "unroll", "unrolled", "capacity", "noise_transfer", "evaluate", "compare")
SUFFIXES = (".py", ".html", ".css", ".js")
LIBRARIES = (
    "torch",
    "torchvision",
    "numpy",
    "scikit-learn",
    "scikit-image",
    "mlxtend",
    "pandas",
    "matplotlib",
    "pillow",
)


@dataclass(frozen=True)
class Provenance:
    """facts: title -> text; versions: library -> version; parameters: section -> its lines."""

    facts: dict[str, str]
    versions: dict[str, str]
    parameters: dict[str, list[str]]


def provenance(results: Results, parameters: Mapping[str, Any]) -> Provenance:
    """parameters: the sections of params.yaml as written."""
    data, items = results.data, results.items.values()
    facts = {
        "data set": f"{data['title']} ({data['name']})",
        "digest of the data": data.get("digest", "unknown"),
        "digest of the code": f"sha256 {code_digest()}",
        "test images": f"{results.baselines['test_images']:,}, seen by no training stage",
        "device": ", ".join(sorted({item.about["device"] for item in items})),
        "seeds": seeds(results),
    }
    versions = {"python": ".".join(platform.python_version_tuple()[:2])} | {name: version(name) for name in LIBRARIES}
    return Provenance(facts, versions, {name: lines(block) for name, block in parameters.items()})


def seeds(results: Results) -> str:
    """The number of seeds of trained entries, such as "3" or "3 to 5"."""
    counts = {item.about["num_seeds"] for item in results.items.values() if not item.is_baseline}
    return " to ".join(str(count) for count in sorted({min(counts), max(counts)})) if counts else "none"


def lines(block: Any) -> list[str]:
    """A section of the parameters, one line per key, values as JSON."""
    if not isinstance(block, Mapping):
        return [json.dumps(block)]
    return [f"{key}: {json.dumps(value, default=str)}" for key, value in block.items()]


def code_digest(package: Path = PACKAGE) -> str:
    """The SHA-256 of names and contents of the files of CODE, cut to 16 hex digits."""
    result = hashlib.sha256()
    for folder in CODE:
        for path in sorted((package / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                content = hashlib.sha256(path.read_bytes()).hexdigest()
                result.update(f"{path.relative_to(package).as_posix()} {content}\n".encode())
    return result.hexdigest()[:16]
