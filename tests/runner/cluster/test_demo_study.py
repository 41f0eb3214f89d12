"""studies/demo on a cluster whose nodes die at random moments: the lock of a run on one machine, each MLflow run once.

Three of its stages and one dead node; with `--faults` all of it, again and again until twenty nodes have died.
"""

import os
import random
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path

import pytest
from cluster_nodes import AELAB, Nodes, commit, git, nodes, ray, remote, run
from conftest import ROOT
from test_tracking_server import drained

pytestmark = pytest.mark.slow

FEW, DEATHS, EVERY = ["evaluate@ae"], 20, (5, 45)  # targets; deaths with --faults; seconds between them
STUDY = Path("studies/demo")


@pytest.fixture
def copy(tmp_path):
    """This project in a repository of its own, in which nothing has run."""
    folder = tmp_path / "lab"
    listed = subprocess.run(
        ["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    git(folder, "init", "-q")
    commit(folder)
    return folder


def clear(folder: Path) -> None:
    """As if nothing had run."""
    git(folder, "clean", "-fdxq", "-e", "/.dvc/config.local", "-e", f"/{STUDY}/.dvc/config.local")
    for part in (".dvc/cache", f"{STUDY}/.dvc/cache", f"{STUDY}/.dvc/tmp", f"{STUDY}/dvc.lock"):
        shutil.rmtree(folder / part, ignore_errors=True) if (folder / part).is_dir() else (folder / part).unlink(True)


def begin(folder: Path, *words: str, tracking: str) -> subprocess.Popen[str]:
    environment = os.environ | {"AELAB_TRACKING": tracking}
    pipe = subprocess.PIPE
    return subprocess.Popen([*AELAB, str(STUDY), *words], cwd=folder, env=environment, stderr=pipe, text=True)


def test_the_lock_is_the_same_while_nodes_die(nodes, copy, request, tmp_path):
    whole = request.config.getoption("--faults")
    targets, deaths, chance = ([] if whole else FEW), (DEATHS if whole else 1), random.Random(0)
    done = run(AELAB, copy, str(STUDY), *targets, "-j", "4", AELAB_TRACKING="off")
    assert done.returncode == 0, done.stderr
    expected = (copy / STUDY / "dvc.lock").read_bytes()
    remote(copy / STUDY, str(tmp_path / "remote"))
    for _ in range(4):
        nodes.add(cpus=1)
    died = 0
    while died < deaths:
        clear(copy)
        shutil.rmtree(tmp_path / "remote", ignore_errors=True)
        one = begin(copy, *targets, "--on", nodes.address, tracking="on")
        later = time.monotonic() + 20
        while one.poll() is None:
            if died < deaths and time.monotonic() > later:
                nodes.remove(chance.choice(nodes.nodes))
                nodes.add(cpus=1)
                died, later = died + 1, time.monotonic() + chance.uniform(*EVERY)
            time.sleep(0.2)
        assert one.stderr
        said = one.stderr.read()
        print(f"{died} of {deaths} nodes have died: {said.splitlines()[-1]}")
        assert one.returncode == 0, said
        assert (copy / STUDY / "dvc.lock").read_bytes() == expected
        tracked_once(copy)


def tracked_once(folder: Path) -> None:
    """Every stage of the lock that tracks itself has one run of its own, and none is left running."""
    from mlflow import MlflowClient

    drained([folder], f"sqlite:///{folder / 'mlflow.db'}")
    client = MlflowClient(f"sqlite:///{folder / 'mlflow.db'}")
    runs = [run for each in client.search_experiments() for run in client.search_runs([each.experiment_id])]
    assert {run.info.status for run in runs} == {"FINISHED"}
    items = [run.data.tags for run in runs if "replicate" not in run.data.tags]
    stages = Counter(tags["dvc_stage"] for tags in items if "dvc_stage" in tags)
    lock = (folder / STUDY / "dvc.lock").read_text()
    made = {line.strip(" :") for line in lock.splitlines() if line.startswith("  ") and line[2] != " "}
    assert set(stages) == made
    assert set(stages.values()) == {1}
