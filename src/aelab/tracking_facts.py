"""What tracking finds out by itself about the run of a stage."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path

from aelab.tracking import git


def facts(folder: Path) -> dict[str, str]:
    """Tags that tracking finds by itself; `folder` is the stage's working folder."""
    found = {
        "git_commit": git("-C", str(folder), "rev-parse", "HEAD"),
        "git_dirty": None,
        "dvc_stage": os.environ.get("DVC_STAGE"),
        "dvc_experiment": os.environ.get("DVC_EXP_NAME"),
        "python": platform.python_version(),
        "torch": version("torch"),
        "mlflow": version("mlflow"),
        "host": platform.node(),
    }
    if found["git_commit"]:
        # dvc.lock is written while stages run: its change says nothing about what the stage was made from
        changed = git("-C", str(folder), "status", "--porcelain", "-uno", "--", ":/", ":(top,exclude,glob)**/dvc.lock")
        found["git_dirty"] = "true" if changed else "false"
        found["mlflow.source.git.commit"] = found["git_commit"]
    return {key: value for key, value in found.items() if value}


def content_key(folder: Path) -> str | None:
    """DVC's run-cache key of the running stage: sha256 of command, dependencies, parameters and the paths of its outs.

    It names the folder in .dvc/cache/runs that DVC makes when the stage ends. None outside DVC and for stages that DVC
    does not cache. Takes no lock of DVC's, whose `repro` may hold it. Stages must run where their dvc.yaml lies.
    """
    file, _, name = os.environ.get("DVC_STAGE", "").rpartition(":")  # train@vae or studies/x/dvc.yaml:train@vae
    if not name:
        return None
    from dvc.repo import Repo
    from dvc.stage.cache import _can_hash, _get_stage_hash

    with Repo(str(folder)) as repo:
        places = [folder / (file or "dvc.yaml"), Path(repo.root_dir) / file, folder / "dvc.yaml"]
        stage = repo.stage.load_one(str(next(place for place in places if place.is_file())), name)
        stage.save_deps()
        return _get_stage_hash(stage) if _can_hash(stage) else None
