"""Models that have learned some classes of the data and tell all others from them, as published for each class by
itself (one class is normal) and for each left out (one class is the anomaly)."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from aelab.report.formatting import SCORES, grid
from aelab.report.metric_specs import number
from aelab.report.results import Item, Results


@dataclass(frozen=True)
class Group:
    """The same net, trained once for each class. alone: whether that class is normal, not all others."""

    name: str  # what the names of its entries have in common
    alone: bool
    items: dict[str, Item]  # by the class that is alone

    def mean(self, score: str) -> float:
        """The mean AUROC over classes, of the mean over seeds; NaN if a class lacks it."""
        return float(np.mean([item.mean(f"auroc/{score}") for item in self.items.values()]))

    @property
    def scores(self) -> list[str]:
        """The scores that all its models have."""
        return [name for name in SCORES if name and not math.isnan(self.mean(name))]

    @property
    def best(self) -> str:
        """The score that is best on validation items, on average."""
        means = {
            name: np.mean([item.validation[f"auroc/{name}"] for item in self.items.values()]) for name in self.scores
        }
        return max(means, key=means.__getitem__)


def groups(results: Results) -> list[Group]:
    """Entries that differ in their normal classes only, in the order of params.yaml."""
    classes = list(results.data["classes"])
    found: dict[str, list[tuple[str, Item]]] = {}
    for item in results.one_class:
        normal = item.about["normal"]
        alone = len(normal) == 1
        rest = [name for name in classes if (name in normal) == alone]
        key = repr((item.about["family"], item.about["config"], item.noise, alone))
        found.setdefault(key, []).append((", ".join(rest), item))
    result = []
    for members in found.values():
        alike = itertools.takewhile(lambda letters: len(set(letters)) == 1, zip(*(item.name for _, item in members)))  # noqa: B905
        name = "".join(letters[0] for letters in alike).rstrip("_-.") or members[0][1].name
        alone = len(members[0][1].about["normal"]) == 1
        result.append(Group(name, alone, dict(members)))
    return result


def section(results: Results) -> list[str]:
    """AUROC by net and score, means over classes, and class by class."""
    found = groups(results)
    if not found:
        return []
    scores = [name for name in SCORES if any(name in group.scores for group in found)]
    return [
        "## One class against all others",
        "AUROC of nets that have learned some classes only: of test images of these against all other test images. "
        "Means over classes. SAP and NAP: Kim et al. 2020, RaPP.",
        grid(
            ["net", "normal", "classes", *(SCORES[name] for name in scores)], [means(group, scores) for group in found]
        ),
        "By class, by the score that is best on validation images.",
        by_class(found),
    ]


def means(group: Group, scores: Sequence[str]) -> list[str]:
    """One row: the mean AUROC over classes by score, that of the best on validation in bold."""
    cells = []
    for name in scores:
        shown = number(group.mean(name), "auroc") if name in group.scores else "n/a"
        cells.append(f"**{shown}**" if name == group.best else shown)
    return [group.name, "one class" if group.alone else "all but one", str(len(group.items)), *cells]


def by_class(found: Sequence[Group]) -> str:
    """A row per class, a column per net."""
    classes = dict.fromkeys(name for group in found for name in group.items)
    rows = [
        [
            name,
            *(
                number(group.items[name].mean(f"auroc/{group.best}"), "auroc") if name in group.items else ""
                for group in found
            ),
        ]
        for name in classes
    ]
    return grid(["class", *(f"{group.name}, {SCORES[group.best]}" for group in found)], rows)
