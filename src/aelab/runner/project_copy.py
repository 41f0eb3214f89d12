"""A copy of the project in a folder of its own, for runs that must leave the working folder unchanged.

It holds the files that git knows, with their current content, and shares DVC's cache.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aelab.runner import repository
from aelab.runner.dvc_api import Config

LOGS = Path("logs")


@contextlib.contextmanager
def copy(folder: Path, cache: str, logs: Path) -> Iterator[Path]:
    """Make `folder`: yields a draft, to which the caller may add files, and renames it at the end.

    cache: the folder of DVC's cache; logs: the folder for the copy's logs. Raises ValueError outside a git repository.
    """
    draft = folder.with_suffix(".new")
    shutil.rmtree(draft, ignore_errors=True)
    names = repository.git("ls-files", "-coz", "--exclude-standard")
    if names is None:
        raise ValueError("this runs on a copy of the files that git knows, and there is no git repository here")
    for name in [".dvc/config.local", *filter(None, names.split("\0"))]:
        if os.path.isfile(name):
            (draft / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(name, draft / name)
    config: Any
    with Config(str(draft / ".dvc")).edit("local") as config:
        config.setdefault("core", {}).update(no_scm=True, site_cache_dir=str(folder.resolve() / ".dvc" / "site"))
        config.setdefault("cache", {})["dir"] = cache
    logs.mkdir(parents=True, exist_ok=True)
    (draft / LOGS).symlink_to(logs.resolve())
    yield draft
    draft.rename(folder)
