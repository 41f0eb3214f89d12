"""Entries whose net `on:` of params.yaml changes for one data set: not the net of their paper, there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aelab.core import params

CHANGED = "on this data set not the net of its paper: `on:` of params.yaml changes it"


def changed(data: str, models: Sequence[str], unrolled: Sequence[str], stacks: Sequence[str]) -> dict[str, str]:
    """Entry -> what params.yaml changes of its net for a data set; entries whose net is the same are left out.

    An unrolled entry has the net of its stack. Raises params.ParamsError.
    """
    starts = [start.stack for start in _load("unrolled", unrolled)]
    entries = [*_load("models", models), *_load("narrow_stacks", starts), *_load("stacks", stacks)]
    found = zip((*models, *unrolled, *stacks), entries, strict=True)
    return {name: words for name, entry in found if (words := changes(entry, data))}


def _load(section: str, names: Sequence[str]) -> Sequence[Any]:
    return params.load("seed", *(f"{section}.{name}" for name in names))[1:] if names else ()


def changes(entry: params.Entry, data: str) -> str:
    """What of one entry's family settings is changed: "widths 500, 30 instead of 1000, 30", or ""."""
    usual, here = entry.config, entry.on(data).config
    keys = [key for key in usual if here[key] != usual[key]]
    return "; ".join(f"{key} {_plain(here[key])} instead of {_plain(usual[key])}" for key in keys)


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def same_words(changed: Mapping[str, str]) -> dict[str, str]:
    """Words -> the names that share them, "a, b"."""
    found: dict[str, list[str]] = {}
    for name, words in changed.items():
        found.setdefault(words, []).append(name)
    return {words: ", ".join(names) for words, names in found.items()}
