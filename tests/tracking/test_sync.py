"""A deleted store is filled again from what DVC's caches hold: every run, every number, every model, every alias."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
from conftest import PATIENCE, wait_for
from ruamel.yaml import YAML

AELAB = str(Path(sys.executable).with_name("aelab"))
PARAMS = "seed: 1\nmodels:\n  ae: {low: 1.0}\n  vae: {low: 2.0}\n"
TRAIN = """
import hashlib, sys
from pathlib import Path
from ruamel.yaml import YAML
from aelab.tracking import Recorder

item = sys.argv[1]
low = YAML(typ="safe").load(Path("params.yaml"))["models"][item]["low"]
if low < 0:
    with Recorder("digits", "train", item) as recorder:
        raise ValueError("no such rate")
out = Path("data/train", item)
out.mkdir(parents=True)
with Recorder("digits", "train", item, keep=out / "tracked.jsonl") as recorder:
    recorder.params({"model": {"low": low}})
    recorder.dataset("digits", "0123", "data/prepare", "train")
    for step in range(1, 4):
        for seed in range(2):
            loss = {"validation/total": low + 1 / step + seed, "seconds_per_epoch": 0.1}
            recorder.metrics(loss, step=step, replicate=seed)
    (out / "weights-0.safetensors").write_text(f"{item} {low}")
    recorder.tags({"weights": hashlib.md5((out / "weights-0.safetensors").read_bytes()).hexdigest()})
"""
EVALUATE = """
import hashlib, json, sys
from pathlib import Path
from aelab.tracking import Recorder

item = sys.argv[1]
trained, out = Path("data/train", item), Path("data/evaluate", item)
weights = trained / "weights-0.safetensors"
low = float(weights.read_text().split()[1])
out.mkdir(parents=True)
about = {"family": "dense", "config": {"latent_dim": 2}, "kind": "autoencoder", "shape": [1, 2, 2], "classes": 2}
about |= {"num_seeds": 2, "device": "cpu", "source": str(trained)}
about |= {"weights": {"weights-0.safetensors": hashlib.md5(weights.read_bytes()).hexdigest()}}
with Recorder("digits", "evaluate", item, keep=out / "tracked.jsonl") as recorder:
    for seed in range(2):
        recorder.metrics({"sse": low + seed}, replicate=seed)
    recorder.model(about, {"sse": [low, low + 1]})
(out / "metrics.json").write_text(json.dumps({"about": about, "sse": low + 0.5}))
"""
COMPARE = """
import json
from pathlib import Path
from aelab.tracking import Recorder

out = Path("metrics")
out.mkdir(exist_ok=True)
with Recorder("digits", "compare", keep=out / "tracked.jsonl") as recorder:
    found = [json.loads(path.read_text()) for path in sorted(Path("data/evaluate").glob("*/metrics.json"))]
    best = min(found, key=lambda each: each["sse"])
    recorder.headlines({"best/sse": best["sse"]})
    recorder.table("comparison.json", {"sse": [each["sse"] for each in found]})
    for task, aliases in (("denoiser", ["champion"]), ("encoder", ["up-to-4", "champion"])):
        recorder.model(best["about"], {"sse": [best["sse"]]}, task, "smallest error", aliases)
    (out / "report.html").write_text(f"<p>{best['sse']}")
    recorder.artifact(out / "report.html")
