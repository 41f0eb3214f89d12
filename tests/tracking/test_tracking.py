"""Tracking against real stores, real processes and a real DVC project. Each set-up is made once, side by side."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from conftest import PATIENCE, wait_for

from aelab import tracking
from aelab.tracking import events, facts

PROLOGUE = """
import os, signal, sys, time
import numpy as np
from aelab.tracking import Recorder
item = sys.argv[1]
"""
PLAIN = (
    PROLOGUE
    + """
with Recorder(experiment="digits", stage="train", item=item) as recorder:
    recorder.metrics({"score": 1.0})
"""
)
RICH = (
    PROLOGUE
    + """
params = {"seed": 1, "train": {"lr": 1e-3, "sizes": [8, 2], "note": "x" * 7000}, "odd (key)": None}
with Recorder(experiment="digits", stage="train", item=item, tags={"device": "cpu"}) as recorder:
    recorder.params(params)
    for replicate in range(3):
        for step in range(2):
            recorder.metrics({"loss": 10.0 * step + replicate, "broken": float("nan")}, step=step, replicate=replicate)
    recorder.metrics({"loss": 25.0}, step=2, replicate=0)
    recorder.metrics({"seconds": 7.0})
    recorder.metrics({f"many/{i}": i for i in range(1500)})
    recorder.image("panel", np.full((4, 5), 100, np.uint8), step=3, replicate=0)
    recorder.image("colour", np.zeros((300, 400, 3), np.uint8), step=3)
    recorder.dataset(name="digits", digest="0123", source="embedded", context="train")
    os.mkdir("pictures")
    open("pictures/a.txt", "w").write("a")
    recorder.artifact("pictures", folder="figures")
    recorder.tags({"epochs": 3})
"""
)
HANDED_OVER = (
    PROLOGUE
    + """
with Recorder(experiment="digits", stage="train", item=item) as recorder:
    for step in range(3000):  # more than a pipe holds
        recorder.metrics({"score": float(step)}, step=step, replicate=step % 2)
os._exit(0)  # nothing of the stage is left
"""
)
RAISES = (
    PROLOGUE
    + """
with Recorder(experiment="digits", stage="train", item=item) as recorder:
    recorder.metrics({"loss": 1.0}, replicate=0)
    raise ArithmeticError("loss is nan\\nat epoch 3")
"""
)
INTERRUPTED = (
    PROLOGUE
    + """
with Recorder(experiment="digits", stage="train", item=item) as recorder:
    os.kill(0, signal.SIGINT)  # what a terminal's Ctrl-C does: the whole process group
    time.sleep(60)
"""
)
LONG = (  # the run is in the store before the folder of the experiment is gone
    PLAIN
    + """
import pathlib, sqlite3
question = "select count(*) from tags where key = 'dvc_experiment' and value = ?"
def there():
    try:
        with sqlite3.connect(f"file:{os.environ['DVC_ROOT']}/mlflow.db?mode=ro", uri=True) as store:
            return store.execute(question, [os.environ["DVC_EXP_NAME"]]).fetchone()[0]
    except sqlite3.Error:
        return False
while not there():
    time.sleep(0.1)
open("out.txt", "w").write("trained")
"""
)
KILLED = (
    PROLOGUE
    + """
with Recorder(experiment="digits", stage="train", item=item) as recorder:
    recorder.metrics({"loss": 1.0}, replicate=0)
    child = os.fork()  # it keeps the stage's files open
    if child:
        print(child, flush=True)
    time.sleep(3600)
"""
)
TROUBLED = (
    PROLOGUE
    + """
with Recorder(experiment="digits", stage="train", item=item) as recorder:
    recorder.params({"seed": 1})
    for step in range(50):
        recorder.metrics({"loss": 1.0}, step=step, replicate=step % 2)
    while not os.path.exists("go"):
        time.sleep(0.05)
