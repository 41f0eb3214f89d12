"""The parts of docs/studies/vincent2008.md that are of this page alone: the table of 8 sets by 6 methods, what it says,
and the sets themselves.

python docs/vincent2008.py      draws every set once and writes studies/vincent2008/sets.png, sets.json

`python docs/studies.py` asks for a part by its name: table, verdicts, trials, sets.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ruamel.yaml import YAML
from scipy.stats import friedmanchisquare, rankdata

from aelab.data import storage
from aelab.report.formatting import grid
from aelab.report.statistics import interval, of_seeds

STUDIES = Path("studies")
HERE = STUDIES / "vincent2008"
N = 50_000  # test images
ERROR = "test_error/all"
METHODS = {
    "SVM-rbf": "svm_rbf",
    "SVM-poly": "svm_poly",
    "DBN-1": "dbn1",
    "SAA-3": "saa3",
    "DBN-3": "dbn3",
    "SdA-3": "sda3",
}
# set -> its studies, and what this set of data is called in params.yaml
SETS = {
    "basic": (("basic",), "mnist_basic"),
    "rot": (("rot",), "mnist_rot"),
    "bg-rand": (("bg_rand",), "mnist_bg_rand"),
    "bg-img": (("bg_img",), "mnist_bg_img"),
    "rot-bg-img": (("rot_bg_img",), "mnist_rot_bg_img"),
    "rect": (tuple(f"rect_{draw}" for draw in range(1, 6)), "rectangles"),
    "rect-img": (("rect_img",), "rectangles_img"),
    "convex": (("convex",), "convex"),
}


@dataclass(frozen=True)
class Cell:
    """A test error and half of its 95% interval, in %."""

    error: float
    margin: float

    def overlaps(self, other: Cell) -> bool:
        """Whether their intervals do."""
        return abs(self.error - other.error) <= self.margin + other.margin

    def __str__(self) -> str:
        return f"{self.error:.2f} ± {self.margin:.2f}"


@dataclass(frozen=True)
class Trial:
    """One trial of a net: its errors on validation and test images, in %, and which test images are wrong."""

    name: str
    validation: float
    test: float
    wrong: np.ndarray  # [images], the share of seeds that are wrong


def printed() -> dict[str, list[float]]:
    """Table 1 of the paper, in %: set -> the errors of METHODS."""
    return load(HERE / "page.yaml")["printed"]


def load(path: Path) -> Any:
    return YAML(typ="safe").load(path.read_text(encoding="utf-8"))


def binomial(error: float) -> float:
    """Half of the 95% interval of an error in % on N images, as the paper has it."""
    return 100 * 1.96 * float(np.sqrt(error / 100 * (1 - error / 100) / N))


def trials(part: str, method: str) -> list[Trial]:
    """The trials of a net on one of the studies, those that have run."""
    folders = sorted((STUDIES / f"vincent2008_{part}" / "data" / "evaluate").glob(f"{METHODS[method]}_*"))
    result = []
    for folder in folders:
        about = storage.load_json(folder / "metrics.json")
        wrong = storage.load_arrays(folder / "per_image.npz")[ERROR]
        errors = [
            100 * float(np.mean(values)) for values in (about["validation"]["error/all"], about["metrics"][ERROR])
        ]
        result.append(Trial(folder.name, *errors, wrong.reshape(-1, N).mean(0)))
    return result


def chosen(part: str, method: str) -> Trial | None:
    """The trial with the smallest error on validation images; None before the first has run."""
    return min(trials(part, method), key=lambda trial: trial.validation, default=None)


def svm(part: str, method: str) -> float | None:
    """The test error of a support vector machine, in %; None before it has run."""
    file = STUDIES / f"vincent2008_{part}" / "metrics" / "summary.json"
    return 100 * storage.load_json(file)[METHODS[method]][ERROR] if file.exists() else None


def cell(name: str, method: str) -> Cell | None:
    """A cell of the table: of several draws their mean, with Student's interval; None if one has not run."""
    found = []
    for part in SETS[name][0]:
        if method.startswith("SVM"):
            found.append(svm(part, method))
        else:
            trial = chosen(part, method)
            found.append(trial.test if trial else None)
    errors = [error for error in found if error is not None]
    if len(errors) < len(found):
        return None
    if len(errors) > 1:
        return Cell(float(np.mean(errors)), interval(of_seeds(errors)).margin)
    return Cell(errors[0], binomial(errors[0]))


