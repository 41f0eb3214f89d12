"""The real thing, small: the pipeline in a temporary copy of the project, with real DVC, MLflow and digits."""

import csv
import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import wait_for
from entries import in_epochs
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
MODELS = ("pca", "vae")
STACKS = ("stack_dae",)
NARROW = ("stack_rbm_30",)
UNROLLED = ("unrolled_rbm",)

# at exit, write down which files of ours a stage has loaded, also one that `aelab repro` forks
SPY = """
import atexit, json, os, sys
def note():
    stage = os.environ.get("DVC_STAGE")
    if stage and os.path.basename(os.path.dirname(os.path.abspath(sys.argv[0]))) == "stages":
        files = [getattr(m, "__file__", None) for n, m in list(sys.modules.items()) if n.split(".")[0] == "aelab"]
        with open(os.path.join(os.environ["SPY"], stage + ".json"), "w") as out:
            json.dump([os.path.realpath(f) for f in files if f], out)
atexit.register(note)
os.register_at_fork(after_in_child=lambda: setattr(os, "_exit", lambda code, leave=os._exit: (note(), leave(code))))
"""


class Project:
    """A copy of the working tree without its results, with parameters that make every stage quick."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.spied = folder / "project", folder / "spied"
        self.spied.mkdir()
        (folder / "site").mkdir()
        (folder / "site/sitecustomize.py").write_text(SPY)
        names = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split()
        for name in names:
            if (ROOT / name).is_file() and name != "dvc.lock" and not name.startswith("metrics/"):
                (self.folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.folder / name)
        self.edit(shrink)
        # the copy's own sources, before those of the installed package
        self.env = os.environ | {
            "PYTHONPATH": f"{self.folder / 'src'}{os.pathsep}{folder / 'site'}",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "SPY": str(self.spied),
            "AELAB_TRACKING": "on",
            "GIT_AUTHOR_NAME": "test",
            "GIT_AUTHOR_EMAIL": "test@localhost",
            "GIT_COMMITTER_NAME": "test",
            "GIT_COMMITTER_EMAIL": "test@localhost",
        }
        self.env.pop("MLFLOW_TRACKING_URI", None)
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "start")

    def edit(self, change) -> None:
        path, yaml = self.folder / "params.yaml", YAML(typ="rt")
        tree = yaml.load(path)
        change(tree)
        yaml.dump(tree, path)

    def run(self, *command: str) -> str:
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True)
        assert done.returncode == 0, f"{command}:\n{done.stdout[-3000:]}\n{done.stderr[-5000:]}"
        return done.stdout + done.stderr

    def repro(self, *options: str) -> list[str]:
        """`dvc repro`; the stages that ran."""
        return re.findall(r"Running stage '([^']+)'", self.run("dvc", "repro", *options))

    @property
    def lock(self) -> bytes:
        return (self.folder / "dvc.lock").read_bytes()


def shrink(tree) -> None:
    tree["prepare"]["limit"] = 300
    tree["baselines"] |= {"classifier_steps": 20, "steps": 5, "num_samples": 200, "label_budgets": [20]}
    tree["corrupt"]["noises"] = ["masking 0.25"]
    tree["finetune"]["labels"] = [20, "all"]
    tree["capacity"] |= {"depths": [1, 2], "latent_dims": [2], "hidden": 8, "max_steps": 4, "num_seeds": 2}
    tree["noise_transfer"] |= {"max_steps": 4, "num_seeds": 2}
    for section in ("train", "pretrain", "finetune", "unroll"):
        tree[section] |= {**in_epochs(1), "num_seeds": 2}
    for group, kept in (("models", MODELS), ("stacks", STACKS), ("narrow_stacks", NARROW), ("unrolled", UNROLLED)):
        for name in set(tree[group]) - set(kept):
            del tree[group][name]
        for entry in tree[group].values():
            entry.pop("max_steps", None)
    tree["models"]["ones"] = {"family": "closed_form", "components": 2, "normal": [1], "num_seeds": 1}
    for entry in (*tree["stacks"].values(), *tree["narrow_stacks"].values()):
        if "widths" in entry:
            entry["widths"] = [30, 20]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    made = Project(tmp_path_factory.mktemp("pipeline"))
    made.first = re.findall(r" ran (\S+), ", made.run("aelab", "repro", "-j", "2"))
    return made


def test_the_first_run_runs_every_stage(project):
    wanted = {"download", "prepare", "corrupt", "baselines", "capacity", "noise_transfer", "compare"}
    wanted |= {f"{stage}@{name}" for stage in ("train", "evaluate") for name in (*MODELS, "ones")}
    wanted |= {f"{stage}@{name}" for stage in ("pretrain", "finetune", "evaluate_stacks") for name in STACKS}
    wanted |= {f"pretrain_unrolled@{name}" for name in NARROW}
    wanted |= {f"{stage}@{name}" for stage in ("unroll", "evaluate_unrolled") for name in UNROLLED}
    assert set(project.first) == wanted


def test_the_table_and_the_figures_are_there(project):
    rows = (project.folder / "metrics/comparison.csv").read_text().splitlines()
    assert len(rows) == 1 + len(MODELS) + len(UNROLLED) + len(STACKS)
    assert "vae" in (project.folder / "metrics/comparison.md").read_text()
    assert set(json.loads((project.folder / "metrics/summary.json").read_text())) >= {*MODELS, *UNROLLED, *STACKS}
    figures = list((project.folder / "metrics/figures").glob("*.png"))
    assert len(figures) >= 8
    assert all(figure.read_bytes()[:4] == b"\x89PNG" for figure in figures)


def test_a_model_that_has_learned_one_class_is_in_a_section_of_its_own(project):
    data = project.folder / "data"
    about = json.loads((data / "evaluate/ones/metrics.json").read_text())
    assert about["normal"] == ["1"]
    assert about["metrics"]["auroc/error"][0] > 0.9  # ones are alike
    assert "sse" not in about["metrics"]
    text = (project.folder / "metrics/comparison.md").read_text()
    assert text.count("| ones |") == text.partition("## One class against all others")[2].count("| ones |") > 0
    assert "ones" not in json.loads((project.folder / "metrics/summary.json").read_text())
    wrong = project.folder / "params.yaml"
    before = wrong.read_text()
    project.edit(lambda tree: tree["models"]["ones"].update(normal=["one"]))
    done = subprocess.run(
        [sys.executable, "stages/train.py", "ones"],
        cwd=project.folder,
        env=project.env | {"AELAB_TRACKING": "off"},
        capture_output=True,
        text=True,
    )
    wrong.write_text(before)
    assert done.returncode == 1
    assert "models.ones.normal: no class 'one'; the classes of the data set: 0, 1, 2" in done.stderr


def test_every_stage_is_a_run_with_seeds_as_children(project):
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        query = "select name, status from runs"
        # a stage's last words are written while the next one runs
        wait_for(lambda: "RUNNING" not in dict(store.execute(query)).values())
        runs = dict(store.execute(query))
        digests = store.execute("select count(*) from datasets").fetchone()[0]
    assert {"download", "prepare", "corrupt", "baselines", "compare", "train vae", "finetune stack_dae"} <= set(runs)
    assert {"train vae #0", "train vae #1", "evaluate vae #1"} <= set(runs)
    assert set(runs.values()) == {"FINISHED"}
    assert digests >= 1


def test_every_evaluated_model_is_one_of_mlflow_and_the_best_have_names(project):
    out = project.run(
        sys.executable,
        "-c",
        "import json, numpy, pandas, mlflow; "
        "mlflow.set_tracking_uri('sqlite:///mlflow.db'); "
        "x = numpy.load('data/prepare/test/x.npy')[:5]; "
        "names = [each.name for each in mlflow.search_logged_models(['1'], output_format='list')]; "
        "give = lambda name, x: list(mlflow.pyfunc.load_model(f'models:/{name}@champion').predict(x).shape); "
        "print(json.dumps([names, give('denoiser', x), give('encoder', pandas.DataFrame(x.reshape(5, -1)))]))",
    )
    names, clean, codes = json.loads(next(line for line in out.splitlines() if line.startswith("[[")))
    assert set(names) == {*MODELS, "ones", *UNROLLED, *STACKS, "denoiser", "encoder", "generator"}
    assert clean == [5, 1, 28, 28]
    assert codes[0] == 5
    assert "Kingma" in project.run("aelab", "show", "vae")
    project.run("aelab", "sample", "-n", "4", "--out", "new.png")
    assert (project.folder / "new.png").read_bytes()[:4] == b"\x89PNG"


# rooms that cannot change a result: DVC must not run a training stage again because of them
NO_DEPS = ("tracking", "runner", "cli", "inference", "sweeps")


def test_the_code_that_a_stage_loads_is_among_its_deps(project):
    """Except NO_DEPS, and the __init__ files that hold nothing (see test_architecture)."""
    out = project.run(
        sys.executable,
        "-c",
        "import json; from dvc.repo import Repo; "
        "print(json.dumps({s.addressing: [d.fspath for d in s.deps] for s in Repo().index.stages}))",
    )
    deps = {name: [Path(dep).resolve() for dep in paths] for name, paths in json.loads(out.splitlines()[-1]).items()}
    package, checked = (project.folder / "src/aelab").resolve(), 0
    for note in project.spied.glob("*.json"):
        stage = note.stem
        for file in map(Path, json.loads(note.read_text())):
            room = file.relative_to(package).parts[0]
            if room in NO_DEPS or (file.parent.name in ("aelab", "models") and file.stem == "__init__"):
                continue
            assert any(file == dep or dep in file.parents for dep in deps[stage]), f"{stage} loads {file}"
            checked += 1
    assert checked > 100


def test_a_comment_in_code_that_changes_no_result_retrains_nothing(project):
    """Nor does another line of requirements.lock; a comment in report/ draws the report again."""
    package = project.folder / "src/aelab"
    files = [file for room in (*NO_DEPS, "report") for file in (package / room).rglob("*.py")]
    assert package / "runner/progress.py" in files
    before = {file: file.read_text() for file in (*files, project.folder / "requirements.lock")}
    for file, text in before.items():
        file.write_text(f"{text}# a comment\n")
    status = json.loads(project.run("dvc", "status", "--json").splitlines()[-1])
    for file, text in before.items():
        file.write_text(text)
    assert set(status) == {"compare"}
    assert json.loads(project.run("dvc", "status", "--json").splitlines()[-1]) == {}


def test_dvc_repro_finds_nothing_to_do(project):
    assert project.repro() == []


def test_another_beta_reruns_that_model_its_evaluation_and_the_comparison(project):
    before = project.lock
    project.edit(lambda tree: tree["models"]["vae"].update(beta=2))
    assert project.repro() == ["train@vae", "evaluate@vae", "compare"]
    project.edit(lambda tree: tree["models"]["vae"].pop("beta"))
    assert project.repro() in ([], ["compare"]), "the first result comes back from the cache"
    assert project.lock == before


def test_a_figure_option_reruns_the_comparison_alone_and_leaves_the_pictures_of_sweeps(project):
    picture = project.folder / "metrics/sweeps/vae/history.png"
    picture.parent.mkdir(parents=True)
    picture.write_text("of a search")
    project.edit(lambda tree: tree["compare"].update(samples=["vae"]))
    assert project.repro() == ["compare"]
    assert picture.read_text() == "of a search"
    assert "metrics/sweeps" not in project.run("git", "status", "--porcelain")


def test_a_queued_experiment_arrives_in_dvc_and_in_the_one_store(project):
    project.run("git", "add", "-A")
    project.run("git", "commit", "-qm", "results")
    project.run("dvc", "exp", "run", "-S", "models.vae.latent_dim=5", "--queue")
    project.run("dvc", "queue", "start")

    def status() -> str:
        return project.run("dvc", "queue", "status")

    wait_for(lambda: not re.search("Queued|Running", status().split("Worker status")[0]))
    assert status().count("Success") == 1, status()
    shown = list(csv.DictReader(project.run("dvc", "exp", "show", "--csv").splitlines()))
    assert len({row["vae.sse"] for row in shown if row["vae.sse"]}) >= 2, "the workspace and the experiment"
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        found = store.execute(
            "select p.value, t.value from runs r "
            "join params p on p.run_uuid = r.run_uuid join tags t on t.run_uuid = r.run_uuid "
            "where r.name = 'train vae' and p.key = 'model.config.latent_dim' and t.key = 'dvc_experiment'"
        ).fetchall()
    assert [latent for latent, _ in found] == ["5"]


def files_of_comparisons(project) -> set[str]:
    """What MLflow keeps of metrics/."""
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        places = [Path(place) for (place,) in store.execute("select artifact_uri from runs where name = 'compare'")]
    return {str(path.relative_to(place)) for place in places for path in place.rglob("*") if path.is_file()}


def numbers(project) -> set[tuple]:
    """(run, metric, step, value) and (run, parameter, value) of all stages but `compare`, less the clock's."""
    with sqlite3.connect(project.folder / "mlflow.db") as store:
        metrics = store.execute(
            "select r.name, m.key, m.step, m.value from runs r join metrics m on m.run_uuid = r.run_uuid "
            "join tags t on t.run_uuid = r.run_uuid and t.key = 'stage' and t.value != 'compare' "
            "where m.key not like '%seconds_per_epoch' and m.key not like '%images_per_second' "
            "and m.key not like 'system/%'"
        ).fetchall()
        params = store.execute(
            "select r.name, p.key, p.value from runs r join params p on p.run_uuid = r.run_uuid "
            "join tags t on t.run_uuid = r.run_uuid and t.key = 'stage' and t.value != 'compare'"
        ).fetchall()
    return {*metrics, *params}


def test_a_deleted_store_is_filled_again_from_the_results_and_twice_nothing_happens(project):
    """But for comparisons of states that are in no commit: DVC's cache does not keep them."""
    project.run("aelab", "sync")
    assert project.run("aelab", "sync").startswith("0 made again, ")
    before = numbers(project)
    (project.folder / "mlflow.db").unlink()
    shutil.rmtree(project.folder / "mlartifacts")
    project.run("aelab", "sync")
    after = numbers(project)
    assert (sorted(before - after), sorted(after - before)) == ([], [])
    assert {("train vae", "model.config.latent_dim", latent) for latent in ("5", "20")} <= after
    assert project.run("aelab", "sync").startswith("0 made again, ")
    kept = files_of_comparisons(project)
    assert {"comparison.csv", "report.html", "figures/reconstructions.png"} <= kept
    assert not [name for name in kept if name.startswith("sweeps")]


def test_by_force_and_side_by_side_every_byte_is_the_same_again(project):
    project.edit(lambda tree: None)
    project.repro()
    before = project.lock
    assert f"\n{len(project.first)} ran\n" in project.run("aelab", "repro", "--force", "-j", "2")
    assert project.lock == before