print("work done")
"""
)


def start(script: str, item: str, root: Path, **environment: str) -> subprocess.Popen[str]:
    """A stage as DVC starts it: in a folder of its own, with DVC_ROOT elsewhere."""
    folder = root / "temporary" / item
    folder.mkdir(parents=True)
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "AELAB_"))}
    return subprocess.Popen(
        [sys.executable, "-c", script, item],
        cwd=folder,
        env=clean | {"DVC_ROOT": str(root)} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def runs(root: Path) -> dict[str, Any]:
    """The runs of a store by name; {} where there is no store yet."""
    if not (root / "mlflow.db").exists():
        return {}
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{root}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    return {run.info.run_name or "": run for run in client.search_runs(experiments, max_results=500)}


def files(run: Any) -> list[str]:
    folder = Path(run.info.artifact_uri)
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def spooled(root: Path) -> list[Path]:
    """What the store does not have yet."""
    return list((root / ".aelab").glob("*/*.jsonl"))


def writers(root: Path) -> set[int]:
    """The processes that write to the store of this project."""
    found = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if "aelab.tracking.writer" in process.cmdline() and process.cwd() == str(root):
                found.add(process.pid)
    return found


def kill_writers(root: Path) -> None:
    for writer in writers(root):
        with contextlib.suppress(ProcessLookupError):  # it has just left
            os.kill(writer, signal.SIGKILL)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, tuple[int, str]]]:
    """Eight stages at once on a store that is not there yet, and one process that writes for all: (root, item ->
    (code, stderr))."""
    root = tmp_path_factory.mktemp("tracking") / "main checkout"
    scripts = {"rich": RICH, "raises": RAISES, "interrupted": INTERRUPTED, "killed": KILLED}
    scripts |= {f"plain{i}": PLAIN for i in range(3)} | {"handed over": HANDED_OVER}
    stages = {item: start(script, item, root, MLFLOW_RUN_ID="0" * 32) for item, script in scripts.items()}
    killed = stages.pop("killed")
    assert killed.stdout is not None
    child = int(killed.stdout.readline())
    try:
        wait_for(lambda: "train killed #0" in runs(root))
        wait_for(lambda: len(writers(root)) == 1)  # of several that began, all but one leave
        killed.kill()
        ended = {item: (stage.communicate(timeout=PATIENCE)[1], stage.returncode) for item, stage in stages.items()}
        wait_for(lambda: not spooled(root))
        wait_for(lambda: not writers(root))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        killed.communicate()
    return root, {item: (code, err) for item, (err, code) in ended.items()}


def test_eight_stages_at_once_all_arrive(project):
    root, ended = project
    found = runs(root)
    for item, (_, stderr) in ended.items():
        assert "tracking:" not in stderr, stderr
        assert f"train {item}" in found
    for i in range(3):
        assert ended[f"plain{i}"] == (0, "")
        assert found[f"train plain{i}"].info.status == "FINISHED"
        assert found[f"train plain{i}"].data.metrics == {"score": 1.0}
    assert len({run.info.experiment_id for run in found.values()}) == 1


def test_parameters_are_flat_and_cut_where_mlflow_would(project):
    params = runs(project[0])["train rich"].data.params
    assert {k: v for k, v in params.items() if k != "train.note"} == {
        "seed": "1",
        "train.lr": "0.001",
        "train.sizes": "[8, 2]",
        "odd _key_": "None",
    }
    assert len(params["train.note"]) <= 6000
    assert params["train.note"].endswith("[cut: 7000 characters]")


def test_seeds_are_children_and_the_item_carries_mean_and_spread(project):
    from mlflow import MlflowClient

    root = project[0]
    found, client = runs(root), MlflowClient(f"sqlite:///{root}/mlflow.db")
    item = found["train rich"]
    for replicate in range(3):
        child = found[f"train rich #{replicate}"]
        assert child.data.tags["mlflow.parentRunId"] == item.info.run_id
        assert child.data.tags["replicate"] == str(replicate)
        assert child.info.status == "FINISHED"

    def curve(name: str) -> list[tuple[int, float]]:
        return sorted((m.step, m.value) for m in client.get_metric_history(item.info.run_id, name))

    assert curve("loss") == [(0, 1.0), (1, 11.0), (2, 25.0)]
    assert curve("variation/spread/loss") == [(0, 1.0), (1, 1.0)]  # of 0, 1, 2 and of 10, 11, 12; one value has none
    half = 4.302653 / 3**0.5  # Student's t for 95% and two degrees of freedom
    assert curve("variation/interval/loss") == [(step, pytest.approx(half)) for step in range(2)]
    assert np.isnan(item.data.metrics["broken"])
    assert item.data.metrics["seconds"] == 7.0
    assert item.data.metrics["many/1499"] == 1499
    assert found["train rich #2"].data.metrics["loss"] == 12.0


def test_tags_on_every_run(project):
    found = runs(project[0])
    for name in ("train rich", "train rich #1"):
        tags = found[name].data.tags
        assert tags["device"] == "cpu"
        assert tags["epochs"] == "3"
        assert (tags["stage"], tags["item"]) == ("train", "rich")
        assert {"python", "torch", "mlflow", "host", "command"} <= set(tags)
        assert "content_key" not in tags


def test_images_artifacts_and_data(project):
    found = runs(project[0])
    item = found["train rich"]
    assert "figures/a.txt" in files(item)
    assert any(name.startswith("images/colour+step+3+") for name in files(item))
    assert any(name.startswith("images/panel+step+3+") for name in files(found["train rich #0"]))
    assert Path(item.info.artifact_uri).is_relative_to(project[0] / "mlartifacts")
    [data] = item.inputs.dataset_inputs
    assert (data.dataset.name, data.dataset.digest, data.tags[0].value) == ("digits", "0123", "train")


def test_an_exception_marks_the_runs_failed_and_ctrl_c_marks_them_killed(project):
    root, ended = project
    found = runs(root)
    assert ended["raises"][0] == 1
    assert found["train raises"].info.status == found["train raises #0"].info.status == "FAILED"
    assert found["train raises"].data.tags["error"] == "ArithmeticError: loss is nan"
    assert found["train raises"].data.metrics == {"loss": 1.0}
    assert found["train interrupted"].info.status == "KILLED"
    assert "error" not in found["train interrupted"].data.tags


def test_a_stage_need_not_wait_until_all_is_written(project):
    found = runs(project[0])
    item, replicate = found["train handed over"], found["train handed over #1"]
    assert item.info.status == replicate.info.status == "FINISHED"
    assert replicate.data.metrics["score"] == 2999


def test_a_killed_stage_leaves_killed_runs(project):
    found = runs(project[0])
    assert found["train killed"].info.status == found["train killed #0"].info.status == "KILLED"


def test_the_process_that_writes_leaves_when_there_is_nothing_to_write(project):
    root, _ = project
    assert not writers(root)
    assert not [path.name for path in (root / ".aelab").glob("*/*") if not path.name.startswith("writer.")]


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str]]:
    """Stages whose store is out of order, side by side; item -> (exit code, stdout, stderr)."""
    root = tmp_path_factory.mktemp("troubled")
    (root / "corrupt.db").write_bytes(b"this is no database" * 1000)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # the kernel accepts, nobody answers
        stores = {
            "unreachable": "http://user:secret@127.0.0.1:9",
            "mute": f"http://127.0.0.1:{mute.getsockname()[1]}",
            "corrupt": "sqlite:///corrupt.db",
            "unwritable": "sqlite:////proc/nowhere/mlflow.db",
        }
        stages = {item: start(TROUBLED, item, root, MLFLOW_TRACKING_URI=uri) for item, uri in stores.items()}
        # sooner than MLflow would give up by itself, after 246 s
        wait_for(lambda: len(list((root / ".aelab").glob("*/writer.error"))) == len(stores))
        for item in stages:
            (root / "temporary" / item / "go").touch()
        outputs = {item: stage.communicate(timeout=PATIENCE) for item, stage in stages.items()}
    return {item: (stages[item].returncode, *output) for item, output in outputs.items()}


@pytest.mark.parametrize("item", ["unreachable", "mute", "corrupt", "unwritable"])
def test_a_store_out_of_order_costs_one_line_and_no_training(troubled, item):
    code, stdout, stderr = troubled[item]
    assert code == 0
    assert stdout == "work done\n"
    [line] = stderr.splitlines()
    assert line.startswith("tracking: ")
    assert "training goes on" in line
    assert "secret" not in line


def test_what_a_store_did_not_take_arrives_with_the_next_stage_each_once(tmp_path):
    store = tmp_path / "mlflow.db"
    store.write_bytes(b"this is no database" * 1000)
    assert start(RAISES, "first", tmp_path).wait(PATIENCE) == 1
    [kept] = spooled(tmp_path)
    kill_writers(tmp_path)
    store.unlink()
    assert start(PLAIN, "second", tmp_path).wait(PATIENCE) == 0
    wait_for(lambda: not spooled(tmp_path))
    assert not kept.exists()
    found = runs(tmp_path)
    assert set(found) == {"train first", "train first #0", "train second"}
    assert found["train first #0"].data.metrics == {"loss": 1.0}
    assert found["train first"].info.status == "FAILED"


def test_a_writer_killed_at_work_is_followed_by_one_that_goes_on(tmp_path):
    halt = "replicate=step % 2)\n        while step == 1500 and not os.path.exists('go'): time.sleep(0.05)"
    stage = start(HANDED_OVER.replace("replicate=step % 2)", halt), "long", tmp_path)
    wait_for(lambda: "train long #1" in runs(tmp_path))
    assert writers(tmp_path)
    kill_writers(tmp_path)
    (tmp_path / "temporary/long/go").touch()
    assert stage.wait(PATIENCE) == 0
    assert start(PLAIN, "next", tmp_path).wait(PATIENCE) == 0
    wait_for(lambda: not spooled(tmp_path))
    found = runs(tmp_path)
    assert set(found) == {"train long", "train long #0", "train long #1", "train next"}
    assert found["train long"].info.status == "FINISHED"
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    for replicate, run in ((0, found["train long #0"]), (1, found["train long #1"]), (None, found["train long"])):
        history = [metric.step for metric in client.get_metric_history(run.info.run_id, "score")]
        assert sorted(history) == [step for step in range(3000) if replicate in (None, step % 2)]


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small DVC project after one experiment in a temporary folder."""
    root = tmp_path_factory.mktemp("pipeline")
    (root / "train.py").write_text(LONG)
    (root / "params.yaml").write_text("seed: 1\nmodels:\n  vae: {width: 1e-3, note: null}\n")
    stage = {"cmd": f"{sys.executable} train.py ${{key}}", "deps": ["train.py", "data"], "outs": ["out.txt"]}
    each = {"foreach": "${models}", "do": stage | {"params": ["seed", "models.${key}"]}}
    (root / "dvc.yaml").write_text(json.dumps({"stages": {"train": each}}))
    for folder in (".dvc", "data"):
        (root / folder).mkdir()
    (root / ".dvc" / "config").touch()
    (root / ".dvc" / ".gitignore").write_text("/cache\n/tmp\n/config.local\n")
    (root / "data" / "a.txt").write_text("a")
    (root / ".gitignore").write_text("/out.txt\n/mlflow.db*\n/mlartifacts\n/.aelab\n")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "AELAB_"))}
    dvc = [sys.executable, "-m", "dvc"]
    for command in (
        ["git", "init", "-q"],
        ["git", "config", "user.name", "a"],
        ["git", "config", "user.email", "a@example.org"],
        ["git", "add", "-A"],
        ["git", "commit", "-qm", "first"],
        [*dvc, "exp", "run", "--temp", "-S", "seed=25", "-n", "second"],
    ):
        done = subprocess.run(command, cwd=root, env=clean, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    wait_for(lambda: not spooled(root))
    return root


def test_an_experiment_in_a_temporary_folder_is_tracked_in_the_main_checkout(pipeline):
    run = runs(pipeline)["train vae"]
    assert run.info.status == "FINISHED"
    assert run.data.tags["dvc_stage"] == "train@vae"
    assert run.data.tags["dvc_experiment"] == "second"
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=pipeline, capture_output=True, text=True).stdout
    assert run.data.tags["git_commit"] == head.strip()
    assert run.data.tags["git_dirty"] == "true"  # seed=25 is not committed


