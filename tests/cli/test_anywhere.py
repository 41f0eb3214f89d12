"""Every command of `aelab` finds the project from wherever it is typed, and outside one says so and leaves nothing."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from aelab.cli import app

ROOT = Path(__file__).parents[2]
COMMANDS = {each.name or each.callback.__name__: each.callback for each in app.app.registered_commands if each.callback}
del COMMANDS["node"]  # a node of a cluster needs no project: tests/runner/cluster/test_node.py
WORDS = {
    "sweep": ["vae"],
    "show": ["vae"],
    "encode": ["x.npz"],
    "decode": ["x.npz"],
    "denoise": ["x.npz"],
    "fill": ["x.csv"],
    "score": ["x.npz", "-m", "vae"],
    "search": ["x.npz"],
    "compress": ["x.npz", "-m", "vae"],
    "decompress": ["x.aelc"],
}
WORDS |= {"export": ["vae"]}


@pytest.fixture
def project(tmp_path):
    """A project of one stage that notes its own folder."""
    folder = tmp_path / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_text("[core]\nno_scm = true\nanalytics = false\n")
    shutil.copy(ROOT / "params.yaml", folder)
    stage = {"cmd": "pwd > here.txt", "outs": ["here.txt"]}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": {"here": stage}}))
    (folder / "data/evaluate/vae").mkdir(parents=True)
    return folder


@pytest.mark.parametrize("command", COMMANDS)
def test_outside_a_project_every_command_says_the_same_and_makes_nothing(tmp_path, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.setattr(os, "execv", lambda *_: pytest.fail("a server started"))
    done = CliRunner().invoke(app.app, [command, *WORDS.get(command, [])])
    words = f"aelab {command}: not inside an AE Lab project: no params.yaml and dvc.yaml in {tmp_path} or above\n"
    assert (done.exit_code, done.output) == (1, words)
    assert list(tmp_path.iterdir()) == []


def test_below_the_root_commands_work_as_in_it(project):
    below = project / "data/evaluate/vae"
    command = [str(Path(sys.executable).with_name("aelab")), "repro"]
    done = subprocess.run(command, cwd=below, capture_output=True, text=True)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, "1 ran"), done.stderr
    assert (project / "here.txt").read_text() == f"{project}\n"
    assert (project / "logs/here.log").exists()
    assert list(below.iterdir()) == []


def test_files_are_those_of_the_folder_where_they_were_typed(project, monkeypatch):
    below, found = project / "data", []

    class Served:
        def rebuild(self, *files):
            found.append((Path.cwd(), *files))

    monkeypatch.chdir(below)
    monkeypatch.setattr("aelab.cli.app.commands.load", lambda *_: Served())
    monkeypatch.setattr("aelab.cli.app.commands.can", lambda *_: None)
    monkeypatch.setattr("aelab.cli.app.commands.read", lambda files, served: files)
    monkeypatch.setattr("aelab.cli.app.commands.write", lambda out, images, served: found.append(out))
    done = CliRunner().invoke(app.app, ["denoise", "a.png", "/b.png"])
    assert (done.exit_code, done.output) == (0, "")
    assert found == [(project, below / "a.png", Path("/b.png")), below / "clean.png"]
