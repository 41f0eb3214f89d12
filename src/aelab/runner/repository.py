"""The Git repository of the project."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path


def root() -> Path:
    """The project's main checkout, also in an experiment that DVC runs in a temporary folder.

    DVC sets DVC_ROOT to it in every stage; elsewhere it is git's top level, or the working folder without git. For a
    study (studies/<name>, a DVC repository of its own) it is the project above.
    """
    top = Path(os.environ.get("DVC_ROOT") or git("rev-parse", "--show-toplevel") or os.getcwd()).resolve()
    return top.parents[1] if study(top) else top


def study(folder: Path) -> str | None:
    """The name of the study whose folder this is; None if it is none."""
    above = folder.resolve().parent
    return folder.resolve().name if above.name == "studies" and (above.parent / "dvc.yaml").exists() else None


def git(*command: str, index: Path | None = None) -> str | None:
    """The output of a git command, stripped; None without git or a repository. Takes no lock of git's.

    index: an index file other than the repository's.
    """
    environment = os.environ | ({"GIT_INDEX_FILE": str(index)} if index else {})
    text = ["git", "--no-optional-locks", *command]
    try:
        return subprocess.run(
            text, env=environment, capture_output=True, text=True, check=True, timeout=20
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
