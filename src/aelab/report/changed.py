"""Entries whose net differs from that of their paper for one data set, by an `on:` block of params.yaml."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aelab.report.results import Item

CHANGED = "not the net of its paper: params.yaml changes it for this data set (`on:`)"
SECTIONS = ("models", "stacks", "narrow_stacks", "unrolled")


def changed(data: str, items: Iterable[Item], parameters: Mapping[str, Any]) -> dict[str, str]:
    """Entry -> how its net differs: "widths 500, 30 instead of 1000, 30"; entries with the same net are left out.

    data: the name of the data set; parameters: SECTIONS of params.yaml as written. An `on:` key changes the net if it
    is a parameter of the family, which is in the item's config; other keys change the training.
    """
    result = {}
    for item in items:
        block = _block(item.name, parameters)
        here = {key: value for key, value in block.get("on", {}).get(data, {}).items() if key in item.about["config"]}
        text = [
            f"{key} {_plain(value)}" + (f" instead of {_plain(block[key])}" if key in block else "")
            for key, value in here.items()
            if value != block.get(key)
        ]
        if text:
            result[item.name] = "; ".join(text)
    return result


def _block(name: str, parameters: Mapping[str, Any]) -> Mapping[str, Any]:
    """The block of an entry; an unrolled one has the net of its stack."""
    if name in parameters["unrolled"]:
        return parameters["narrow_stacks"][parameters["unrolled"][name]["stack"]]
    return parameters["models"].get(name) or parameters["stacks"].get(name, {})


def _plain(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def same_words(changed: Mapping[str, str]) -> dict[str, str]:
    """Text -> the names that share it, "a, b"."""
    result: dict[str, list[str]] = {}
    for name, text in changed.items():
        result.setdefault(text, []).append(name)
    return {text: ", ".join(names) for text, names in result.items()}