def cells() -> dict[str, list[Cell | None]]:
    """The table as it is here."""
    return {name: [cell(name, method) for method in METHODS] for name in SETS}


def leading(row: Sequence[Cell | None]) -> list[bool]:
    """Which cells of a row are best, or not to be told from the best: those that the paper prints bold."""
    known = [each for each in row if each]
    best = min(known, key=lambda each: each.error, default=None)
    return [bool(each and best and each.overlaps(best)) for each in row]


def table() -> str:
    """Table 1: here, and below each number what is printed."""
    rows = []
    for name, row in cells().items():
        old = [Cell(error, binomial(error)) for error in printed()[name]]
        texts = []
        for here, bold, was, then in zip(row, leading(row), old, leading(old), strict=True):
            new = "(not run yet)" if here is None else f"**{here}**" if bold else str(here)
            before = f"{was.error:.2f}"
            texts.append(f"{new} ({f'**{before}**' if then else before})")
        rows.append([name, *texts])
    return grid(["set", *METHODS], rows)


def verdicts() -> str:
    """What the table says, of the sets of which every method has run."""
    found = {name: row for name, row in cells().items() if None not in row}
    if not found:
        return "(not run yet)"
    sets, old = len(found), {name: printed()[name] for name in found}
    errors = {name: [each.error for each in row if each] for name, row in found.items()}
    names = list(METHODS)
    last = names.index("SdA-3")
    here = [name for name, row in found.items() if leading(row)[last]]
    then = [name for name, row in old.items() if leading([Cell(error, binomial(error)) for error in row])[last]]
    lines = [
        f"Is SdA-3 best, or tied with the best, on most sets? {_yes(2 * len(here) > sets)}: on {len(here)} of {sets} "
        f"({_listed(here)}); printed: on {len(then)} ({_listed(then)}).",
        _compared("Does noise help SAA-3", "SdA-3", "SAA-3", found),
        _compared("Does depth help the DBN", "DBN-3", "DBN-1", found),
    ]
    ranks = [[f"{rank:.2f}" for rank in np.mean([rankdata(row) for row in each.values()], 0)] for each in (errors, old)]
    parts = ["\n".join(f"- {line}" for line in lines)]
    parts.append(f"Mean rank over {sets} sets, 1 is best:")
    parts.append(grid(["", *METHODS], [["here", *ranks[0]], ["printed", *ranks[1]]]))
    if sets > 2:
        p = [float(friedmanchisquare(*zip(*each.values(), strict=True)).pvalue) for each in (errors, old)]
        parts.append(f"Friedman's test that all methods are equal: p = {p[0]:.2g} here, {p[1]:.2g} printed.")
    gaps = [
        abs(a - b) for name in ("basic", "rot") if name in errors for a, b in zip(errors[name], old[name], strict=True)
    ]
    if gaps:
        parts.append(f"Mean absolute difference to the printed table over basic and rot: {np.mean(gaps):.2f} points.")
    off = [
        f"{name} {method} ({here - was:+.1f})"
        for name in errors
        for method, here, was in zip(METHODS, errors[name], old[name], strict=True)
        if abs(here - was) > 3
    ]
    parts.append(f"Off by more than 3 points: {', '.join(off) or 'none'}.")
    return "\n\n".join(parts)


def _compared(question: str, first: str, second: str, found: dict[str, list[Cell | None]]) -> str:
    """How often `first` has a smaller error than `second`, with 95% intervals over the same test images."""
    better, worse = [], []
    for name in found:
        value, margin = _gap(name, first, second)
        if abs(value) > margin:
            (better if value < 0 else worse).append(f"{name} {value:+.2f} ± {margin:.2f}")
    open_ = len(found) - len(better) - len(worse)
    return (
        f"{question}? {first} against {second}, points: better on {len(better)} ({_listed(better)}), "
        f"worse on {len(worse)} ({_listed(worse)}), undecided on {open_}."
    )