def test_a_change_within_the_second_of_the_checkout_is_one(tmp_path, monkeypatch):
    """As in a temporary experiment of DVC's; of the same size, it escapes `git status`."""
    monkeypatch.chdir(tmp_path)
    params = tmp_path / "params.yaml"
    for command in (
        ["init", "-q"],
        ["config", "core.trustctime", "false"],
        ["add", "params.yaml"],
        ["-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "first"],
    ):
        params.write_text("seed: 1\n")
        os.utime(params, (1000, 1000))
        subprocess.run(["git", *command], check=True)
    assert facts.found()["git_dirty"] == "false"
    params.write_text("seed: 2\n")
    os.utime(params, (1000, 1000))
    assert subprocess.run(["git", "status", "--porcelain"], capture_output=True, check=True).stdout == b""
    assert facts.found()["git_dirty"] == "true"


def test_a_state_of_the_pipeline_is_the_parent_of_its_stages_runs(pipeline):
    found = runs(pipeline)
    head = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=pipeline, capture_output=True, text=True).stdout
    assert set(found) == {"train vae", f"second: seed=25 ({head.strip()})"}
    parent = found[f"second: seed=25 ({head.strip()})"]
    assert found["train vae"].data.tags["mlflow.parentRunId"] == parent.info.run_id
    assert parent.info.status == "FINISHED"
    assert parent.data.params == {"seed": "25"}
    assert "`dvc exp run -S '++seed=25'`" in parent.data.tags["mlflow.note.content"]


