"""Pages of the studies: what a tutorial or a paper printed beside what it is here, from studies/<name>/page.yaml.

python docs/studies.py [NAME ...]     writes docs/studies/<name>.md, of all studies that have a page.yaml, and the table
                                      of docs/studies/README.md, and docs/tutorials.md

page.yaml holds title, source, intro, sections, differs, cost. A section has a heading, a text, rows of its table
(`table`), a heading of comparison.md to copy what follows it (`copied`), a part that docs/vincent2008.py makes
(`made`), names of figures, and a text `after` them. A study without a params.yaml is a page about several: <name>_*.
A row has `what`, `value`, `printed`, and what decides it: `within` (a number, or a share as 10%), `at_most`, or none.
A value is <entry>:<metric>, <entry>:train/<term>@<epoch> (or validation/), or <net>*:auroc/<score> (the mean over the
entries whose names begin so). <study>/ before it names another study; in docs/tutorials.yaml a value without it is that
of the run at the top. {value} in a text becomes the number, {value@seeds} one per seed, {claim:words} the verdict on
the claim that begins so.
"""

from __future__ import annotations

import csv
import hashlib
import re
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import vincent2008
from ruamel.yaml import YAML

from aelab.data import storage
from aelab.report.metric_specs import number, spec

STUDIES, PAGES = Path("studies"), Path("docs/studies")
TUTORIALS = Path("docs/tutorials.yaml")
INDEX = PAGES / "README.md"
BEGIN, END = "<!-- pages: begin (written by `python docs/studies.py`) -->", "<!-- pages: end -->"
VALUE = re.compile(r"\{([^{}\s]+:[^{}\s]+)\}")
CLAIM = re.compile(r"\{claim:([^{}]+)\}")
HEAD = "| | printed | here | seeds | epochs | |\n|---|---:|---:|---:|---:|---|"


@dataclass(frozen=True)
class Value:
    """A number: the mean over seeds (or classes), how it prints, and the epochs that it took.

    values: one per seed; of the run at the top, whose table has means alone, only the mean. deviation: over seeds.
    """

    values: tuple[float, ...]
    metric: str  # of the table of metrics; "" for a loss
    epochs: str = ""
    over: str = "seeds"
    between: float | None = None  # standard deviation of the loss between batches
    spread: float | None = None  # where the values are not there

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def deviation(self) -> float | None:
        return float(np.std(self.values, ddof=1)) if len(self.values) > 1 else self.spread

    def shown(self, value: float) -> str:
        return number(value, self.metric) if self.metric else f"{value:.2f}"

    @property
    def text(self) -> str:
        """mean ± standard deviation."""
        spread = "" if self.deviation is None else f" ± {self.shown(self.deviation)}"
        batches = "" if self.between is None else f" (batches ± {self.between:.1f})"
        return self.shown(self.mean) + spread + batches


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


@cache
def settings(study: str) -> Any:
    """The params.yaml of a study."""
    return load(STUDIES / study / "params.yaml")


