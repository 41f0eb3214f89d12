"""The studies that come with the project: their settings are right, their results are what dvc.lock says, and their
pages hold these results."""

import runpy
import shutil
import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from aelab.config import params

ROOT = Path(__file__).parents[2]
STUDIES = sorted(path.parent for path in (ROOT / "studies").glob("*/page.yaml"))
RUN = [study for study in STUDIES if (study / "metrics" / "summary.json").exists()]


def names(paths):
    return pytest.mark.parametrize("study", paths, ids=lambda path: path.name)


@names(sorted(path.parent for path in (ROOT / "studies").glob("*/params.yaml")))
def test_its_settings_are_right(study, monkeypatch):
    monkeypatch.chdir(study)
    params.check_all()


@names(RUN)
def test_its_committed_results_are_those_of_its_dvc_lock(study):
    with Repo(study) as repo:
        kept = [out for stage in repo.index.stages for out in stage.outs if not out.use_cache]
        there = [out for out in kept if out.exists]
        assert len(there) > 1
        assert [str(out) for out in there if out.changed_checksum()] == []


@pytest.fixture(scope="module")
def committed(tmp_path_factory):
    """The project as committed: results of this machine may be those of another kind of CPU."""
    folder = tmp_path_factory.mktemp("committed")
    parts = ["docs", "studies", "metrics", "params.yaml"]
    subprocess.run(["git", "archive", "--output", folder / "all.tar", "HEAD", *parts], check=True, cwd=ROOT)
    shutil.unpack_archive(folder / "all.tar", folder)
    return folder


@pytest.fixture
def made(committed, monkeypatch):
    """The functions of docs/studies.py, in the project as committed."""
    monkeypatch.chdir(committed)
    monkeypatch.syspath_prepend("docs")
    return runpy.run_path("docs/studies.py")


@names(STUDIES)
def test_its_page_is_that_of_its_results(made, study):
    text = Path("docs/studies", f"{study.name}.md").read_text(encoding="utf-8")
    assert made["page"](study.name) == text, "run `python docs/studies.py`"


def test_the_pages_of_all_are_those_of_the_results(made):
    assert made["tutorials"]() == Path("docs/tutorials.md").read_text(encoding="utf-8"), "run `python docs/studies.py`"
    assert made["index"]() in Path("docs/studies/README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("here", "row", "said"),
    [
        (3.1, {"printed": 3.0, "within": 0.2}, "✓ +0.1, allowed 0.2"),
        (3.3, {"printed": 3.0, "within": 0.2}, "✗ +0.3, allowed 0.2"),
        (95.0, {"printed": 100.0, "within": "10%"}, "✓ -5.0%, allowed 10%"),
        (85.0, {"printed": 100.0, "within": "10%"}, "✗ -15.0%, allowed 10%"),
        (2.4, {"printed": 3.0, "at_most": 2.5}, "✓ at most 2.5"),
        (2.6, {"at_most": 2.5}, "✗ at most 2.5"),
        (2.0, {"printed": 3.0}, "-1"),
        (2.0, {}, ""),
    ],
)
def test_verdicts_on_printed_numbers(made, here, row, said):
    assert made["verdict"](here, row) == said


def test_a_number_comes_from_the_study_that_it_names(made):
    found = made["Value"]((1.0, 3.0), "sse")
    assert found.text == "2.00 ± 1.41"
    assert made["Value"]((0.5,), "probe_accuracy").text == "50.0"
    assert made["value"]("ae:sse", "").metric == "sse"
    with pytest.raises(AssertionError, match="nothing of the kind: 0 claims begin so"):
        made["verdict_of"]("nothing of the kind")
