"""Facts about the run of a stage that tracking finds by itself: git, DVC, host."""

from __future__ import annotations

import functools
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aelab.runner.repository import git

PARENT = "mlflow.parentRunId"


def found() -> dict[str, str]:
    """The tags of a stage's run that are found automatically."""
    tags = {
        "git_commit": git("rev-parse", "HEAD"),
        "git_dirty": None,
        "dvc_stage": os.environ.get("DVC_STAGE"),
        "dvc_experiment": os.environ.get("DVC_EXP_NAME"),
        "python": platform.python_version(),
        "torch": version("torch"),
        "mlflow": version("mlflow"),
        "host": platform.node(),
        PARENT: os.environ.get("AELAB_PARENT_RUN"),
    }
    if tags["git_commit"]:
        changed = changes()
        tags["git_dirty"] = None if changed is None else str(bool(changed)).lower()
        tags["mlflow.source.git.commit"] = tags["git_commit"]
    return {key: value for key, value in tags.items() if value}


def changes() -> str | None:
    """Files that differ from the commit, as git lists them; None without git. dvc.lock is left out: it is written while
    stages run."""
    with index(Path.cwd()) as copy:
        exclude = ":(top,exclude,glob)**/dvc.lock"
        return git("status", "--porcelain", "-uno", "--", ":/", exclude, index=copy) if copy else None


@contextmanager
def index(folder: Path) -> Iterator[Path | None]:
    """A copy of git's index that makes git compare contents; None without git.

    Git trusts the size and the second of a file in its index, so in DVC's temporary experiments, which are checked out
    and changed within one second, it may take seed=2 for seed=1.
    """
    with tempfile.TemporaryDirectory() as scratch:
        copy = Path(scratch, "index")
        try:
            shutil.copyfile(folder / (git("-C", str(folder), "rev-parse", "--git-path", "index") or ""), copy)
        except OSError:
            yield None
            return
        os.utime(copy, (1, 1))
        yield copy


def lineage(folder: Path, stage: str) -> tuple[str | None, dict[str, str]]:
    """DVC's run-cache key of a stage, and its inputs: path -> MD5.

    The key is the sha256 of command, dependencies, parameters and the paths of the outs; it is the name of the folder
    in .dvc/cache/runs that DVC makes when the stage ends. None outside DVC, for stages that DVC does not cache, and if
    the folder is gone already, as that of a short experiment. Takes no lock of DVC's, whose `repro` may hold it. Stages
    must run where their dvc.yaml is.
    """
    file, _, name = stage.rpartition(":")  # train@vae or studies/x/dvc.yaml:train@vae
    if not name or not folder.exists():
        return None, {}
    from aelab.runner import yaml_cache
    from aelab.runner.dvc_api import can_hash, stage_hash

    yaml_cache.remember()
    place = folder / (file or "dvc.yaml")
    place = place if place.is_file() else folder / "dvc.yaml"
    if not place.is_file():
        return None, {}
    stamps = tuple(path.stat().st_mtime_ns for path in (place, folder / "params.yaml") if path.exists())
    found = stages(str(folder), str(place), stamps)[name]
    found.save_deps()
    inputs = {dep.def_path: dep.hash_info.value for dep in found.deps if isinstance(dep.hash_info.value, str)}
    return (stage_hash(found) if can_hash(found) else None), inputs


@functools.lru_cache(maxsize=4)
def stages(folder: str, file: str, stamps: tuple[int, ...]) -> Any:
    """The stages of a dvc.yaml as DVC loads them; this takes most of the time of `lineage`."""
    from aelab.runner.dvc_api import Repo, load_file

    return load_file(Repo(folder), file).stages  # type: ignore[attr-defined]
