"""A stage that was cut short and typed again is one run in MLflow, each number there once; a damaged store is named."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE, wait_for

AELAB = str(Path(sys.executable).with_name("aelab"))
ITEMS = ("killed", "interrupted", "power", "memory")
STAGE = """
import contextlib, os, signal, sys, time
from pathlib import Path
import psutil
from aelab.tracking import Recorder

item, again = sys.argv[1], Path(f"{sys.argv[1]}.again").exists()
with Recorder(experiment="digits", stage="train", item=item) as recorder:
    for step in range(4):
        if step == 2 and not again:
            Path(f"{item}.again").touch()
            if item == "memory":
                raise ChildProcessError("replicate 1: its process ended with status -9")
            if item == "power":  # the process that writes to the store dies too
                for process in psutil.process_iter():
                    with contextlib.suppress(psutil.Error):  # it has just ended, or is not ours
                        if "aelab.tracking.writer" in process.cmdline() and process.cwd() == os.getcwd():
                            process.kill()
            os.kill(os.getpid(), signal.SIGINT if item == "interrupted" else signal.SIGKILL)
            time.sleep(60)
        for replicate in range(2):
            recorder.metrics({"loss": step + replicate}, step=step, replicate=replicate)
Path(f"{item}.out").write_text("trained")
"""


def aelab(folder: Path, env: dict[str, str], *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([AELAB, *words], cwd=folder, env=env, capture_output=True, text=True, timeout=PATIENCE)


@pytest.fixture(scope="module")
def project(tmp_path_factory, clean):
    """Four stages, each cut short in its own way, all typed again."""
    folder = tmp_path_factory.mktemp("project")
    (folder / ".dvc").mkdir()
    (folder / ".dvc/config").write_text("[core]\nno_scm = true\nanalytics = false\n")
    (folder / "train.py").write_text(STAGE)
    stage = {"cmd": f"{sys.executable} train.py ${{item}}", "deps": ["train.py"], "outs": ["${item}.out"]}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": {"train": {"foreach": list(ITEMS), "do": stage}}}))
    first = aelab(folder, clean, "repro", "-j", "1")
    assert "4 failed" in first.stderr, first.stderr
    again = aelab(folder, clean, "repro", "-j", "1")
    assert "4 ran" in again.stderr, again.stderr
    aelab(folder, clean, "sync")
    wait_for(lambda: not list(folder.glob(".aelab/*/*.jsonl")))  # the store has all
    return folder


@pytest.mark.parametrize("item", ITEMS)
def test_a_stage_that_was_cut_short_goes_on_in_the_same_run(project, item):
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    found = client.search_runs(["1"], max_results=500)
    for name, shift in ((f"train {item}", 0.5), (f"train {item} #0", 0), (f"train {item} #1", 1)):
        [run] = [each for each in found if each.info.run_name == name]
        assert run.info.status == "FINISHED"
        assert "error" not in run.data.tags
        history = client.get_metric_history(run.info.run_id, "loss")
        assert sorted((each.step, each.value) for each in history) == [(step, step + shift) for step in range(4)]


TORN = """
import os
from aelab.tracking import Recorder

real, left = os.write, [0]

def full(file, data):
    if b'"torn"' in data:
        left[0] += 1
        if left[0] == 2:
            raise OSError(28, "No space left on device")
        return real(file, data[:20])
    return real(file, data)

os.write = full
with Recorder(experiment="digits", stage="train", item="full") as recorder:
    for step, name in enumerate(("before", "torn", "after")):
        recorder.metrics({name: 1.0}, step=step)
"""


def test_what_a_full_disk_did_not_take_goes_before_the_next_line(project, clean):
    done = subprocess.run(
        [sys.executable, "-c", TORN], cwd=project, env=clean, capture_output=True, text=True, timeout=PATIENCE
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.startswith("tracking: [Errno 28] No space left on device; training goes on")
    wait_for(lambda: not any((project / ".aelab").glob("*/*.jsonl")))
    from mlflow import MlflowClient

    found = MlflowClient(f"sqlite:///{project}/mlflow.db").search_runs(["1"], max_results=500)
    [run] = [each for each in found if each.info.run_name == "train full"]
    assert (run.info.status, run.data.metrics) == ("FINISHED", {"before": 1.0, "torn": 1.0, "after": 1.0})


def garbage(store: bytes) -> bytes:
    """From the second page on: the head still looks like a database."""
    return store[:4096] + b"\xff" * (len(store) - 4096)


@pytest.mark.parametrize("harm", [lambda store: b"no database" * 1000, garbage], ids=["another file", "pages lost"])
def test_a_damaged_store_is_one_line_that_says_what_to_do(project, clean, harm):
    path = project / "mlflow.db"
    good = path.read_bytes()
    path.write_bytes(harm(good))
    done = aelab(project, clean, "sync")
    path.write_bytes(good)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"aelab sync: {path}: ")
    assert line.endswith("; delete it, and `aelab sync` fills a new one")
