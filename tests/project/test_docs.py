"""The documents say what is true."""

import hashlib
import json
import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_the_readme_s_table_is_that_of_metrics(tmp_path, monkeypatch):
    """As committed: the metrics/ of this machine may be those of another kind of CPU, or of other parameters."""
    files = ["README.md", "docs/results.py", "metrics/comparison.csv", "metrics/comparison.md"]
    subprocess.run(["git", "archive", "--output", tmp_path / "committed.tar", "HEAD", *files], check=True)
    shutil.unpack_archive(tmp_path / "committed.tar", tmp_path)
    monkeypatch.chdir(tmp_path)
    results = runpy.run_path("docs/results.py")
    text = Path("README.md").read_text()
    assert results["readme"](text) == text, "run `python docs/results.py`"


@pytest.mark.parametrize(
    "page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]), ids=lambda page: page.name
)
def test_links_within_the_project_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_readme_s_commands_are_targets_of_make():
    targets = set(re.findall(r"^(\w+):", Path("Makefile").read_text(), re.MULTILINE))
    assert set(re.findall(r"`?make (\w+)", Path("README.md").read_text())) <= targets


def test_the_screenshots_show_the_committed_metrics():
    committed = {
        name: subprocess.run(["git", "show", f"HEAD:{name}"], check=True, capture_output=True).stdout
        for name in ("metrics/summary.json", "docs/images/screenshots.json")
    }
    digest = hashlib.sha256(committed["metrics/summary.json"]).hexdigest()
    shown = json.loads(committed["docs/images/screenshots.json"])
    assert shown == {"metrics/summary.json": digest}, "run `make screenshots`"
