"""Limits on YAML input: nested aliases can expand to more values than any memory holds."""

from __future__ import annotations

import itertools
import re

LARGEST = 2**20  # characters of a file
MOST = 100_000  # values, with every alias counted as everything that it expands to
DEEPEST = 50  # nested blocks
BRACKETS = 1000  # open brackets, including those in comments and texts


def check(text: str) -> None:
    """Raise ValueError for YAML that is too large, too deep, or expands to too many values."""
    from ruamel.yaml import YAML, events

    if len(text) > LARGEST:
        raise ValueError(f"{len(text)} characters are too many; allowed: up to {LARGEST}")
    sizes: dict[str, int] = {}  # anchor -> number of values below it
    blocks: list[tuple[str | None, int]] = [(None, 0)]  # enclosing blocks: anchor, number of values so far
    opened = itertools.accumulate(1 if bracket in "[{" else -1 for bracket in re.findall(r"[][{}]", text))
    if max(opened, default=0) > BRACKETS:  # the parser itself would take forever
        raise ValueError(f"holds too much; allowed: {DEEPEST} blocks within each other")
    for event in YAML(typ="safe").parse(text):
        if isinstance(event, (events.MappingStartEvent, events.SequenceStartEvent)):
            blocks.append((event.anchor, 1))
            continue
        anchor, size = getattr(event, "anchor", None), int(isinstance(event, events.ScalarEvent))
        if isinstance(event, events.AliasEvent):
            anchor, size = None, sizes.get(str(event.anchor), 1 + MOST * (event.anchor in dict(blocks)))
        elif isinstance(event, (events.MappingEndEvent, events.SequenceEndEvent)):
            anchor, size = blocks.pop()
        sizes |= {anchor: size} if anchor else {}
        blocks[-1] = (blocks[-1][0], blocks[-1][1] + size)
        if len(blocks) > DEEPEST or blocks[-1][1] > MOST:
            raise ValueError(f"holds too much; allowed: {MOST} values, {DEEPEST} blocks within each other")
