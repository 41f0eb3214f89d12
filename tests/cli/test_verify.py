"""`aelab verify` on a small DVC project with quick stages in place of trainings: real git and DVC."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from conftest import PATIENCE
from filelock import FileLock
from typer.testing import CliRunner

from aelab.cli import app
from aelab.cli.headlines import Number, some

STAGES = """
import json, os, sys
from pathlib import Path
assert os.environ["AELAB_TRACKING"] == "off"
stage, item = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else ""
out = Path("data", stage, item)
out.mkdir(parents=True)
if stage == "prepare":
    (out / "images").write_text(os.environ.get("IMAGES", "1 2 3"))
elif stage == "baselines":
    about = {"device": os.environ.get("DEVICE", "cpu"), "psnr": 10.5 + float(os.environ.get("SHIFT", 0))}
    (out / "baselines.json").write_text(json.dumps(about))
elif stage == "train":
    if os.environ.get("BROKEN") == item:
        sys.exit("a cable is loose")
    loss = 104.29 + len(Path("data/prepare/images").read_text()) - 5 + float(os.environ.get("SHIFT", 0))
    for replicate in range(2):
        (out / f"weights-{replicate}.safetensors").write_text(f"{item} {replicate} {loss}")
    (out / "loss").write_text(str(loss))
else:
    loss = float(Path("data/train", item, "loss").read_text())
    rows = [{"phase": "all", "step": 1, "best": True, "monitored": "total"}]
    rows[0] |= {side: {"total": loss} for side in ("train", "validation")}
    about = {"kind": "autoencoder", "family": "dense", "num_seeds": 2, "device": os.environ.get("DEVICE", "cpu")}
    about |= {"metrics": {"parameters": [1234567, 1234567], "sse": [loss / 10, loss / 10 + 1]}, "history": [rows, rows]}
    (out / "metrics.json").write_text(json.dumps(about))
