"""A state of the pipeline, its parameters and code, and its run in MLflow: the parent of the runs of its stages.

The tree of runs: experiment (data set) > state > stage and item > replicate. In a sweep: experiment > sweep > trial >
stage and item > replicate (see tracking/sweeps.py).
"""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aelab.runner.repository import git
from aelab.tracking import facts

KEY = "pipeline_state"  # the tag of a state's run
PARENT = facts.PARENT
CODE = re.compile(r"(?:\.\./)*src/[\w/]+(?:\.py)?")  # among the deps of dvc.yaml
ALSO = ("dvc.yaml", "requirements.lock", "stages")
ASIDE = ("sweeps", "resources")
SHOWN = 3  # changed parameters in a name


@dataclass(frozen=True)
class State:
    """key: equal for equal parameters and code; name: for people; changed: parameters that differ from the commit's."""

    key: str
    name: str
    changed: dict[str, str]


EARLIER = State("earlier", "earlier results", {})  # of states of which nothing else is known


def of_folder(folder: Path, experiment: str = "") -> State | None:
    """The state of a working folder; None without a pipeline or git. experiment: DVC's name of it, if any."""
    try:
        params, pipeline = (folder / "params.yaml").read_text(), (folder / "dvc.yaml").read_text()
    except OSError:
        return None
    paths = [path for path in code(pipeline) if (folder / path).exists()]
    with facts.index(folder) as index:
        if index is None:
            return None
        git("-C", str(folder), "add", "-A", "--", *paths, index=index)
        files = git("-C", str(folder), "ls-files", "-s", "--", *paths, index=index)
    return _state(params, files, git("-C", str(folder), "show", "HEAD:./params.yaml"), "HEAD", folder, experiment)


def of_revision(folder: Path, revision: str, experiment: str = "") -> State | None:
    """The state of a commit; that of an experiment is compared with the commit that it started from."""
    params, pipeline = (git("-C", str(folder), "show", f"{revision}:./{name}") for name in ("params.yaml", "dvc.yaml"))
    if params is None or pipeline is None:
        return None
    files = git("-C", str(folder), "ls-tree", "-r", revision, "--", *code(pipeline))
    base = f"{revision}~1" if experiment else revision
    return _state(params, files, git("-C", str(folder), "show", f"{base}:./params.yaml"), base, folder, experiment)


def code(pipeline: str) -> list[str]:
    """The files and folders that results depend on, by the text of dvc.yaml."""
    return sorted({*ALSO, *CODE.findall(pipeline)})


def _state(
    params: str, files: str | None, committed: str | None, base: str, folder: Path, experiment: str
) -> State | None:
    if files is None:
        return None
    here = load(params)
    digest = hashlib.sha256(json.dumps(here, sort_keys=True, default=str).encode())
    for line in files.splitlines():  # of git: mode, type or hash, hash or 0, tab, path
        about, path = line.split("\t")
        if path.endswith((".py", "dvc.yaml", "requirements.lock")):
            digest.update(f"{path} {max(about.split(), key=len)}\n".encode())
    before, here = (dict(leaves(tree)) for tree in (here if committed is None else load(committed), here))
    changed = {name: str(value) for name, value in here.items() if before.get(name) != value}
    changed |= {name: "removed" for name in before if name not in here}
    text = ", ".join(f"{name}={value}" for name, value in list(changed.items())[:SHOWN])
    text += f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    name, head = ": ".join(filter(None, (experiment, text))), git("-C", str(folder), "rev-parse", "--short", base)
    return State(digest.hexdigest()[:16], f"{name or 'default'} ({head})" if head else name or "default", changed)


def load(text: str) -> Any:
    """The parameters of the pipeline, without `sweeps:` and `resources:`, which no stage reads."""
    from ruamel.yaml import YAML

    tree = YAML(typ="safe").load(io.StringIO(text))
    return {key: item for key, item in tree.items() if key not in ASIDE} if isinstance(tree, Mapping) else tree


def leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings with its dotted name."""
    if not isinstance(tree, Mapping):
        yield name, tree
        return
    for key, value in tree.items():
        yield from leaves(value, f"{name}.{key}" if name else str(key))


def run(client: Any, experiment_id: str, state: State, at: int) -> str:
    """The id of a state's run, created if missing, set to running."""
    result = client.search_runs([experiment_id], f"tags.{KEY} = '{state.key}'", max_results=1)
    if result:
        if result[0].info.status != "RUNNING":
            client.update_run(result[0].info.run_id, status="RUNNING")
        return result[0].info.run_id
    made = client.create_run(experiment_id, at, {KEY: state.key, "mlflow.note.content": note(state)}, state.name)
    for name, value in state.changed.items():
        client.log_param(made.info.run_id, name, value[:6000])
    return made.info.run_id


def settle(client: Any, experiment_id: str, run: str, at: int) -> None:
    """End a state's run if none of its stages is running: FAILED or KILLED if the last run of a stage is."""

    def below(where: str, most: int = 1000) -> Any:
        where, order = f"tags.`{PARENT}` = '{run}' and {where}", ["attributes.start_time DESC"]
        return client.search_runs([experiment_id], where, max_results=most, order_by=order)

    if KEY not in client.get_run(run).data.tags or below("attributes.status = 'RUNNING'", 1):
        return
    status = "FINISHED"
    for how in ("KILLED", "FAILED"):
        names = {item.info.run_name for item in below(f"attributes.status = '{how}'")}
        if any(below(f"attributes.run_name = '{name}'", 1)[0].info.status == how for name in names):
            status = how
    client.set_terminated(run, status, at)


def note(state: State) -> str:
    """The run's description in the UI: how to make it again (++: also keys that the commit lacks)."""
    if state == EARLIER:
        return "Results that DVC's cache holds, of states of which nothing else is known. They are the runs below."
    options = " ".join(f"-S '++{name}={value}'" for name, value in state.changed.items())
    command = f"dvc exp run {options}" if options else "aelab repro"
    return f"One state of the pipeline, parameters and code: `{command}`. Its stages are the runs below."
