"""Studies: the same stages on other settings or data, each a DVC subrepo in studies/<name>.

A study has its own params.yaml, and a dvc.yaml made from the one at the top. It shares the code, DVC's cache and the
MLflow store, where it is an experiment of its own. The results of `evaluate` and `compare`, but for the report, are
files in git, so that they outlive the cache.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aelab.config import params, roundtrip

FOLDER = Path("studies")
UP = "../../"
NAME = re.compile(r"[a-z]\w*")
GROUPS = ("models", "stacks", "narrow_stacks", "unrolled")  # the entries of params.yaml
SHARED = re.compile(r"(?<![\w./-])(stages/|src/|versions\.lock)")  # what the stages of all studies read
# outs whose files belong into git, not only into DVC's cache: small, and what people read; the
# report is large, and all in it stands in the others
KEPT = {
    "outs:\n        - data/evaluate/${key}\n": "outs:\n        - data/evaluate/${key}: {cache: false}\n",
    "- metrics/tracked.jsonl\n": "- metrics/tracked.jsonl: {cache: false}\n",
}
IGNORED = "/data/*\n!/data/evaluate\n/metrics/report.html\n/logs\n"  # what git does not hold


def new(name: str, entries: Sequence[str]) -> Path:
    """Make studies/<name> with these entries of the top's params.yaml (none: all); returns its folder.

    Raises ValueError for a name that is taken or none, and for an unknown entry.
    """
    free(name)
    return create(name, chosen(params.FILE.read_text(), entries))


def free(name: str) -> Path:
    """The folder of a study that does not exist yet. Raises ValueError for a name that is taken or none."""
    folder = FOLDER / name
    if not NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name for a study; allowed: lower-case letters, digits and _")
    if folder.exists():
        raise ValueError(f"{folder} exists; choose another name, or delete it")
    return folder


def create(name: str, text: str, data: Path | None = None) -> Path:
    """Make studies/<name> with the params.yaml `text`; returns its folder.

    data: the user's own files, whose change makes `download` run again.
    """
    folder = free(name)
    folder.mkdir(parents=True)
    try:
        (folder / "params.yaml").write_text(text)
        (folder / "dvc.yaml").write_text(pipeline(Path("dvc.yaml").read_text(), data))
        (folder / ".gitignore").write_text(IGNORED)
        setup = ["init --subdir -q", f"cache dir {UP}.dvc/cache", "config core.analytics false"]
        for command in [text.split() for text in setup]:
            subprocess.run([sys.executable, "-m", "dvc", *command], cwd=folder, check=True)
    except BaseException:
        shutil.rmtree(folder)
        raise
    return folder


def pipeline(text: str, data: Path | None = None) -> str:
    """The dvc.yaml of a study, from that at the top; data: see `create`."""
    if data:
        code = "      - src/aelab/sources\n"
        text = text.replace(code, f"{code}      - {json.dumps(str(data))}\n", 1)
    for cached, kept in KEPT.items():
        text = text.replace(cached, kept)
    return SHARED.sub(rf"{UP}\1", text)


def chosen(text: str, entries: Sequence[str]) -> str:
    """The params.yaml `text` with some of its entries, and what they are built on; without sweeps."""

    def edit(tree: Any) -> None:
        tree.pop("sweeps", None)
        there = {name: group for group in GROUPS for name in tree[group]}
        for name in entries:
            if name not in there:
                raise ValueError(f"{name}: no such entry of params.yaml; there are: {', '.join(there)}")
        kept = {*entries, *(tree["unrolled"][name]["stack"] for name in entries if there[name] == "unrolled")}
        for name, group in there.items() if entries else ():
            if name not in kept:
                del tree[group][name]
        for group in [group for group in GROUPS if not tree[group]]:
            tree.ca.items.pop(group, None)  # its comment would part the key from {}
            tree[group] = roundtrip.flow({})

    return roundtrip.edited(text, edit)


def delete(name: str) -> None:
    """Remove a study and its MLflow experiment; what DVC's cache holds of it goes with `dvc gc`.

    Raises ValueError if there is no such study.
    """
    from aelab.tracking import store

    folder = FOLDER / name
    if not (folder / "dvc.yaml").exists():
        raise ValueError(f"{folder}: no such study")
    store.delete_experiment(name)
    shutil.rmtree(folder)
