"""What `aelab repro` says of numbers that are not those of the last commit."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aelab.cli.headlines import against_commit

ROOT = Path(__file__).parents[2]
ME = ["-c", "user.name=a", "-c", "user.email=a@example.org"]


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository whose commit holds the project's own tables."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics").mkdir()
    for name in ("comparison.csv", "summary.json"):
        done = subprocess.run(["git", "show", f"HEAD:metrics/{name}"], cwd=ROOT, capture_output=True, check=True)
        (tmp_path / "metrics" / name).write_bytes(done.stdout)
    for command in (["init", "-q"], ["add", "-A"], [*ME, "commit", "-qm", "results"]):
        subprocess.run(["git", *command], check=True)
    return tmp_path


def set_number(name: str, metric: str, factor: float) -> tuple[float, float]:
    """Multiply one number of comparison.csv; as it was, and as it is."""
    path = Path("metrics/comparison.csv")
    rows = list(csv.DictReader(path.read_text().splitlines()))
    [row] = [row for row in rows if row["name"] == name]
    before = float(row[metric])
    row[metric] = f"{before * factor:.6g}"
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    return before, float(row[metric])


def test_the_committed_table_is_identical(project):
    assert str(against_commit()).endswith(": identical")


def test_nothing_without_git_or_without_a_table(project):
    (project / "metrics/comparison.csv").unlink()
    assert against_commit() is None
    set_aside = project / "metrics/summary.json"
    (project / "metrics/comparison.csv").write_text(set_aside.read_text())
    shutil.rmtree(project / ".git")
    assert against_commit() is None


def test_another_device_alone_is_identical(project):
    path = Path("metrics/comparison.csv")
    path.write_text(path.read_text().replace("CPU (", "another CPU ("))
    count = sum(map(len, json.loads(Path("metrics/summary.json").read_text()).values()))
    assert f": all {count} identical (README" in str(against_commit())


def test_numbers_within_the_spread_of_seeds_are_named_so(project):
    old, new = set_number("pca", "sse", 1.01)  # no seeds: 5%
    line = str(against_commit())
    assert "within the spread of seeds, the furthest pca sse" in line
    assert f"{new:.6g} against {old:.6g}" in line


def test_a_number_beyond_it_is_named(project):
    set_number("vae", "sse", 2)
    set_number("ae", "sse", 1.001)
    line = str(against_commit())
    assert " differ by more than the spread of seeds: vae sse " in line
    assert ": 1 of " in line
    assert "ae sse" not in line.replace("vae sse", "")


def test_entries_of_one_side_are_named(project):
    path = Path("metrics/comparison.csv")
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith("vae,")) + "\n")
    assert "identical; only on one side: vae (README" in str(against_commit())


def test_repro_says_it_at_its_end(project):
    (project / ".dvc").mkdir()
    (project / ".dvc/config").write_text("[core]\nanalytics = false\n")
    stage = {"cmd": "sed -i 's/^pca,/pca2,/' metrics/comparison.csv; touch done", "outs": ["done"]}
    (project / "dvc.yaml").write_text(json.dumps({"stages": {"compare": stage}}))
    command = [str(Path(sys.executable).with_name("aelab")), "repro"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ended, said = done.stderr.splitlines()[-2:]
    assert ended == "1 ran"
    assert said.startswith("headline numbers of metrics/ against the last commit: all")
