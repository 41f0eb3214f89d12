"""The words of tables and series: the report is written for images, and says rows and cells where there are none."""

from __future__ import annotations

import re
from collections.abc import Callable

from aelab.report.results import Kind

COMMON = (
    ("peak signal-to-noise ratio", "signal-to-noise ratio"),
    ("psnr", "snr"),
    ("values from 0 to 1, summed over pixels", "values of standard deviation 1, summed over known cells"),
    ("raw pixels", "raw values"),
    ("pixels", "cells"),
    ("pixel", "cell"),
    ("Pixels", "Cells"),
)
WORDS = {
    "table": (
        *COMMON,
        ("images", "rows"),
        ("image's", "row's"),
        ("image", "row"),
        ("Images", "Rows"),
        ("digits", "rows"),
        ("draws", "rebuilds"),
    ),
    "series": (*COMMON, ("image's", "series'"), ("images", "series"), ("image", "series"), ("Images", "Series")),
}
MARKUP = re.compile(r"(<(?:script|style)\b.*?</(?:script|style)>|<[^>]*>)", re.DOTALL)
SPOKEN = re.compile(r'(?<= )(title|alt|aria-label)="[^"]*"')  # attributes that are read


def said(text: str, kind: Kind) -> str:
    """A text about images, in the words of `kind`."""
    for old, new in WORDS.get(kind, ()):
        text = re.sub(rf"(?<![\w/]){old}(?![\w/])", new, text)
    return text


def page(html: str, kind: Kind) -> str:
    """A page about images, in the words of `kind`: its text and the attributes that are read, no markup, no scripts."""
    if kind not in WORDS:
        return html

    def attributes(tag: str) -> str:
        if tag.startswith(("<script", "<style")):
            return tag
        spoken: Callable[[re.Match[str]], str] = lambda found: said(found[0], kind)  # noqa: E731
        return SPOKEN.sub(spoken, tag)

    parts = MARKUP.split(html)
    return "".join(attributes(part) if i % 2 else said(part, kind) for i, part in enumerate(parts))
