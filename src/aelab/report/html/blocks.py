"""Sections of comparison.md as blocks for the page: headings, paragraphs, tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Words = list[tuple[str, str]]  # (HTML element, text): "b", "i" or "" for none
EMPHASIS = re.compile(r"\*\*(.+?)\*\*|\*(.+?)\*")


@dataclass(frozen=True)
class Block:
    """level: of a heading, 0 of others; rows: of a table with this head, empty of others."""

    words: Words
    level: int = 0
    head: tuple[str, ...] = ()
    rows: tuple[tuple[Words, ...], ...] = ()


def blocks(parts: Sequence[str]) -> Iterator[Block]:
    """The blocks of Markdown parts, each a heading, a paragraph or a table as formatting.grid makes it."""
    for part in parts:
        if part.startswith("|"):
            head, _, *rows = part.splitlines()
            yield Block([], head=tuple(cells(head)), rows=tuple(tuple(map(words, cells(row))) for row in rows))
        elif part.startswith("#"):
            marks, _, text = part.partition(" ")
            yield Block(words(text), level=len(marks))
        else:
            yield Block(words(part))


def cells(line: str) -> list[str]:
    """The cells of a line of a table."""
    return [cell.strip() for cell in line[2:-2].split(" | ")]


def words(text: str) -> Words:
    """Text in pieces: **bold**, *italic* and plain."""
    found, at = [], 0
    for match in EMPHASIS.finditer(text):
        found += [("", text[at : match.start()]), ("b", match[1]) if match[1] else ("i", match[2])]
        at = match.end()
    return [(element, piece) for element, piece in [*found, ("", text[at:])] if piece]
