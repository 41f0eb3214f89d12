"""What there is to say about items that equal an earlier one."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping


def counted(parts: Mapping[str, Collection[Hashable]]) -> tuple[int, int]:
    """How many items equal an earlier one, and how many of the test split one of the training split.

    parts: by split, a hashable for each item, equal for equal items.
    """
    count = sum(map(len, parts.values())) - len(set[Hashable]().union(*parts.values()))
    learned = set(parts["train"])
    return count, sum(item in learned for item in parts.get("test", ()))


def said(count: int, both: int, items: str, drawn: bool) -> list[str]:
    """None or one line. items: what they are, as "rows". drawn: whether splits are drawn, which keeps equal items
    together."""
    if not count:
        return []
    line = f"{count:,} {items} equal an earlier one" + "; splits keep them together" * drawn
    return [
        line + f"; {both:,} of the test equal one of the training split, so errors there look too small" * bool(both)
    ]