"""


class Project:
    """A small pipeline in git and DVC, as the real one: trained, evaluated, compared."""

    def __init__(self, folder: Path, clean: dict[str, str]) -> None:
        self.folder, self.env, self.copies = folder, clean, 0
        (folder / ".dvc").mkdir(parents=True)
        (folder / ".dvc/config").write_text("[core]\nanalytics = false\n")
        (folder / ".dvc/.gitignore").write_text("/cache\n/tmp\n")
        (folder / ".gitignore").write_text("/data\n/logs\n/metrics\n/mlflow.db*\n/mlartifacts\n/.aelab\n")
        (folder / "params.yaml").write_text(PARAMS)
        (folder / "stages").mkdir()
        for name, script in (("train", TRAIN), ("evaluate", EVALUATE), ("compare", COMPARE)):
            (folder / f"stages/{name}.py").write_text(script)
        python, each = f"{sys.executable} stages/", {"foreach": "${models}"}
        train = {"cmd": python + "train.py ${key}", "deps": ["stages/train.py"], "outs": ["data/train/${key}"]}
        deps = ["stages/evaluate.py", "data/train/${key}"]
        evaluate = {"cmd": python + "evaluate.py ${key}", "deps": deps, "outs": ["data/evaluate/${key}"]}
        outs = [{"metrics/report.html": {"cache": False}}, "metrics/tracked.jsonl"]
        compare = {"cmd": python + "compare.py", "deps": ["stages/compare.py", "data/evaluate"], "outs": outs}
        stages: dict[str, Any] = {"train": each | {"do": train | {"params": ["models.${key}"]}}}
        stages |= {"evaluate": each | {"do": evaluate}, "compare": compare}
        (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "-c", "user.name=a", "-c", "user.email=a@example.org", "commit", "-qm", "first")

    def run(self, *words: str) -> str:
        done = subprocess.run(words, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=PATIENCE)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def set(self, old: str, new: str) -> None:
        text = (self.folder / "params.yaml").read_text()
        assert text.count(old) == 1
        (self.folder / "params.yaml").write_text(text.replace(old, new))

    def repro(self) -> None:
        self.run(AELAB, "repro", "-j", "2")
        self.arrived()

    def sync(self) -> list[str]:
        """The lines that `aelab sync` prints."""
        return self.run(AELAB, "sync").splitlines()

    def arrived(self) -> None:
        """Wait until the store has everything."""
        wait_for(lambda: not list((self.folder / ".aelab").glob("*/*.jsonl")))

    def forget(self) -> None:
        (self.folder / "mlflow.db").unlink()
        shutil.rmtree(self.folder / "mlartifacts")

    @property
    def client(self) -> Any:
        """Of a copy of the store: MLflow keeps connections to a file that was deleted."""
        from mlflow import MlflowClient

        self.copies += 1
        copy = self.folder.parent / f"copy-{self.copies}.db"
        shutil.copy(self.folder / "mlflow.db", copy)
        return MlflowClient(f"sqlite:///{copy}")

    def runs(self) -> list[Any]:
        return self.client.search_runs(["1"], max_results=5000)

    def named(self, name: str) -> list[Any]:
        """The runs of a name, in the order in which they were made."""
        return [run for run in reversed(self.runs()) if run.info.run_name == name]

    def store(self) -> dict[str, Any]:
        """Runs with their parents, parameters, files and all numbers but the clock's; models, versions, aliases."""
        client, runs = self.client, {run.info.run_id: run for run in self.runs()}

        def path(run: Any) -> str:
            above = runs.get(run.data.tags.get("mlflow.parentRunId", ""))
            return (f"{path(above)} > " if above else "") + run.info.run_name

        found = []
        for run in runs.values():
            names = [name for name in run.data.metrics if "seconds_per_epoch" not in name]
            numbers = [
                (name, m.step, m.value) for name in names for m in client.get_metric_history(run.info.run_id, name)
            ]
            files = [file.path for file in client.list_artifacts(run.info.run_id)]
            data = [each.dataset.digest for each in run.inputs.dataset_inputs]
            kept = {key: run.data.tags.get(key) for key in ("stage", "item", "dvc_stage", "content_key", "weights")}
            kept |= {"note": run.data.tags.get("mlflow.note.content")}
            found.append((path(run), run.info.status, sorted(numbers), run.data.params, files, data, kept))
        logged = [(model.name, path(runs[model.source_run_id])) for model in client.search_logged_models(["1"])]
        registered = []
        for model in client.search_registered_models():
            versions = client.search_model_versions(f"name = '{model.name}'")
            weights = {version.version: version.tags["weights"] for version in versions}
            aliases = {alias: weights[version] for alias, version in model.aliases.items()}
            registered.append((model.name, sorted(weights.values()), aliases))
        return {"runs": sorted(found, key=str), "models": sorted(logged), "registry": sorted(registered)}