def _gap(name: str, first: str, second: str) -> tuple[float, float]:
    """The difference of two nets' errors in points, with half of its 95% interval: over test images, or over draws."""
    pairs = [(chosen(part, first), chosen(part, second)) for part in SETS[name][0]]
    gaps = [100 * (a.wrong - b.wrong) for a, b in pairs if a and b]
    means = [float(gap.mean()) for gap in gaps]
    if len(means) > 1:
        return float(np.mean(means)), interval(of_seeds(means)).margin
    return means[0], float(1.96 * gaps[0].std(ddof=1) / np.sqrt(N))


def trials_table() -> str:
    """Every trial of every net: its error on validation images, by which one is chosen, and on test images."""
    methods = [method for method in METHODS if not method.startswith("SVM")]
    rows = []
    for parts, _ in SETS.values():
        for part in parts:
            row = [part.replace("_", "-")]
            for method in methods:
                best = chosen(part, method)
                texts = [f"{each.validation:.2f} / {each.test:.2f}" for each in trials(part, method)]
                marked = [each.name == best.name if best else False for each in trials(part, method)]
                row.append(
                    "<br>".join(f"**{t}**" if m else t for t, m in zip(texts, marked, strict=True)) or "(not run yet)"
                )
            rows.append(row)
    return grid(["set", *methods], rows)


def _yes(holds: bool) -> str:
    return "Yes" if holds else "No"


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names) or "none"


def sets() -> str:
    """The sets: a picture of each, how it is described, and numbers of it."""
    about, described = storage.load_json(HERE / "sets.json"), load(HERE / "page.yaml")["described"]
    rows = [
        [name, described[name], f"{each['train']:,} + {each['test']:,}", f"{each['mean']:.3f}", each["more"]]
        for name, each in about.items()
    ]
    head = ["set", "as its authors describe it", "images", "mean", "of this draw"]
    return f"![sets](../../{HERE}/sets.png)\n\n{grid(head, rows)}"


PARTS = {"table": table, "verdicts": verdicts, "trials": trials_table, "sets": sets}


def main() -> None:
    """Draw every set once, picture it, and count."""
    from matplotlib.figure import Figure

    from aelab.config import params
    from aelab.sources import published

    mirrors = params.load("download").mirrors["mnist"]
    shown, about = {}, {}
    for name, (_, data) in SETS.items():
        parts = published.fetch(data, mirrors)
        x, y = (np.concatenate(arrays) for arrays in zip(*parts.values(), strict=True))
        classes = published.SOURCES[data].classes
        each = [np.flatnonzero(y == label)[: 10 // len(classes)] for label in range(len(classes))]
        shown[name] = x[np.array(list(itertools.chain(*zip(*each, strict=True)))), 0]
        covered = [(x[y == label] > 0).sum((1, 2, 3)) for label in range(len(classes))]
        more = "; ".join(f"{kind}: {n.mean():.0f} white pixels" for kind, n in zip(classes, covered, strict=True))
        about[name] = {
            "train": len(parts["train"][1]),
            "test": len(parts["test"][1]),
            "mean": round(float(x.mean()) / 255, 3),
            "more": more if name in ("rect", "convex") else f"{100 * y.mean():.1f}% tall" if name == "rect-img" else "",
        }
    figure = Figure(figsize=(9, 0.9 * len(shown)), layout="constrained")
    axes = figure.subplots(len(shown), 10)
    for row, (name, images) in zip(axes, shown.items(), strict=True):
        for entry, image in zip(row, images, strict=True):
            entry.imshow(image, cmap="gray", vmin=0, vmax=255)
            entry.set(xticks=[], yticks=[])
        row[0].set_ylabel(name, rotation=0, ha="right", va="center")
    figure.savefig(HERE / "sets.png", dpi=110, metadata={"Software": None})
    storage.save_json(HERE / "sets.json", about)


if __name__ == "__main__":
    main()
