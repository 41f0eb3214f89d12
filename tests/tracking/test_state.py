"""One key for equal parameters and code, however written and wherever read; a name that says what differs."""

import subprocess
from pathlib import Path

import pytest

from aelab.tracking import state


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A committed pipeline; git and the working folder are its."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src/lab").mkdir(parents=True)
    (tmp_path / "stages").mkdir()
    (tmp_path / "src/lab/net.py").write_text("x = 1\n")
    (tmp_path / "src/other.py").write_text("y = 1\n")
    (tmp_path / "stages/train.py").write_text("import net\n")
    (tmp_path / "requirements.lock").write_text("torch==1\n")
    (tmp_path / "dvc.yaml").write_text("stages:\n  train:\n    cmd: x\n    deps: [stages/train.py, src/lab]\n")
    (tmp_path / "params.yaml").write_text("seed: 1\nmodels:\n  vae: {latent_dim: 20, widths: [400]}\n")
    commit("start")
    return tmp_path


def commit(words):
    me = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    for command in (["init", "-q"], ["add", "-A"], [*me, "commit", "-qm", words]):
        subprocess.run(["git", *command], check=True)


def test_a_folder_and_its_commit_are_one_state(project):
    here = state.of_folder(project)
    assert here == state.of_revision(Path.cwd(), "HEAD")
    assert here.changed == {}
    assert here.name.startswith("default (")


def test_how_parameters_are_written_does_not_matter(project):
    before = state.of_folder(project)
    aside = "sweeps: {}\nresources: {train: {cpus: 2}}\n"  # no stage reads them
    text = "# a word\nmodels: {vae: {widths: [ 400 ], latent_dim: 20}}\nseed: 1\n"
    (project / "params.yaml").write_text(text + aside)
    assert state.of_folder(project).key == before.key


@pytest.mark.parametrize("path", ["src/lab/net.py", "stages/train.py", "dvc.yaml", "requirements.lock"])
def test_other_code_is_another_state(project, path):
    before = state.of_folder(project)
    (project / path).write_text((project / path).read_text() + "# more\n")
    assert state.of_folder(project).key != before.key
    commit("more")
    assert state.of_folder(project) == state.of_revision(Path.cwd(), "HEAD")


def test_code_that_no_stage_depends_on_does_not_matter(project):
    before = state.of_folder(project)
    (project / "src/other.py").write_text("z = 1\n")
    (project / "README.md").write_text("words\n")
    assert state.of_folder(project).key == before.key


def test_a_name_says_what_differs_from_the_commit(project):
    (project / "params.yaml").write_text("seed: 2\nmodels:\n  vae: {latent_dim: 5, widths: [400], beta: 2, gamma: 3}\n")
    found = state.of_folder(project, "murky-dray")
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout.strip()
    assert found.name == f"murky-dray: seed=2, models.vae.latent_dim=5, models.vae.beta=2 and 1 more ({head})"
    assert found.changed["models.vae.gamma"] == "3"
    commit("an experiment")
    assert state.of_revision(Path.cwd(), "HEAD", "murky-dray") == found


def test_no_pipeline_no_state(tmp_path):
    assert state.of_folder(tmp_path) is None