@pytest.fixture(scope="module")
def project(tmp_path_factory, clean) -> Project:
    """Two states of the working folder: the second overwrote the first, and neither is in a commit."""
    made = Project(tmp_path_factory.mktemp("project") / "lab", clean)
    made.set("low: 1.0", "low: 1.5")
    made.repro()
    made.set("low: 1.5", "low: 3.0")
    made.repro()
    made.sync()
    return made


def test_two_states_each_have_their_runs(project):
    names = [run.info.run_name for run in project.runs()]
    assert names.count("train ae") == names.count("evaluate ae") == names.count("compare") == 2
    assert names.count("train vae") == names.count("evaluate vae") == 1
    assert len([run for run in project.runs() if "pipeline_state" in run.data.tags]) == 2


def test_a_states_run_carries_the_headlines_of_its_comparison(project):
    states = {run.data.params["models.ae.low"]: run for run in project.runs() if "pipeline_state" in run.data.tags}
    assert states["1.5"].data.metrics == {"best/sse": 2.0}
    assert states["3.0"].data.metrics == {"best/sse": 2.5}


def test_test_numbers_stand_beside_the_curves_of_their_model(project):
    first, second = project.named("train ae")
    assert first.data.metrics["test/sse"] == 2.0
    assert second.data.metrics["test/sse"] == 3.5
    assert project.named("train vae")[0].data.metrics["test/sse"] == 2.5
    assert "test/sse" not in project.named("train ae #0")[0].data.metrics


def test_a_stage_made_again_by_force_replaces_its_run_and_keeps_its_test_numbers(project):
    before = [run.info.run_id for run in project.named("train ae")]
    project.run(AELAB, "repro", "-f", "train@ae")
    project.arrived()
    first, second = project.named("train ae")
    assert first.info.run_id == before[0]
    assert second.info.run_id != before[1]
    assert second.data.metrics["test/sse"] == 3.5
    assert len(project.named("train ae #0")) == 2


def test_a_deleted_store_comes_back_whole(project):
    """Every run with its numbers, models and registry; results of a state that is in no commit, no experiment and no
    longer in the working folder are below "earlier results", but for its comparison, which DVC's cache lacks."""
    before = project.store()
    project.forget()
    lines = project.sync()
    assert lines[0] == "7 made again, 0 there already", lines
    after = project.store()
    kept = [model for model in before["models"] if not ("low=1.5" in model[1] and "compare" in model[1])]
    assert after["models"] == sorted((name, moved(path)) for name, path in kept)
    assert [(name, aliases) for name, _, aliases in after["registry"]] == [
        (name, aliases) for name, _, aliases in before["registry"]
    ]
    expected = [(moved(name), *rest) for name, *rest in before["runs"] if " > " in name]
    expected = [run for run in expected if run[0] != "earlier results > compare"]
    assert [run for run in after["runs"] if " > " in run[0]] == sorted(expected, key=str)
    assert project.sync() == ["0 made again, 7 there already"]
    assert project.store() == after


def moved(path: str) -> str:
    """Where `aelab sync` makes a run of the state that is gone: vae's results are those of the present state too."""
    state, _, rest = path.partition(" > ")
    if "low=1.5" not in state:
        return path
    return f"{state.replace('low=1.5', 'low=3.0')} > {rest}" if "vae" in rest else f"earlier results > {rest}"


def test_what_no_cache_holds_is_named(project):
    [record] = [line["md5"] for line in listing(project, "data/train/ae") if line["relpath"] == "tracked.jsonl"]
    cached = project.folder / ".dvc/cache/files/md5" / record[:2] / record[2:]
    kept = cached.read_bytes()
    shutil.rmtree(project.folder / "data/train/ae")
    cached.unlink()
    project.forget()
    lines = project.sync()
    cached.write_bytes(kept)
    how = "results not made again, as DVC's cache lacks them (`dvc fetch --run-cache` brings what a remote has)"
    assert f"1 {how}: train@ae" in lines
    assert project.sync()[0].startswith("1 made again, ")
    project.run(sys.executable, "-m", "dvc", "checkout", "-q")


