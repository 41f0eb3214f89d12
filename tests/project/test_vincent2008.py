"""The table of 8 sets by 6 methods: what is chosen, what is bold, and what it says, of made-up results."""

import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
ERRORS = {"dbn1": 0.04, "saa3": 0.035, "dbn3": 0.03, "sda3": 0.028}  # of the chosen trials
SVMS = {"svm_rbf": 0.0303, "svm_poly": 0.0369}


@pytest.fixture
def page(tmp_path, monkeypatch):
    """docs/vincent2008.py, in a folder with the page.yaml of the study alone."""
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    monkeypatch.chdir(tmp_path)
    Path("studies/vincent2008").mkdir(parents=True)
    shutil.copy(ROOT / "studies/vincent2008/page.yaml", "studies/vincent2008/page.yaml")
    return importlib.import_module("vincent2008")


def run(part: str, shift: float = 0.0, methods=tuple(ERRORS), **changes) -> None:
    """Results of a study: each net's second trial is the one to choose, though the first is better on test images."""
    folder = Path("studies") / f"vincent2008_{part}"
    (folder / "metrics").mkdir(parents=True)
    summary = {name: {"test_error/all": error + shift} for name, error in SVMS.items()}
    (folder / "metrics" / "summary.json").write_text(json.dumps(summary))
    for method in methods:
        error = changes.get(method, ERRORS[method]) + shift
        for trial, (validation, test) in {"a": (error + 0.01, error - 0.01), "b": (error, error)}.items():
            place = folder / "data" / "evaluate" / f"{method}_{trial}"
            place.mkdir(parents=True)
            wrong = np.zeros((1, 50_000), np.uint8)
            wrong[0, : round(50_000 * test)] = 1
            np.savez(place / "per_image.npz", **{"test_error/all": wrong})
            about = {"metrics": {"test_error/all": [test]}, "validation": {"error/all": [validation]}}
            (place / "metrics.json").write_text(json.dumps(about))


def row(text: str, name: str) -> list[str]:
    return next([cell.strip() for cell in line.split("|")[2:-1]] for line in text.splitlines() if f"| {name} " in line)


def test_validation_chooses_and_the_best_of_a_row_are_bold(page):
    run("basic")
    found = row(page.table(), "basic")
    assert found == [
        "**3.03 ± 0.15** (**3.03**)",
        "3.69 ± 0.17 (3.69)",
        "4.00 ± 0.17 (3.94)",
        "3.50 ± 0.16 (3.46)",
        "**3.00 ± 0.15** (3.11)",
        "**2.80 ± 0.14** (**2.80**)",
    ]
    assert row(page.table(), "rot")[0] == "(not run yet) (11.11)"
    assert row(page.trials_table(), "basic")[-1] == "3.80 / 1.80<br>**2.80 / 2.80**"


def test_a_set_of_several_draws_has_their_mean_and_its_interval(page):
    for draw in range(1, 6):
        run(f"rect_{draw}", shift=0.001 * draw)
    cell = page.cell("rect", "SdA-3")
    assert cell.error == pytest.approx(3.1)
    assert cell.margin == pytest.approx(2.776 * np.std([1, 2, 3, 4, 5], ddof=1) / 10 / 5**0.5, rel=0.001)
    shutil.rmtree("studies/vincent2008_rect_4")
    assert page.cell("rect", "SdA-3") is None


def test_what_the_table_says(page):
    assert page.verdicts() == "(not run yet)"
    run("basic")
    run("rot", shift=0.07, saa3=0.033, sda3=0.0332)
    run("bg_rand", methods=("dbn1",))  # has only begun: no word of it
    text = page.verdicts()
    assert "on most sets? Yes: on 2 of 2 (basic, rot); printed: on 2 (basic, rot)." in text
    noise = (
        "SdA-3 against SAA-3, points: better on 1 (basic -0.70 ± 0.07), worse on 1 (rot +0.02 ± 0.01), undecided on 0."
    )
    assert noise in text
    assert "DBN-3 against DBN-1, points: better on 2 (basic -1.00 ± 0.09, rot -1.00 ± 0.09)" in text
    assert row(text, "here") == ["2.50", "5.00", "6.00", "3.50", "1.50", "2.50"]
    assert "over basic and rot: 0.84 points." in text
    assert "Off by more than 3 points: rot SVM-poly (-4.7), rot DBN-1 (-3.7)." in text


def test_the_committed_sets_have_the_sizes_of_the_paper(page, monkeypatch):
    monkeypatch.chdir(ROOT)
    sizes = [(each["train"], each["test"]) for each in json.loads((page.HERE / "sets.json").read_text()).values()]
    assert sizes == [(12_000, 50_000)] * 5 + [(1200, 50_000), (12_000, 50_000), (8000, 50_000)]
    text = page.sets()
    assert all(len(row(text, name)) == 4 for name in page.SETS)
