"""`aelab sweep` on a small DVC project with a quick stage in place of a training: real DVC, Optuna and MLflow."""

import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from conftest import PATIENCE, alive, wait_for
from ruamel.yaml import YAML

from aelab.config import params
from aelab.sweeps import edits, run, study
from aelab.sweeps.settings import Range

ROOT = Path(__file__).parents[2]
STAGE = """
import json, math, os, sys, time
from pathlib import Path
from ruamel.yaml import YAML
from aelab.runner import stage
from aelab.tracking import Recorder
stage.die_with_parent()
model = YAML(typ="safe").load(Path("params.yaml"))["models"]["vae"]
log = Path(os.environ["DVC_ROOT"], "ran.log")
before = len(log.read_text().splitlines()) if log.exists() else 0
with open(log, "a") as file:
    file.write(f"{os.getpid()} {model['latent_dim']}\\n")
naps = os.environ.get("NAP", "0.05").split()  # of the first trial, the second ...
nap = float(naps[min(before, len(naps) - 1)])
history, loss = [], abs(math.log(model["latent_dim"] / 20))
out = Path("data/train/vae")
out.mkdir(parents=True, exist_ok=True)
with Recorder("mnist5k", "train", "vae", keep=out / "tracked.jsonl") as recorder:
    for epoch in range(1, 4):
        total = 10 * loss + model.get("lr", 0) + 1 / epoch
        recorder.metrics({"validation/total": total}, step=epoch, replicate=0)
        history.append({"step": epoch, "validation": {"total": total, "kl": loss}, "best": True})
        time.sleep(nap)
    if model["latent_dim"] == 13:
        sys.exit("thirteen is no number")
(out / "history.json").write_text(json.dumps([history]))
"""
SWEEP = {
    "target": "train@vae",
    "objectives": {"validation/total": "minimize"},
    "trials": 9,
    "seed": 3,
    "pruner": "median",
    "space": {
        "models.vae.latent_dim": {"int": [2, 200], "log": True},
        "models.vae.lr": {"float": [1e-4, 1e-2], "log": True},
        "models.vae.hidden": {"choice": [[400], [200, 100]]},
    },
    "fixed": {"train.num_seeds": 1},
}


