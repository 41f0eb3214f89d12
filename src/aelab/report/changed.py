"""Entries whose net `on:` of params.yaml changes for one data set: not the net of their paper, there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aelab.report.results import Item

CHANGED = "not the net of its paper: params.yaml changes it for this data set (`on:`)"
SECTIONS = ("models", "stacks", "narrow_stacks", "unrolled")


def changed(data: str, items: Iterable[Item], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Entry -> what is changed of its net: "widths 500, 30 instead of 1000, 30"; the same net is left out.

    data: the data set's name; parameters: SECTIONS of params.yaml as they are written. What an entry's `on:` block
    changes is its net where it is a setting of its family, so that it stands in the item's config; else it is how it
    learns.
    """
    found = {}
    for item in items:
        block = _block(item.name, parameters)
        here = {key: value for key, value in block.get("on", {}).get(data, {}).items() if key in item.about["config"]}
        words = [
            f"{key} {_plain(value)}" + (f" instead of {_plain(block[key])}" if key in block else "")
            for key, value in here.items()
            if value != block.get(key)
        ]
        if words:
            found[item.name] = "; ".join(words)
    return found


def _block(name: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The lines of an entry; an unrolled one has the net of its stack."""
    if name in parameters["unrolled"]:
        return parameters["narrow_stacks"][parameters["unrolled"][name]["stack"]]
    return parameters["models"].get(name) or parameters["stacks"].get(name, {})


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def same_words(changed: Mapping[str, str]) -> dict[str, str]:
    """Words -> the names that share them, "a, b"."""
    found: dict[str, list[str]] = {}
    for name, words in changed.items():
        found.setdefault(words, []).append(name)
    return {words: ", ".join(names) for words, names in found.items()}
