"""The HTML report: one self-contained page that needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from aelab.report import one_class, uses, verdicts, warnings, wording
from aelab.report.best_models import WORDS as ABOUT_BEST
from aelab.report.best_models import best_models
from aelab.report.figures.captions import GROUPS as CAPTIONS
from aelab.report.html import images
from aelab.report.html.blocks import blocks
from aelab.report.html.gallery import learning, noise
from aelab.report.html.rows import rows
from aelab.report.html.table_columns import GROUPS, table_columns
from aelab.report.pretraining import BETTER, OPEN, WORSE, Pretraining, pretraining
from aelab.report.pretraining import WORDS as ABOUT_PRETRAINING
from aelab.report.provenance import provenance, seeds
from aelab.report.results import Results

TEMPLATES = Path(__file__).parent / "templates"
SCRIPTS = ("filter.js", "table.js", "gallery.js", "figures.js")


@dataclass(frozen=True)
class Figure:
    """One figure with its caption."""

    name: str
    title: str
    caption: str
    picture: str
    width: int
    height: int


def page(results: Results, titles: Mapping[str, str], drawn: Path, parameters: Mapping[str, Any]) -> str:
    """The HTML. titles: of the figures in the folder `drawn`, by name; parameters: sections of params.yaml."""
    script = "\n".join((TEMPLATES / name).read_text(encoding="utf-8") for name in SCRIPTS)
    shown = table_columns(results)
    result = verdicts.verdicts(results)
    stacks = _pretraining(results)
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES, encoding="utf-8"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    text = environment.get_template("report.html").render(
        data=results.data,
        style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
        script=script,
        script_digest=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode("ascii"),
        test_images=results.baselines["test_images"],
        models=sum(not item.is_baseline for item in results.models),
        stacks=results.stacks,
        seeds=seeds(results),
        warned=sum(bool(warnings.of(results, item)) for item in results.items.values()),
        groups={key: text for key, text in GROUPS.items() if any(key in column.groups for column in shown)},
        columns=shown,
        groups_of_rows=rows(results, shown),
        verdicts=result,
        drawn=titles,
        outcomes={word: count for word in verdicts.OUTCOMES if (count := sum(each.outcome == word for each in result))},
        about_claims=verdicts.WORDS,
        about_pretraining=ABOUT_PRETRAINING,
        uses=list(blocks([*uses.section(results)[1:], *one_class.section(results)])),
        best=best_models(results),
        about_best=ABOUT_BEST,
        budgets={f"{n:,} labels" + " (all)" * (name == "all"): name for name, n in results.budgets.items()},
        pretraining=stacks,
        helped={
            budget: {
                word: sum(row[budget].word == word for row in stacks.values() if budget in row)
                for word in (BETTER, OPEN, WORSE)
            }
            for budget in results.budgets
        },
        galleries=[gallery for gallery in (learning(results), noise(results)) if gallery],
        figures=figures(titles, drawn),
        provenance=provenance(results, parameters),
    )
    return wording.page(text, results.kind)


def figures(titles: Mapping[str, str], drawn: Path) -> dict[str, list[Figure]]:
    """The figures that were drawn, by group."""
    result = {
        group: [
            Figure(name, titles[name], caption, images.figure(path := drawn / f"{name}.png"), *images.size(path))
            for name, caption in captions.items()
            if name in titles
        ]
        for group, captions in CAPTIONS.items()
    }
    return {group: subset for group, subset in result.items() if subset}


def _pretraining(results: Results) -> dict[str, dict[str, Pretraining]]:
    """Stack -> label budget -> the comparison with its control."""
    return {
        item.name: {
            budget: pretraining(results, item, f"test_error/{budget}")
            for budget in results.budgets
            if f"test_error/{budget}" in item.metrics
        }
        for item in results.stacks
    }