@cache
def at_the_top() -> dict[str, dict[str, str]]:
    """metrics/comparison.csv: the rows by name."""
    with Path("metrics/comparison.csv").open(encoding="utf-8", newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


@cache
def entry(study: str, name: str) -> Any:
    """metrics.json of an entry."""
    return storage.load_json(STUDIES / study / "data" / "evaluate" / name / "metrics.json")


def epochs(study: str, name: str) -> float:
    """The budget of an entry in epochs; NaN without one in epochs."""
    tree = settings(study)
    block = tree["unroll"] if name in tree["unrolled"] else tree["train"] | tree["models"].get(name, {})
    return block["max_epochs"] or float("nan")


def value(text: str, study: str) -> Value:
    """The number that `text` names (see the head of this file); study: where it does not say itself."""
    place, _, metric = text.rpartition(":")
    *other, name = place.split("/")
    study = other[0] if other else study
    if not study:
        mean, spread = (at_the_top()[name].get(column, "") for column in (metric, f"{metric}_std"))
        return Value((float(mean),), metric, spread=float(spread) if spread else None)
    if name.endswith("*"):
        tree = settings(study)["models"]
        names = [each for each in tree if each.startswith(name[:-1])]
        means = tuple(float(np.mean(entry(study, each)["metrics"][metric])) for each in names)
        return Value(means, metric, f"{epochs(study, names[0]):.0f}", "classes")
    metric, _, epoch = metric.partition("@")
    about, budget = entry(study, name), epochs(study, name)
    if not metric.startswith(("train/", "validation/")):
        return Value(tuple(about["metrics"][metric]), metric, f"{budget:.0f}" if about["history"][0] else "")
    side, term = metric.split("/")
    rows = [row for history in about["history"] for row in history if _at(row, budget, epoch)]
    between = [row[side]["between_batches"] for row in rows] if term == "last_batch" else None
    return Value(
        tuple(row[side][term] for row in rows), "", epoch, between=float(np.mean(between)) if between else None
    )


def _at(row: dict[str, Any], budget: float, epoch: str) -> bool:
    return abs(row["step"] / row["budget"] * budget - float(epoch)) < 0.01


def verdict(here: float, row: dict[str, Any]) -> str:
    """How the number compares with the printed one."""
    if "at_most" in row:
        return f"{'✓' if here <= row['at_most'] else '✗'} at most {row['at_most']}"
    if "printed" not in row:
        return ""
    gap, printed = here - row["printed"], row["printed"]
    if "within" not in row:
        return f"{gap:+.3g}"
    allowed = str(row["within"])
    limit = abs(printed) * float(allowed[:-1]) / 100 if allowed.endswith("%") else float(allowed)
    shown = f"{100 * gap / printed:+.1f}%" if allowed.endswith("%") else f"{gap:+.3g}"
    return f"{'✓' if abs(gap) <= limit else '✗'} {shown}, allowed {allowed}"


def table(rows: list[dict[str, Any]], study: str) -> str:
    """The rows of a section."""
    lines = [HEAD]
    for row in rows:
        try:
            found = value(row["value"], study)
        except FileNotFoundError:
            lines.append(f"| {row['what']} | {row.get('printed', '')} | (not run yet) | | | |")
            continue
        scale = 100 if found.metric and spec(found.metric).percent else 1
        seeds = f"{len(found.values)}{' classes' if found.over == 'classes' else ''}"
        printed = row.get("printed", "")
        cells = [row["what"], printed, found.text, seeds, found.epochs, verdict(scale * found.mean, row)]
        lines.append("| " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def filled(text: str, study: str) -> str:
    """A text with its numbers."""

    def number_of(match: re.Match[str]) -> str:
        try:
            found = value(match[1].removesuffix("@seeds"), study)
        except FileNotFoundError:
            return "(not run yet)"
        return ", ".join(map(found.shown, found.values)) if match[1].endswith("@seeds") else found.text

    text = CLAIM.sub(lambda match: verdict_of(match[1]), text.strip())
    return VALUE.sub(number_of, text)


def copied(study: str, heading: str) -> str:
    """A section of the study's comparison.md, without its heading."""
    text = (STUDIES / study / "metrics" / "comparison.md").read_text(encoding="utf-8")
    level, _, words = heading.partition(" ")
    found = re.search(
        rf"^{level} {re.escape(words)}\n(.*?)(?=^#{{1,{len(level)}}} |\Z)", text, re.MULTILINE | re.DOTALL
    )
    assert found, f"{study}: comparison.md has no {heading!r}"
    return found[1].strip()


def version(study: str) -> str:
    """What the numbers were made from: a digest of the code that the study's last stage read."""
    lock = load(STUDIES / study / "dvc.lock")["stages"]["compare"]["deps"]
    code = sorted(
        f"{each['path']} {each['md5']}" for each in lock if "src/" in each["path"] or "stages/" in each["path"]
    )
    return hashlib.sha256("\n".join(code).encode()).hexdigest()[:12]


def page(name: str) -> str:
    """The page of a study."""
    about = load(STUDIES / name / "page.yaml")
    parts = [
        f"# {about['title']}",
        f"*{about['source'].strip()}*",
        filled(about["intro"], name),
        f"    aelab repro studies/{name}{'' if (STUDIES / name / 'params.yaml').exists() else '_*'}",
        "Printed: by the source. Here: mean ± standard deviation over seeds, on test images that no learning stage has "
        "seen, unless it says a loss of training.",
    ]
    if not has_run(STUDIES / name):
        return "\n\n".join([*parts[:4], "Not run yet. " + sources(name)]) + "\n"
    for section in about["sections"]:
        parts += [f"## {section['heading']}", filled(section.get("text", ""), name)]
        parts += [table(section["table"], name)] if "table" in section else []
        parts += [copied(name, section["copied"])] if "copied" in section else []
        parts += [vincent2008.PARTS[section["made"]]()] if "made" in section else []
        for figure in section.get("figures", []):
            other, _, file = figure.rpartition("/")
            if other and not has_run(STUDIES / other):
                continue
            picture = STUDIES / (other or name) / "metrics" / "figures" / f"{file}.png"
            assert picture.exists(), f"{picture}: not there"
            parts.append(f"![{file}](../../{picture})")
        parts.append(filled(section.get("after", ""), name))
    parts += ["## What differs", "\n".join(f"- {filled(line, name)}" for line in about["differs"])]
    parts += ["## Cost", filled(about["cost"], name)]
    parts.append(sources(name))
    return "\n\n".join(part for part in parts if part) + "\n"


def sources(name: str) -> str:
    """Where the settings and the numbers of a study stand."""
    if not (STUDIES / name / "params.yaml").exists():
        return f"Settings: params.yaml in each studies/{name}_*; all numbers: metrics/comparison.md there."
    settings = f"Settings: [params.yaml](../../studies/{name}/params.yaml)"
    if not has_run(STUDIES / name):
        return f"{settings}."
    numbers = f"[comparison.md](../../studies/{name}/metrics/comparison.md)"
    return f"{settings}; all numbers: {numbers}. Code {version(name)}."


def verdict_of(claim: str) -> str:
    """The verdict of metrics/comparison.md on the claim that begins so."""
    found = [
        line
        for line in Path("metrics/comparison.md").read_text(encoding="utf-8").splitlines()
        if line.startswith(f"| {claim}")
    ]
    assert len(found) == 1, f"{claim}: {len(found)} claims begin so"
    return found[0].split(" | ")[2].replace("**", "")


def tutorials() -> str:
    """docs/tutorials.md, from docs/tutorials.yaml: every section of the five tutorials."""
    about = load(TUTORIALS)
    parts = ["# What the tutorials say, section by section", filled(about["intro"], "")]
    for each in about["tutorials"]:
        parts += [f"## {each['title']}", filled(each["text"], "")]
        rows = ["| section | what it says | where | number | verdict |", "|---|---|---|---|---|"]
        for section, says, where, shown, holds in each["rows"]:
            rows.append(f"| {section} | {says} | {where} | {filled(shown, '')} | {filled(holds, '')} |")
        parts.append("\n".join(rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def has_run(study: Path) -> bool:
    """Whether its last stage has; of several studies, one of them."""
    name = study.name if (study / "params.yaml").exists() else f"{study.name}_*"
    return any(STUDIES.glob(f"{name}/metrics/summary.json"))


def index() -> str:
    """The table of all pages."""
    lines = ["| study | source |", "|---|---|"]
    for path in sorted(STUDIES.glob("*/page.yaml")):
        about, name = load(path), path.parent.name
        later = "" if has_run(path.parent) else " (not run yet)"
        lines.append(f"| [{name}]({name}.md){later} | {about['source'].strip()} |")
    return "\n".join(lines)


def main() -> None:
    names = sys.argv[1:] or [path.parent.name for path in sorted(STUDIES.glob("*/page.yaml"))]
    PAGES.mkdir(exist_ok=True)
    for name in names:
        (PAGES / f"{name}.md").write_text(page(name), encoding="utf-8")
    TUTORIALS.with_suffix(".md").write_text(tutorials(), encoding="utf-8")
    before, rest = INDEX.read_text(encoding="utf-8").split(BEGIN)
    INDEX.write_text(f"{before}{BEGIN}\n\n{index()}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    main()