def listing(project: Project, out: str) -> list[dict[str, str]]:
    """DVC's listing of a folder among the present results."""
    lock = YAML(typ="safe").load(project.folder / "dvc.lock")
    [md5] = [item["md5"] for stage in lock["stages"].values() for item in stage["outs"] if item["path"] == out]
    return json.loads((project.folder / ".dvc/cache/files/md5" / md5[:2] / md5[2:]).read_text())


def test_a_state_is_failed_until_all_is_well(project):
    project.set("vae: {low: 2.0}", "vae: {low: -1.0}")
    done = subprocess.run([AELAB, "repro"], cwd=project.folder, env=project.env, capture_output=True, timeout=PATIENCE)
    assert done.returncode == 1
    project.arrived()
    [state] = [run for run in project.runs() if run.data.params.get("models.vae.low") == "-1.0"]
    assert state.info.status == "FAILED"
    project.sync()
    assert project.client.get_run(state.info.run_id).info.status == "FAILED"
    script = project.folder / "stages/train.py"
    good = script.read_text()
    script.write_text(good.replace("if low < 0:", "if low < 0 and not Path('mended').exists():"))
    subprocess.run([AELAB, "repro"], cwd=project.folder, env=project.env, capture_output=True, timeout=PATIENCE)
    project.arrived()
    failed = next(run for run in project.runs() if run.data.params.get("models.vae.low") == "-1.0")
    assert failed.info.status == "FAILED"
    (project.folder / "mended").touch()
    project.repro()
    assert project.client.get_run(failed.info.run_id).info.status == "FINISHED"
    script.write_text(good)
    (project.folder / "mended").unlink()
    project.set("vae: {low: -1.0}", "vae: {low: 2.0}")


SLOW = """
import time
with open("recorded", "a") as file:
    print(item, file=file)
while Path("wait").exists():
    time.sleep(0.02)
"""


def test_a_stage_killed_after_its_record_is_one_run(tmp_path, clean):
    """kill -9 between the end of what a stage records and DVC's note of its result, several times."""
    lab = Project(tmp_path / "lab", clean)
    (lab.folder / "stages/train.py").write_text(TRAIN + SLOW)
    (lab.folder / "wait").touch()
    for kills, (delay, writer) in enumerate(((0.0, False), (0.3, True), (2.5, True)), 1):
        command = recording(lab, kills)
        time.sleep(delay)
        assert command.poll() is None, command.communicate()
        mine = [command.pid, *(each.pid for each in psutil.Process(command.pid).children(recursive=True))]
        writers = [each.pid for each in psutil.process_iter(["cmdline", "cwd"]) if writes(each, lab.folder)]
        for pid in {*mine, *writers} if writer else {*mine} - {*writers}:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        command.communicate()
        shutil.rmtree(lab.folder / "data", ignore_errors=True)
    (lab.folder / "wait").unlink()
    lab.run(AELAB, "repro", "train@ae")
    lab.sync()
    [item] = lab.named("train ae")
    seeds = lab.named("train ae #0") + lab.named("train ae #1")
    assert [run.info.status for run in (item, *seeds)] == ["FINISHED"] * 3
    for run in (item, *seeds):
        history = lab.client.get_metric_history(run.info.run_id, "validation/total")
        assert sorted(metric.step for metric in history) == [1, 2, 3]
    assert [run.info.status for run in lab.runs() if "pipeline_state" in run.data.tags] == ["FINISHED"]


def recording(lab: Project, times: int) -> subprocess.Popen[bytes]:
    """`aelab repro` whose stage has recorded all, which has happened so often."""
    command = subprocess.Popen([AELAB, "repro", "train@ae"], cwd=lab.folder, env=lab.env, stderr=subprocess.PIPE)
    recorded = lab.folder / "recorded"
    wait_for(lambda: command.poll() is not None or (recorded.exists() and len(recorded.read_text().split()) >= times))
    return command


def writes(process: psutil.Process, folder: Path) -> bool:
    """Whether a process writes to the store of a project."""
    return "aelab.tracking.writer" in (process.info["cmdline"] or []) and process.info["cwd"] == str(folder)
