"""Studies: the same stages with parameters of their own, in a DVC subrepo whose results outlive the cache."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE
from entries import in_epochs
from ruamel.yaml import YAML

from aelab.cli import study

ROOT = Path(__file__).parents[2]
ME = ["-c", "user.name=a", "-c", "user.email=a@example.org"]


class Project:
    """A commit of the project's files in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = os.environ | {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "AELAB_TRACKING": "on",
        }
        for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT", "PYTHONDONTWRITEBYTECODE"):
            self.env.pop(name, None)
        names = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
        for name in names.splitlines():
            if (ROOT / name).is_file() and name.startswith(
                ("src/", "stages/", ".dvc", "params", "dvc.yaml", "versions")
            ):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        (folder / ".gitignore").write_text("/.aelab\n/mlflow.db*\n/mlartifacts\n")
        self.run("git", "init", "-q")
        self.commit()

    def run(self, *command: str) -> str:
        env = self.env | {"PYTHONPATH": str(self.folder / "src")}
        done = subprocess.run(command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        return done.stdout + done.stderr

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", *ME, "commit", "-qm", "all")

    def experiments(self) -> set[str]:
        code = "from aelab.tracking import store; print(*(e.name for e in store.client().search_experiments()))"
        return set(self.run(sys.executable, "-c", code).split())


def shrink(tree) -> None:
    tree["prepare"]["limit"] = 200
    tree["corrupt"]["noises"] = ["masking 0.25"]
    tree["capacity"] |= {"depths": [1], "latent_dims": [2], "hidden": 8, "max_steps": 4, "num_seeds": 1}
    tree["noise_transfer"] |= {"max_steps": 4, "num_seeds": 1}
    tree["baselines"] |= {"classifier_steps": 20, "steps": 5, "max_ood_images": 50, "num_samples": 100}
    tree["baselines"]["label_budgets"] = [20]
    tree["train"] |= {**in_epochs(1), "num_seeds": 1}
    for entry in tree["models"].values():
        for own in ("max_steps", "num_seeds"):
            entry.pop(own, None)


def edit(path: Path, change) -> None:
    yaml = YAML()
    tree = yaml.load(path)
    change(tree)
    yaml.dump(tree, path)


@pytest.mark.parametrize("path", sorted((ROOT / "studies").glob("*/dvc.yaml")), ids=lambda path: path.parent.name)
def test_the_pipeline_of_a_study_is_that_at_the_top(path):
    own = YAML(typ="safe").load(path.with_name("params.yaml"))["data"].get("path")
    assert path.read_text() == study.pipeline((ROOT / "dvc.yaml").read_text(), own and Path(own))


def test_chosen_entries_bring_what_they_are_built_on():
    tree = YAML(typ="safe").load(study.chosen((ROOT / "params.yaml").read_text(), ["vae", "unrolled_rbm"]))
    assert [list(tree[group]) for group in study.GROUPS] == [["vae"], [], ["stack_rbm_30"], ["unrolled_rbm"]]
    assert "sweeps" not in tree


@pytest.mark.parametrize(
    ("name", "entries", "words"),
    [
        ("../else", [], "is no name for a study"),
        ("Demo", [], "is no name for a study"),
        ("taken", [], "studies/taken exists"),
        ("fresh", ["vea"], "vea: no such entry of params.yaml; there are: mean, pca"),
    ],
)
def test_what_cannot_be_made_is_one_line_and_leaves_nothing(name, entries, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for file in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / file, tmp_path)
    (tmp_path / "studies/taken").mkdir(parents=True)
    with pytest.raises(ValueError, match=words):
        study.new(name, entries)
    assert [path.name for path in (tmp_path / "studies").iterdir()] == ["taken"]


def test_a_study_runs_outlives_the_cache_and_goes_without_a_trace(tmp_path):
    project = Project(tmp_path / "project")
    project.run("aelab", "study", "new", "small", "pca")
    folder = project.folder / "studies/small"
    edit(folder / "params.yaml", shrink)
    assert "9 ran" in project.run("aelab", "repro", "studies/small", "-j", "2")
    assert (folder / "metrics/report.html").exists()
    assert not (project.folder / "data").exists(), "the project's own results are its own"
    project.commit()
    project.run("aelab", "sync")
    assert "small" in project.experiments()

    clone = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", project.folder, clone], check=True)
    project.folder, there = clone, project.folder
    assert "9 unchanged" in project.run("aelab", "repro", "studies/small")
    assert not (clone / "studies/small/data/train").exists()
    rooms = [*(clone / "src/aelab").glob("*/__pycache__"), *(there / "src/aelab").glob("*/__pycache__")]
    assert rooms == [], "a study takes these folders as dependencies"
    edit(clone / "studies/small/params.yaml", lambda tree: tree["compare"].update(interpolations=["pca"]))
    said = project.run("aelab", "repro", "studies/small", "-j", "2")
    assert " ran compare" in said
    assert " ran train@pca" not in said

    project.folder = there
    project.run("aelab", "study", "delete", "small")
    assert not folder.exists()
    assert "small" not in project.experiments()