class Project:
    """A folder with the lab's params.yaml, one sweep and one stage."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / ".dvc").mkdir()
        (folder / ".dvc" / "config").write_text("[core]\nanalytics = false\n")
        (folder / ".gitignore").write_text(
            "/data\n/logs\n/.aelab\n/mlflow.db*\n/mlartifacts\n/ran.log\n/.dvc/cache\n/.dvc/tmp\n"
        )
        (folder / "train.py").write_text(STAGE)
        one = {"cmd": f"{sys.executable} train.py", "params": ["train", "models.vae"], "deps": ["train.py"]}
        stages = {"train": {"foreach": ["vae", "other"], "do": one | {"outs": ["data/train/${item}"]}}}
        (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
        self.set(SWEEP)
        drop = ("MLFLOW_", "DVC_", "AELAB_")
        self.env = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
        self.env["PYTHONPATH"] = str(ROOT / "src")
        subprocess.run(["git", "init", "-q"], cwd=folder, check=True)

    def set(self, sweep: object, name: str = "tiny") -> None:
        """params.yaml with this sweep as its only one."""
        text = (ROOT / "params.yaml").read_text()
        text = text[: text.index("\nsweeps:")] + f"\nsweeps:\n  {name}: {json.dumps(sweep)}  # ours\n"
        (self.folder / "params.yaml").write_text(text)

    def start(self, *options: str, **environment: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "aelab.cli", "sweep", "tiny", *options]
        pipe, env = subprocess.PIPE, self.env | environment
        return subprocess.Popen(command, cwd=self.folder, env=env, stdout=pipe, stderr=pipe, text=True)

    def run(self, *options: str, **environment: str) -> tuple[str, str]:
        """A call that is to succeed; what it printed."""
        process = self.start(*options, **environment)
        out, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, err
        return out, err

    def fail(self, *options: str) -> str:
        """The one line of a call that is to fail."""
        process = self.start(*options, AELAB_TRACKING="off")
        out, err = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out, len(err.splitlines())) == (1, "", 1), err
        return err.strip()

    @property
    def trials(self) -> list[optuna.trial.FrozenTrial]:
        storage = study.storage(self.folder / ".aelab/sweeps/tiny/journal")
        return optuna.load_study(study_name="tiny", storage=storage).trials

    def ran(self) -> list[list[str]]:
        """pid and latent of every stage that began."""
        log = self.folder / "ran.log"
        return [line.split() for line in log.read_text().splitlines()] if log.exists() else []

    def runs(self) -> list:
        """All runs of the store, when everything has arrived there."""
        from mlflow import MlflowClient

        wait_for(lambda: not list(self.folder.glob(".aelab/tracking-*/*.jsonl")))
        client = MlflowClient(f"sqlite:///{self.folder}/mlflow.db")
        return client.search_runs([each.experiment_id for each in client.search_experiments()], max_results=1000)


@pytest.fixture
def project(tmp_path) -> Project:
    return Project(tmp_path / "project")


@pytest.fixture(scope="module")
def swept(tmp_path_factory) -> Project:
    """Nine trials, killed in the middle of one and gone on with, four at a time."""
    made = Project(tmp_path_factory.mktemp("sweep") / "project")
    first = made.start(NAP="0.05 0.05 3600")
    wait_for(lambda: first.poll() is not None or len(made.ran()) == 3)
    time.sleep(random.Random(7).random())
    first.kill()
    first.communicate()
    made.cut = [trial for trial in made.trials if not trial.state.is_finished()]
    made.before = (made.folder / "params.yaml").read_bytes()
    made.run("-j", "4")
    return made


def test_after_a_kill_all_trials_are_told_none_lost_none_twice(swept):
    assert len(swept.cut) == 1
    assert [trial.number for trial in swept.trials] == list(range(9))
    assert {trial.state.name for trial in swept.trials} == {"COMPLETE", "PRUNED"}
    taken_up = swept.trials[swept.cut[0].number]
    assert (taken_up.params, taken_up.state.is_finished()) == (swept.cut[0].params, True)
    wait_for(lambda: not any(alive(int(pid)) for pid, _ in swept.ran()))


def test_a_trial_s_number_is_that_of_its_parameters(swept):
    for trial in swept.trials:
        assert set(trial.params) == set(SWEEP["space"])
        if trial.state.name == "COMPLETE":
            far = abs(math.log(trial.params["models.vae.latent_dim"] / 20))
            assert trial.value == pytest.approx(10 * far + trial.params["models.vae.lr"] + 1 / 3)
            assert sorted(trial.intermediate_values) == [1, 2, 3]


def test_the_working_folder_is_as_it_was(swept):
    assert (swept.folder / "params.yaml").read_bytes() == swept.before
    assert not (swept.folder / "data").exists()
    assert not (swept.folder / "dvc.lock").exists()
    assert {path.name for path in (swept.folder / ".aelab/sweeps/tiny").iterdir()} == {"journal", "lock"}


def test_trials_share_the_project_s_cache(swept):
    assert {path.name for path in (swept.folder / ".dvc/cache").iterdir()} == {"files", "runs"}
    assert all(len(path.name) == 2 for path in (swept.folder / ".dvc/cache/files/md5").iterdir())


def test_mlflow_shows_the_sweep_its_trials_and_their_trainings_each_once(swept):
    runs = swept.runs()
    assert "RUNNING" not in {each.info.status for each in runs}
    [parent] = [each for each in runs if each.info.run_name == "sweep tiny"]
    assert parent.info.status == "FINISHED"
    trials = {int(each.data.tags["trial"]): each for each in runs if "trial" in each.data.tags}
    assert len([each for each in runs if "trial" in each.data.tags]) == len(trials) == 9
    states = {"COMPLETE": "FINISHED", "PRUNED": "KILLED"}
    for trial in swept.trials:
        shown = trials[trial.number]
        assert shown.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert shown.info.status == states[trial.state.name]
        assert shown.data.params["models.vae.latent_dim"] == str(trial.params["models.vae.latent_dim"])
        if trial.state.name == "COMPLETE":
            assert shown.data.metrics["validation/total"] == trial.value
    above = [each.data.tags["mlflow.parentRunId"] for each in runs if each.info.run_name == "train vae"]
    assert len(above) == len(set(above))  # a trial that was cut short goes on with its run
    assert set(above) <= {each.info.run_id for each in trials.values()}


def test_a_sweep_that_is_over_does_nothing_more_and_shows_itself(swept):
    before, count = swept.trials, len(swept.ran())
    out, _ = swept.run("-j", "2")
    assert (swept.trials, len(swept.ran())) == (before, count)
    best = min((trial for trial in before if trial.state.name == "COMPLETE"), key=lambda trial: trial.value)
    [marked] = [line for line in out.splitlines() if line.startswith("*")]
    assert marked.split()[:3] == ["*", str(best.number), "complete"]
    pictures = [line for line in out.splitlines() if line.endswith(".png")]
    assert {Path(each).stem for each in pictures} == {"history", "parameters", "importance"}
    assert all((swept.folder / each).read_bytes().startswith(b"\x89PNG") for each in pictures)


def test_a_lost_store_gets_the_sweep_and_its_trainings_back(swept, tmp_path):
    store = tmp_path / "other.db"
    env = swept.env | {"MLFLOW_TRACKING_URI": f"sqlite:///{store}"}
    complete = {trial.number for trial in swept.trials if trial.state.name == "COMPLETE"}

    def sync() -> tuple[int, int]:
        """How many runs it says were made again, how many not."""
        command = [sys.executable, "-m", "aelab.cli", "sync"]
        done = subprocess.run(command, cwd=swept.folder, env=env, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
        first, *rest = done.stdout.splitlines()
        assert all("results not made again, as DVC's cache lacks them" in line for line in rest)
        return int(first.split()[0]), sum(int(line.split()[0]) for line in rest)

    made, lost = sync()
    assert sync() == (0, lost)
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{store}")
    [experiment] = [each.experiment_id for each in client.search_experiments() if each.name == "mnist5k"]
    found = client.search_runs([experiment])
    trials = [each for each in found if "trial" in each.data.tags]
    trained = [each for each in found if each.info.run_name == "train vae"]
    [earlier] = [each for each in found if each.info.run_name == "earlier results"]
    assert {each.data.tags["mlflow.parentRunId"] for each in trained} == {earlier.info.run_id}
    # a trial that was pruned in its training's last moment may have a result or not
    assert len(complete) <= len(trained) == made
    assert len(found) == 2 + 9 + 2 * made
    assert [each.info.status for each in trials].count("KILLED") == 9 - len(complete)


def test_apply_changes_the_named_keys_and_nothing_else(swept, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(swept.folder, copy, symlinks=True)
    other = object.__new__(Project)
    other.folder, other.env = copy, swept.env
    other.run("--apply")
    best = min((trial for trial in swept.trials if trial.state.name == "COMPLETE"), key=lambda trial: trial.value)
    before, after = swept.before.decode().splitlines(), (copy / "params.yaml").read_text().splitlines()
    [(old, new)] = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert old.startswith("  vae: {family: vae")
    model = YAML(typ="safe").load(new)["vae"]
    assert model["latent_dim"] == best.params["models.vae.latent_dim"]
    assert model["lr"] == best.params["models.vae.lr"]
    assert model["hidden"] == json.loads(best.params["models.vae.hidden"])


def test_a_failed_trial_says_why_and_the_sweep_goes_on(project):
    project.set(SWEEP | {"trials": 3, "space": {"models.vae.latent_dim": {"choice": [13, 14]}}, "pruner": None})
    _, err = project.run(AELAB_TRACKING="off")
    by_latent = {trial.params["models.vae.latent_dim"]: trial for trial in project.trials}
    assert len(project.trials) == 3
    assert by_latent[13].state.name == "FAIL"
    assert "thirteen is no number" in by_latent[13].user_attrs["error"]
    assert "thirteen is no number" in err
    assert {trial.state.name for trial in project.trials if trial.params["models.vae.latent_dim"] == 14} <= {"COMPLETE"}
    assert [latent for _, latent in project.ran()].count("14") <= 1  # equal trials come from DVC's cache


def test_a_pruned_trial_s_stage_ends(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    for key in ("DVC_ROOT", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(key, raising=False)
    monkeypatch.setenv("AELAB_TRACKING", "on")
    monkeypatch.setenv("NAP", "3600")
    monkeypatch.setitem(study.PRUNERS, "median", lambda: optuna.pruners.ThresholdPruner(upper=-1.0))
    said = []
    run.sweep("tiny", 1, 1, said.append)
    [trial] = project.trials
    assert (trial.state.name, sorted(trial.intermediate_values)) == ("PRUNED", [1])
    [[pid, _]] = project.ran()
    wait_for(lambda: not alive(int(pid)))
    assert "pruned after 1 evaluation " in said[-1]
    states = {each.info.run_name.split(":")[0]: each.info.status for each in project.runs()}
    assert states == {"sweep tiny": "FINISHED", "trial 0": "KILLED", "train vae": "KILLED", "train vae #0": "KILLED"}


def test_ctrl_c_leaves_a_trial_to_be_taken_up(project):
    mine = project.start("--trials", "1", NAP="3600")
    echo = project.folder / ".aelab/sweeps/tiny/0/.echo/train@vae.jsonl"
    wait_for(lambda: mine.poll() is not None or (echo.exists() and echo.read_text()))
    mine.send_signal(signal.SIGINT)
    _, err = mine.communicate(timeout=PATIENCE)
    assert (mine.returncode, "Traceback" in err) == (130, False), err
    wait_for(lambda: not alive(int(project.ran()[0][0])))
    assert {each.info.status for each in project.runs()} == {"KILLED"}
    project.run("--trials", "1")
    assert [trial.state.name for trial in project.trials] == ["COMPLETE"]
    assert {each.info.status for each in project.runs()} == {"FINISHED"}
    assert len({each.info.run_name for each in project.runs()}) == len(project.runs())


def test_two_objectives_have_a_front(project):
    objectives = {"validation/total": "minimize", "validation/kl": "maximize"}
    project.set(SWEEP | {"objectives": objectives, "pruner": None})
    out, _ = project.run("--trials", "3", "-j", "2", AELAB_TRACKING="off")
    assert "metrics/sweeps/tiny/front.png" in out
    line = project.fail("--apply")
    assert line.startswith("aelab sweep: sweep tiny has two objectives: choose one of its front with --trial")
    number = line.split(": ")[-1].split(", ")[0]
    out, _ = project.run("--apply", "--trial", number)
    latent = project.trials[int(number)].params["models.vae.latent_dim"]
    assert f"models.vae.latent_dim: {latent}\n" in out


BAD = [
    ({"trails": 3}, "sweeps.tiny.trails: unknown key (did you mean trials?)"),
    ({"trials": "3"}, "sweeps.tiny.trials: '3' is wrong"),
    ({"trials": 0}, "trials: 0 is out of range"),
    ({"seed": -1}, "seed: -1 is out of range"),
    ({"objectives": {}}, "objectives: there are 0; allowed: one or two"),
    ({"objectives": {"test/total": "minimize"}}, "objectives.test/total: unknown number"),
    ({"objectives": {"validation/total": "least"}}, "objectives.validation/total: 'least' is wrong"),
    ({"objectives": {"validation/total": "minimize", "parameters": "minimize"}}, "judges by one objective"),
    ({"pruner": "mean"}, "sweeps.tiny.pruner: 'mean' is wrong"),
    ({"space": {}}, "space: is empty"),
    (
        {"space": {"models.vae.latent_dim": {"int": [5, 5]}}},
        "space.models.vae.latent_dim: from 5 to 5 there is nothing",
    ),
    ({"space": {"models.vae.latent_dim": {"int": [1.5, 5]}}}, "space.models.vae.latent_dim: (1.5, 5) is wrong"),
    ({"space": {"models.vae.lr": {"float": [0, 1], "log": True}}}, "0 has no logarithm"),
    ({"space": {"models.vae.lr": {"choice": [1]}}}, "two or more values"),
    ({"space": {"models.vae.lr": [1, 2]}}, "sweeps.tiny.space"),
    ({"space": {"models.vae.lr": {"float": [0, 1], "step": 2}}}, "is wrong; allowed: {int: [low, high]}"),
    ({"fixed": {"models.vae.lr": 1}}, "fixed.models.vae.lr: stands in `space` too"),
    ({"space": {"models.vea.latent_dim": {"int": [2, 5]}}}, "models.vea.latent_dim: leads nowhere"),
    ({"space": {"models.vae.latnt": {"int": [2, 5]}}}, "models.vae.latnt: unknown key (did you mean latent_dim?)"),
    ({"space": {"models.vae.lr": {"choice": ["much", "more"]}}}, "lr: 'much' is wrong"),
    ({"space": {"train.batch": {"int": [-4, 5]}}}, "train.batch: "),
    ([1, 2], "is not a block of keys"),
]


@pytest.mark.parametrize(("wrong", "words"), BAD, ids=[words for _, words in BAD])
def test_a_wrong_section_is_one_line(project, monkeypatch, wrong, words):
    monkeypatch.chdir(project.folder)
    project.set(SWEEP | wrong if isinstance(wrong, dict) else wrong)
    with pytest.raises(params.ParamsError) as found:
        run.sweep("tiny", None, 1, print)
    line = str(found.value)
    assert line.startswith("params.yaml: ")
    assert words in line
    assert "\n" not in line
    assert not (project.folder / ".aelab").exists()


def test_wrong_use_is_one_line(project):
    assert "has no trial yet" in project.fail("--show")
    assert "has no complete trial" in project.fail("--apply")
    project.set(SWEEP | {"target": "train"})
    assert "target: 'train' is 2 stages; allowed: one, such as train@vae" in project.fail()
    project.set(SWEEP, "other")
    assert project.fail() == "aelab sweep: params.yaml: sweeps.tiny: unknown entry; allowed: other"


def test_a_sweep_whose_entry_changed_does_not_go_on(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    begun = study.home("tiny")
    begun.mkdir(parents=True)
    sweep = params.load("sweeps.tiny")
    study.begin("tiny", sweep, "mnist5k")
    with pytest.raises(params.ParamsError, match="changed since its first trial"):
        study.begin("tiny", sweep, "mnist")
    project.set(SWEEP | {"trials": 7, "pruner": None})
    study.begin("tiny", params.load("sweeps.tiny"), "mnist5k")  # these may


def test_what_a_kill_left_of_a_line_is_no_obstacle(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    study.home("tiny").mkdir(parents=True)
    sweep = params.load("sweeps.tiny")
    asked = study.ask(study.begin("tiny", sweep, "mnist5k"), sweep)
    with open(study.home("tiny") / "journal", "a") as journal:
        journal.write('{"op_code":')
    [again] = study.take_up(study.begin("tiny", sweep, "mnist5k"), sweep)
    assert (again.number, again.params) == (asked.number, asked.params)


def test_a_sweep_that_was_cut_asks_what_it_would_have_asked(project, monkeypatch):
    monkeypatch.chdir(project.folder)
    sweep, asked = params.load("sweeps.tiny"), {}
    for name, cuts in (("whole", ()), ("cut", (3, 12))):
        study.home(name).mkdir(parents=True)
        found = study.begin(name, sweep, "mnist5k")
        for number in range(15):
            found = study.begin(name, sweep, "mnist5k") if number in cuts else found
            trial = study.ask(found, sweep)
            found.tell(trial, trial.params["models.vae.latent_dim"])
        asked[name] = [trial.params for trial in found.trials]
    assert asked["whole"] == asked["cut"]
    assert len({json.dumps(each) for each in asked["cut"]}) == 15


def test_edits_keep_every_other_byte():
    text = (ROOT / "params.yaml").read_text()
    assert edits.changed(text, {}) == text
    new = edits.changed(text, {"train.lr": 0.5, "models.vae.hidden": (3, 4), "prepare.limit": None})
    lines = [pair for pair in zip(text.splitlines(), new.splitlines(), strict=True) if pair[0] != pair[1]]
    assert [re.sub(" +", " ", after).strip() for _, after in lines] == [
        "lr: 0.5",
        "vae: {family: vae, hidden: [3, 4], latent_dim: 20, lr: 6e-3, max_steps: 2500, num_seeds: 5}",
    ]


def test_choices_come_back_as_they_were_written():
    ranges = {"a": Range.parse("a", {"choice": ((1, 2), (3,))}), "b": Range.parse("b", {"choice": (None, "x", 2)})}
    assert study.values({"a": "[1, 2]", "b": None}, ranges) == {"a": (1, 2), "b": None}


@pytest.mark.parametrize("name", params.load("sweeps"))
def test_the_sweeps_that_are_there_fit_the_rest(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    run.check(params.load(f"sweeps.{name}"))
