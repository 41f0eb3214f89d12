"""A cache of params.yaml for DVC, which would parse it again for every stage with parameters, some 15 ms each, and look
at every key in it to find one, some 10 ms each."""

from __future__ import annotations

import copy
import functools
import os
from typing import Any

from aelab.runner.dvc_api import param, serialize

BY_DVC = param.dpath  # type: ignore[attr-defined]  # the library that finds a key in parameters


def remember() -> None:
    """From now on this process parses a YAML file of parameters again only after it has changed."""
    serialize.LOADERS[".yaml"] = load
    param.dpath = Lookup  # type: ignore[attr-defined]


def load(path: Any, fs: Any = None, **options: Any) -> Any:
    """Like serialize.load_yaml."""
    if options or fs is None or fs.protocol != "local":
        return serialize.load_yaml(path, fs=fs, **options)
    result = os.stat(path)
    return copy.deepcopy(read(path, fs, (result.st_mtime_ns, result.st_size, result.st_ino)))


@functools.lru_cache(maxsize=4)
def read(path: Any, fs: Any, stamp: tuple[int, ...]) -> Any:
    return serialize.load_yaml(path, fs=fs)


class Lookup:
    """The functions of dpath that DVC uses on parameters."""

    search = staticmethod(BY_DVC.search)

    @staticmethod
    def get(tree: Any, key: str, separator: str = ".") -> Any:
        """Like dpath.get, by one step per part of a key that is written as it stands in the file."""
        found = tree
        for part in key.split(separator):
            if not isinstance(found, dict) or part not in found:
                return BY_DVC.get(tree, key, separator=separator)  # patterns, numbers, what is not there
            found = found[part]
        return found
