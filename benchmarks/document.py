"""docs/performance.md and docs/reliability.md: each benchmark writes a section of its own and leaves the others."""

from __future__ import annotations

import os
import platform
import re
import statistics
import sys
from collections.abc import Sequence
from datetime import date
from pathlib import Path

DOCUMENT = Path(__file__).parents[1] / "docs/performance.md"


def write(title: str, text: str, document: Path | None = None) -> None:
    """Put a section in the place of the one of this title, or at the end; None: of docs/performance.md."""
    document = document or DOCUMENT
    old = document.read_text() if document.exists() else f"# {document.stem.capitalize()}\n"
    head, *sections = re.split(r"^## ", old, flags=re.M)
    found = {each.partition("\n")[0]: each.partition("\n")[2].strip() for each in sections} | {title: text.strip()}
    document.write_text("\n\n".join([head.strip(), *(f"## {name}\n\n{body}" for name, body in found.items())]) + "\n")


def measured(*facts: str) -> str:
    """How to do it again, when and on what it was done."""
    command = " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *sys.argv[1:]])
    known = [model_name(), f"{os.cpu_count()} cores", *facts, f"Python {platform.python_version()}"]
    return f"`{command}`, {date.today().isoformat()}: {', '.join(known)}."


def model_name() -> str:
    """The processor's, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def ranged(values: Sequence[float], digits: int = 2) -> str:
    """A median and, in brackets, least to most."""
    low, middle, high = (f"{each:,.{digits}f}" for each in (min(values), statistics.median(values), max(values)))
    return f"{middle} ({low} to {high})"
