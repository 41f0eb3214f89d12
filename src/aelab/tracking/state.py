"""A state of the pipeline, its parameters and code: one parent run in MLflow."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from aelab.runner.repository import git

CODE = re.compile(r"(?:\.\./)*src/[\w/]+(?:\.py)?")  # among the deps of dvc.yaml
SHOWN = 3  # changed parameters in a name


@dataclass(frozen=True)
class State:
    """key: equal for equal parameters and code; name: for people; changed: parameters that differ from the commit's."""

    key: str
    name: str
    changed: dict[str, str]

    def message(self) -> dict[str, Any]:
        return asdict(self)


def of_folder(folder: Path, experiment: str = "") -> State | None:
    """The state of a working folder; None without a pipeline. experiment: DVC's name of it, if any."""

    def read(path: str) -> bytes:
        return (folder / path).read_bytes()

    def files(prefix: str) -> Iterator[tuple[str, str]]:
        place = folder / prefix
        result = [place] if place.is_file() else sorted(place.rglob("*.py")) if place.is_dir() else []
        yield from ((os.path.relpath(path, folder), blob(path.read_bytes())) for path in result)

    head = git("-C", str(folder), "rev-parse", "--short", "HEAD")
    usual = git("-C", str(folder), "show", "HEAD:./params.yaml") if head else None
    return _state(read, files, usual, head, experiment)


def of_revision(revision: str, experiment: str = "") -> State | None:
    """The state of a commit; that of an experiment is compared with the commit that it started from."""

    def read(path: str) -> bytes:
        text = git("show", f"{revision}:{path}")
        if text is None:
            raise FileNotFoundError(path)
        return text.encode() + b"\n" * (not text.endswith("\n"))

    def files(prefix: str) -> Iterator[tuple[str, str]]:
        for line in (git("ls-tree", "-r", revision, "--", prefix.rstrip("/")) or "").splitlines():
            about, _, path = line.partition("\t")
            if path == prefix or path.endswith(".py"):
                yield path, about.split()[2]

    base = f"{revision}~1" if experiment else revision
    return _state(read, files, git("show", f"{base}:params.yaml"), git("rev-parse", "--short", base), experiment)


def _state(
    read: Callable[[str], bytes],
    files: Callable[[str], Iterator[tuple[str, str]]],
    usual: str | None,
    head: str | None,
    experiment: str,
) -> State | None:
    try:
        params, pipeline = load(read("params.yaml")), read("dvc.yaml")
    except OSError:
        return None
    digest = hashlib.sha256(json.dumps(params, sort_keys=True, default=str).encode())
    for prefix in sorted({"dvc.yaml", "requirements.lock", "stages", *CODE.findall(pipeline.decode())}):
        for path, content in files(prefix):
            digest.update(f"{path} {content}\n".encode())
    before, here = (dict(leaves(tree)) for tree in (load(usual.encode()) if usual else params, params))
    changed = {name: str(value) for name, value in here.items() if before.get(name) != value}
    changed |= {name: "removed" for name in before if name not in here}
    text = ", ".join(f"{name}={value}" for name, value in list(changed.items())[:SHOWN])
    text += f" and {len(changed) - SHOWN} more" if len(changed) > SHOWN else ""
    name = ": ".join(filter(None, (experiment, text))) or "default"
    return State(digest.hexdigest()[:16], f"{name} ({head})" if head else name, changed)


def load(text: bytes) -> Any:
    """The parameters of the pipeline, without `sweeps:`."""
    from ruamel.yaml import YAML

    tree = YAML(typ="safe").load(io.BytesIO(text))
    return {key: item for key, item in tree.items() if key != "sweeps"} if isinstance(tree, Mapping) else tree


def leaves(tree: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings with its dotted name."""
    if not isinstance(tree, Mapping):
        yield name, tree
        return
    for key, value in tree.items():
        yield from leaves(value, f"{name}.{key}" if name else str(key))


def blob(content: bytes) -> str:
    """Git's name for a file of this content."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
