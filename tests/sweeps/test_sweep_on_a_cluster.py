"""`aelab sweep --on`: trials are those of a sweep on one machine, are pruned, and are tracked, each once."""

from importlib.util import find_spec

import optuna
import psutil
import pytest
from conftest import wait_for
from test_sweep import SWEEP, Project, project

from aelab.cli import cluster
from aelab.sweeps import run, study

missing = find_spec("ray") is None  # found, not imported: what it reads from the environment is not set yet
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(missing, reason="Ray is not installed: `make test-cluster` installs it"),
]


def test_trials_on_a_cluster_have_the_same_values(project, tmp_path):
    here = Project(tmp_path / "here")
    for each in (here, project):
        each.set(SWEEP | {"pruner": None, "trials": 4})
    here.run(AELAB_TRACKING="off")
    project.run("--on", "ray")
    assert [trial.params for trial in project.trials] == [trial.params for trial in here.trials]
    assert [trial.values for trial in project.trials] == [trial.values for trial in here.trials]
    runs = project.runs()
    assert {each.info.status for each in runs} == {"FINISHED"}
    stages = [each for each in runs if each.info.run_name == "train vae"]
    assert len({each.data.tags["mlflow.parentRunId"] for each in stages}) == 4


def test_a_trial_on_a_cluster_is_pruned_and_its_stage_ends(project, monkeypatch):
    script = project.folder / "train.py"
    script.write_text(script.read_text().replace("time.sleep(nap)", "time.sleep(3600 if epoch == 2 else 0)"))
    monkeypatch.chdir(project.folder)
    for key in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("AELAB_TRACKING", "off")
    monkeypatch.setitem(study.PRUNERS, "median", lambda: optuna.pruners.ThresholdPruner(upper=-1.0))
    said = []
    with cluster.shared("ray", 2) as address:
        run.sweep("tiny", 1, 1, said.append, address)
        [trial] = project.trials
        assert trial.state.name == "PRUNED"
        assert 1 in trial.intermediate_values
        wait_for(lambda: not [each for each in psutil.process_iter() if "train.py" in " ".join(words(each))])


def words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