def test_the_content_key_is_the_name_of_dvcs_run_cache_folder(pipeline):
    run = runs(pipeline)["train vae"]
    folders = [path.name for path in (pipeline / ".dvc" / "cache" / "runs").glob("*/*")]
    assert [run.data.tags["content_key"]] == folders


def test_a_queue_loses_no_run_and_doubles_none(pipeline):
    from mlflow import MlflowClient

    clean = {k: v for k, v in os.environ.items() if not k.startswith(("MLFLOW_", "DVC_", "AELAB_"))}

    def dvc(*words: str) -> str:
        return subprocess.run(
            [sys.executable, "-m", "dvc", *words], cwd=pipeline, env=clean, capture_output=True, text=True, check=True
        ).stdout

    dvc("exp", "run", "--queue", "-S", "seed=range(10,14)")
    dvc("queue", "start", "-j", "2")
    wait_for(lambda: dvc("queue", "status").count("Success") == 4)
    wait_for(lambda: not spooled(pipeline))
    client = MlflowClient(f"sqlite:///{pipeline}/mlflow.db")
    found = [each for each in client.search_runs(["1"]) if each.info.run_name == "train vae"]
    assert {each.info.status for each in client.search_runs(["1"])} == {"FINISHED"}
    experiments = [each.data.tags["dvc_experiment"] for each in found]
    assert len(experiments) == len(set(experiments)) == 4 + 1  # and the one of the set-up
    seeds = {client.get_run(each.data.tags["mlflow.parentRunId"]).data.params["seed"] for each in found}
    assert seeds == {"25", *map(str, range(10, 14))}


