"""Put the answers and a figure of each example of `aelab use` into docs/your-data.md, so that none is typed by hand.

aelab use --example table && aelab repro studies/breast_cancer     and so on, for each of EXAMPLES
python docs/examples.py                                            those whose studies are there
"""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

from aelab.cli.use import EXAMPLES

PAGE, PICTURES = Path("docs/your-data.md"), Path("docs/images")
FIGURES = {
    "colour": "overview",
    "table": "columns",
    "table-mixed": "confused",
    "series": "series",
    "series-anomaly": "series-noise",
}
FOR_USES = {"colour": "compression"}  # of docs/uses.md
COLUMNS = ("question", "answer", "test", "by", "95% interval", "baseline")  # of the answers


def answers(study: Path) -> str:
    """The table of answers of a study's comparison.md, without the columns that a page has no room for."""
    text = (study / "metrics" / "comparison.md").read_text(encoding="utf-8")
    lines = text.partition("## Answers")[2].partition("\n## ")[0].splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line.startswith("|")]
    places = [rows[0].index(name) for name in COLUMNS]
    return "\n".join("| " + " | ".join(row[place] for place in places) + " |" for row in rows)


def block(example: str, study: Path) -> str:
    """The answers and the figure of an example; the figure is copied beside the page."""
    figure = FIGURES[example]
    picture = PICTURES / f"{study.name}-{figure}.png"
    PICTURES.mkdir(exist_ok=True)
    shutil.copy(study / "metrics" / "figures" / f"{figure}.png", picture)
    if other := FOR_USES.get(example):
        shutil.copy(study / "metrics" / "figures" / f"{other}.png", PICTURES / f"{study.name}-{other}.png")
    return f"{answers(study)}\n\n![{study.name}: {figure}](images/{picture.name})"


def main() -> None:
    text = PAGE.read_text(encoding="utf-8")
    for example, name in EXAMPLES.items():
        study = Path("studies") / name
        if not (study / "metrics" / "comparison.md").exists():
            print(f"{study}: not there; `aelab use --example {example}`, `aelab repro {study}`", file=sys.stderr)
            continue
        begin, end = (
            f"<!-- example {example}: begin (written by `python docs/examples.py`) -->",
            "<!-- example: end -->",
        )
        pattern = re.escape(begin) + ".*?" + re.escape(end)
        made = f"{begin}\n{block(example, study)}\n{end}"
        text, count = re.subn(pattern, lambda _, made=made: made, text, flags=re.DOTALL)
        if not count:
            sys.exit(f"{PAGE}: no place for {example}; it needs the lines {begin} and {end}")
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