"""


ROW = {"name": "ae", "device": "cpu", "parameters": 1234567, "sse": 10.929, "sse_std": 0.707107}


class Project:
    """Two models, made by `dvc repro`, committed with their tables."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / ".dvc").mkdir(parents=True)
        (folder / ".dvc" / "config").write_text("[core]\nanalytics = false\ncheck_update = false\n")
        (folder / ".gitignore").write_text("/data\n/logs\n/.aelab\n/.dvc/cache\n/.dvc/tmp\n")
        (folder / "stages.py").write_text(STAGES)
        (folder / "how.txt").write_text("exactly\n")
        (folder / "requirements.lock").write_text(f"torch=={version('torch').partition('+')[0]} \\\n")

        def stage(name: str, item: str, *deps: str) -> dict:
            command = f"{sys.executable} stages.py {name} {item}".strip()
            return {"cmd": command, "deps": ["stages.py", *deps], "outs": [f"data/{name}/{item}".rstrip("/")]}

        items = {"train": stage("train", "${item}", "data/prepare")}
        items["evaluate"] = stage("evaluate", "${item}", "data/baselines", "data/train/${item}")
        stages = {name: {"foreach": ["ae", "vae"], "do": each} for name, each in items.items()}
        stages |= {"prepare": stage("prepare", ""), "baselines": stage("baselines", "", "how.txt", "data/prepare")}
        (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
        self.run("git", "init", "-q")
        self.run("dvc", "repro", "-q")
        self.table([ROW | {"name": name} for name in ("ae", "vae")])
        self.commit()

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "all")

    def run(self, *command: str) -> None:
        environment = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        subprocess.run(command, cwd=self.folder, env=environment, check=True, capture_output=True, timeout=PATIENCE)

    def table(self, rows: list[dict]) -> None:
        path = self.folder / "metrics/comparison.csv"
        path.parent.mkdir(exist_ok=True)
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, rows[0])
            writer.writeheader()
            writer.writerows(rows)

    def files(self) -> dict[str, str]:
        """What is the user's, DVC's cache included."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        kept = [path for path in paths if path.relative_to(self.folder).parts[0] not in (".aelab", "logs")]
        return {str(path): hashlib.md5(path.read_bytes()).hexdigest() for path in kept if "tmp" not in path.parts}


@pytest.fixture(scope="module")
def made(tmp_path_factory) -> Path:
    return Project(tmp_path_factory.mktemp("verify") / "project").folder


@pytest.fixture
def project(made, tmp_path, monkeypatch) -> Project:
    """A copy in which commands run."""
    copy = object.__new__(Project)
    copy.folder = tmp_path / "project"
    shutil.copytree(made, copy.folder, symlinks=True)
    for name in ("DVC_ROOT", "SHIFT", "DEVICE", "BROKEN", "IMAGES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(copy.folder)
    return copy


def verify(*models: str) -> tuple[int, list[str], str]:
    """Exit code, verdicts, progress."""
    done = CliRunner().invoke(app.app, ["verify", *models, "-j", "2"])
    return done.exit_code, done.stdout.splitlines(), done.stderr


def test_what_is_made_again_is_identical_and_nothing_of_the_users_changes(project):
    (project.folder / "data/prepare/images").chmod(0o644)
    (project.folder / "how.txt").write_text("not committed\n")
    before = project.files()
    code, lines, progress = verify()
    assert (code, lines) == (0, ["ae: identical, 2 results", "vae: identical, 2 results"]), progress
    assert project.files() == before
    assert not (project.folder / ".aelab/verify").exists()
    ran = {line.split()[3].rstrip(",") for line in progress.splitlines() if " ran " in line}
    assert ran == {f"{stage}@{name}" for stage in ("train", "evaluate") for name in ("ae", "vae")}


def test_one_model_alone_runs_alone(project):
    code, lines, progress = verify("vae")
    assert (code, lines) == (0, ["vae: identical, 2 results"])
    assert "@ae" not in progress


def test_a_tampered_weight_that_dvc_lock_vouches_for_is_found(project):
    path = project.folder / "data/train/ae/weights-1.safetensors"
    path.chmod(0o644)
    path.write_text("better")
    project.run("dvc", "commit", "-fq", "train@ae", "evaluate@ae")
    project.commit()
    assert verify("ae")[:2] == (
        1,
        ["ae: DIFFERS: other bytes in data/train/ae, where every byte should be the same"],
    )
    assert (project.folder / ".aelab/verify/data/train/ae").is_dir(), "what was made, to look at"


def test_on_another_machine_numbers_within_the_tolerance_are_right(project, monkeypatch):
    monkeypatch.setenv("SHIFT", "0.02")
    code, [line], _ = verify("vae")
    same = "where every byte should be the same; sse 10.931 against 10.929"
    assert (code, line) == (1, f"vae: DIFFERS: other bytes in data/train/vae, data/evaluate/vae, {same}")
    monkeypatch.setenv("DEVICE", "Another GPU")
    words = "sse 10.931 against 10.929 (made on cpu, here Another GPU)"
    assert verify("vae")[:2] == (0, [f"vae: differs within tolerance: {words}"])
    monkeypatch.setenv("SHIFT", "-25")
    words = "sse 8.429 against 10.929 (made on cpu, here Another GPU)"
    assert verify("vae")[:2] == (1, [f"vae: DIFFERS: {words}"])


def test_in_a_fresh_clone_upstream_runs_too_and_may_differ_on_another_machine_alone(project, monkeypatch):
    for name in (".dvc/cache", "data"):
        shutil.rmtree(project.folder / name)
    assert verify("vae")[:2] == (0, ["vae: identical, 2 results"])
    assert not (project.folder / "data").exists()
    shutil.rmtree(project.folder / ".dvc/cache")
    monkeypatch.setenv("SHIFT", "0.02")
    code, [measured, _], _ = verify("vae")
    words = "other bytes in data/baselines"
    assert (code, measured) == (1, f"baselines: DIFFERS: {words}, where every byte should be the same")
    monkeypatch.setenv("DEVICE", "CPU (AMD, AVX2)")
    shutil.rmtree(project.folder / ".dvc/cache")
    code, [measured, trained], _ = verify("vae")
    assert (code, measured) == (0, f"baselines: {words} (made on cpu, here CPU (AMD, AVX2))")
    assert trained.startswith("vae: differs within tolerance")


def test_another_version_of_a_library_is_another_machine(project, monkeypatch):
    monkeypatch.setenv("SHIFT", "0.02")
    (project.folder / "requirements.lock").write_text("torch==1.0.0 \\\n    --hash=sha256:0\nnumpyro==9\n")
    project.commit()
    code, [line], _ = verify("vae")
    assert code == 0
    assert line.endswith(f" (torch {version('torch').partition('+')[0]} here, 1.0.0 locked)")


def test_a_number_that_the_result_does_not_bear_out_is_found(project):
    project.table([ROW | {"sse": 9.929}])
    project.commit()
    words = "metrics/comparison.csv does not say what the result says: sse 10.929 against 9.929"
    assert verify("ae")[:2] == (1, [f"ae: DIFFERS: {words}"])


def test_what_changed_since_dvc_lock_is_named_and_does_not_run(project):
    (project.folder / "how.txt").write_text("about\n")
    project.commit()
    words = "FAILED: changed since dvc.lock: how.txt; `aelab repro` first"
    assert verify() == (1, [f"ae: {words}", f"vae: {words}"], "")


def test_a_failed_stage_says_why(project, monkeypatch):
    monkeypatch.setenv("BROKEN", "ae")
    code, lines, _ = verify()
    words = "train@ae: a cable is loose (all of it: .aelab/verify/logs/train@ae.log)"
    assert (code, lines) == (1, [f"ae: FAILED: {words}", "vae: identical, 2 results"])
    assert "a cable is loose" in (project.folder / ".aelab/verify/logs/train@ae.log").read_text()


def test_wrong_use_is_one_line(project):
    words = "vea: no such model (did you mean vae?); there are: ae, vae"
    assert verify("vea")[:2] == (1, [f"aelab verify: {words}"])
    with FileLock(project.folder / ".aelab/verify.lock"):
        assert verify("vae")[1][0].startswith("aelab verify: another `aelab verify` is at work here")
    shutil.rmtree(project.folder / ".git")
    config = project.folder / ".dvc/config"
    config.write_text(config.read_text() + "no_scm = true\n")
    assert "there is no git repository here" in verify("vae")[1][0]


def test_the_tolerance_is_a_share_or_the_spread_of_seeds():
    assert Number("sse", 100.0, 0.0, 104.9).distance < 1 < Number("sse", 100.0, 0.0, 105.1).distance
    assert Number("sse", 100.0, 4.0, 111.9).distance < 1 < Number("sse", 100.0, 4.0, 112.1).distance
    assert Number("errors", 0.0, 0.0, 0.0).distance == 0
    nan = Number("sse", 100.0, 0.0, float("nan"))
    assert not nan.distance <= 1
    assert some(list("01234")) == "0, 1, 2 and 2 more"