@pytest.mark.parametrize("known", ["content_key", "mlflow.parentRunId"])
def test_a_killed_run_that_is_written_after_its_successor_began_is_replaced(tmp_path, monkeypatch, known):
    from aelab.tracking.runs import Runs

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    killed, successor = Runs(), Runs()
    for at, each in enumerate((killed, successor)):
        each.open(at, "digits", "train", "vae", {known: "the same"}, None)
    killed.end(2, "KILLED")
    successor.end(3, "FINISHED")
    found = killed.client.search_runs([killed.experiment_id])
    assert [each.info.run_id for each in found] == [successor.run()]


def test_switched_off_it_does_nothing_but_still_checks_arguments(monkeypatch, tmp_path):
    monkeypatch.setenv("AELAB_TRACKING", "off")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    with tracking.Recorder("digits", "train") as recorder:
        recorder.metrics({"loss": 1.0})
        with pytest.raises(ValueError, match=r"'loss \(sum\)'"):
            recorder.metrics({"loss (sum)": 1.0})
        with pytest.raises(ValueError, match="float64"):
            recorder.image("panel", np.zeros((2, 2)))
        with pytest.raises(ValueError, match="40 characters"):
            recorder.dataset("digits", "0" * 40, "embedded", "train")
        with pytest.raises(FileNotFoundError):
            recorder.artifact(tmp_path / "absent")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setenv("AELAB_TRACKING", "no")
    with pytest.raises(ValueError, match="allowed: on, off"):
        tracking.Recorder("digits", "train")


def test_the_import_is_cheap():
    heavy = "{'mlflow', 'torch', 'numpy', 'dvc', 'sqlite3'}"
    code = f"import sys, aelab.tracking; assert not {heavy} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_writer_never_sees_a_living_stage_s_file_without_its_lock(tmp_path, monkeypatch):
    """It would take the stage for dead, and remove the file into which the stage goes on to write."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    real = fcntl.lockf

    def lockf(file, how):
        assert not spooled(tmp_path)
        real(file, how)

    monkeypatch.setattr(events.fcntl, "lockf", lockf)
    assert [events.Outbox().path] == spooled(tmp_path)


def test_lines_of_several_threads_go_out_whole_and_once(tmp_path, monkeypatch):
    """Each forked seed has a thread that passes on what it says; here a write stops half-way and lets another go."""
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    real = os.write

    def halting(file, data):
        time.sleep(0)
        return real(file, data[: len(data) // 2 + 1])

    monkeypatch.setattr(events.os, "write", halting)
    box = events.Outbox()

    def send(seed):
        for step in range(99):
            box.send({"event": "metrics", "step": step, "seed": seed})

    threads = [threading.Thread(target=send, args=(seed,)) for seed in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in box.path.read_text().splitlines()]
    assert sorted((line["seed"], line["step"]) for line in lines) == [(s, i) for s in range(8) for i in range(99)]
