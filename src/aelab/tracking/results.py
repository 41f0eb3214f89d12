"""Which result was made in which state of the pipeline: one line of JSON each, in .aelab/results.jsonl.

DVC keeps the results, and no result names a state: one result may belong to several. This file lets `aelab sync`
re-create states that are in no commit and no experiment:

below       {"state": see state.State} or {"sweep": name, "trial": number}
experiment  of MLflow; name: of the run; stage: DVC's name of it; key: DVC's of the result (see facts.lineage)
record      the MD5 of the result's tracked.json
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

from aelab.runner import repository


def path() -> Path:
    return repository.root() / ".aelab" / "results.jsonl"


def add(result: dict[str, Any]) -> None:
    with open(path(), "a") as file:
        file.write(json.dumps(result) + "\n")


def every() -> list[dict[str, Any]]:
    """All results in the order in which they were last made, each once per state or trial."""
    output: dict[str, dict[str, Any]] = {}
    with contextlib.suppress(FileNotFoundError):
        for line in path().read_text().splitlines():
            with contextlib.suppress(ValueError):  # the machine died in the middle of a line
                result = json.loads(line)
                identity = json.dumps([result["below"], result["experiment"], result["name"]])
                output.pop(identity, None)
                output[identity] = result
    return list(output.values())
