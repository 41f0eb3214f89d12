"""What `aelab repro` needs of DVC, name by name; and any DVC project, run by it and found done by DVC."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE
from ruamel.yaml import YAML

from aelab.runner import dvc_api

NEEDED = {
    "Config": "the settings of a copy of the project",
    "Dependency": "how it finds its hash, remembered while its files do not change",
    "DvcException": "DVC's errors, shown as one line",
    "Git": "whether the project has git, and so experiments",
    "HashInfo": "what DVC calls a file or folder by: md5",
    "LOCK_FILE": "the name dvc.lock",
    "LockError": "another `dvc repro` is at work",
    "Lockfile": "reading and writing dvc.lock",
    "NotDvcRepoError": "a model used outside a project",
    "PipelineStage": "stages of dvc.yaml, as against .dvc files",
    "RWLOCK_FILE": "its name: a damaged one is removed",
    "RWLockFileCorruptedError": "how DVC says that it is damaged",
    "Repo": "the project: graph, cache, lock, checkout",
    "RunCacheNotFoundError": "no earlier result of a stage with these inputs",
    "build": "the MD5 of a file or folder, and the list of a folder",
    "can_hash": "whether DVC keeps a stage's result in the run cache",
    "checkout": "a file or folder from the cache, on a node of a cluster",
    "collect_stages": "the stages that a target names",
    "dump_yaml": "dvc.lock of a copy",
    "edit_rwlock": "the places that dead processes left locked",
    "exp_refs": "the commits of `dvc exp`",
    "get_active_graph": "the graph without frozen stages",
    "get_executable": "the shell of a stage's command",
    "load_file": "the stages of one dvc.yaml without the rest",
    "load_object": "a file or folder of the cache",
    "load_yaml": "dvc.lock and entries of the run cache",
    "lock_entry_hash": "the name of a result in the run cache, by its entry",
    "make_cmd": "a stage's command as the shell takes it",
    "param": "how it looks up a parameter",
    "parse_yaml": "dvc.lock of a commit",
    "plan_repro": "stages in the order of `dvc repro`",
    "prepare_kwargs": "a stage's folder and environment",
    "rwlock": "the places that a running stage reads and writes",
    "serialize": "its readers of YAML, remembered while files do not change",
    "stage_hash": "the name of a result in the run cache, by its stage",
    "transfer": "files between the cache and the remote, for nodes of a cluster",
}
METHODS = {
    "build": ("odb", "path", "fs", "name", "ignore"),
    "checkout": ("path", "fs", "obj", "cache", "force", "ignore"),
    "lock_entry_hash": ("cache", "key"),
    "make_cmd": ("executable", "cmd"),
    "plan_repro": ("graph", "stages", "pipeline", "downstream"),
    "stage_hash": ("stage",),
    "transfer": ("src", "dest", "obj_ids", "cache_odb", "shallow"),
}


def test_every_name_is_there_and_needed():
    assert set(dvc_api.__all__) == set(NEEDED)
    for name, wanted in METHODS.items():
        assert set(wanted) <= set(inspect.signature(getattr(dvc_api, name)).parameters), name


PREPARE = """
import pathlib, sys
text = pathlib.Path(sys.argv[1]).read_text().split()
folder = pathlib.Path("data/prepared"); folder.mkdir(parents=True)
(folder / "train.tsv").write_text("\\n".join(text[::2])); (folder / "test.tsv").write_text("\\n".join(text[1::2]))
"""
TRAIN = (
    "import pathlib, sys\npathlib.Path(sys.argv[2]).write_bytes(pathlib.Path(sys.argv[1], 'train.tsv').read_bytes())\n"
)
EVALUATE = """
import json, pathlib, sys
size = len(pathlib.Path(sys.argv[1]).read_text().split())
pathlib.Path("eval/plots").mkdir(parents=True)
pathlib.Path("eval/metrics.json").write_text(json.dumps({"size": size}))
pathlib.Path("eval/plots/roc.json").write_text(json.dumps([{"fpr": 0, "tpr": 1}]))
"""


@pytest.fixture
def started(tmp_path):
    """A project laid out as DVC's example-get-started: code in src/, data by a .dvc file, params, metrics, plots."""
    stages = {
        "prepare": {
            "cmd": f"{sys.executable} src/prepare.py data/data.xml",
            "deps": ["data/data.xml", "src/prepare.py"],
            "params": ["prepare.seed", "prepare.split"],
            "outs": ["data/prepared"],
        },
        "train": {
            "cmd": f"{sys.executable} src/train.py data/prepared model.pkl",
            "deps": ["data/prepared", "src/train.py"],
            "params": ["train.n_est"],
            "outs": ["model.pkl"],
        },
        "evaluate": {
            "cmd": f"{sys.executable} src/evaluate.py model.pkl",
            "deps": ["model.pkl", "src/evaluate.py"],
            "outs": [{"eval/plots": {"cache": False}}],
            "metrics": [{"eval/metrics.json": {"cache": False}}],
        },
    }
    (tmp_path / "dvc.yaml").write_text(
        json.dumps(
            {"stages": stages, "params": ["params.yaml"], "plots": [{"eval/plots/roc.json": {"x": "fpr", "y": "tpr"}}]}
        )
    )
    (tmp_path / "params.yaml").write_text("prepare: {seed: 20170428, split: 0.2}\ntrain: {n_est: 50}\n")
    for name, code in {"prepare": PREPARE, "train": TRAIN, "evaluate": EVALUATE}.items():
        (tmp_path / "src").mkdir(exist_ok=True)
        (tmp_path / f"src/{name}.py").write_text(code)
    (tmp_path / "data").mkdir()
    (tmp_path / "data/data.xml").write_text("a b c d e f g\n")
    for command in (["git", "init", "-q"], dvc("init", "-q"), dvc("add", "-q", "data/data.xml")):
        subprocess.run(command, cwd=tmp_path, check=True, timeout=PATIENCE)
    return tmp_path


def dvc(*words: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *words]


def repro(folder: Path) -> str:
    command = [str(Path(sys.executable).with_name("aelab")), "repro", "-j", "2"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_a_project_that_knows_nothing_of_this_package(started):
    repro(started)
    assert json.loads((started / "eval/metrics.json").read_text()) == {"size": 4}
    status = subprocess.run(dvc("status"), cwd=started, capture_output=True, text=True, timeout=PATIENCE)
    assert "up to date" in status.stdout
    lock = (started / "dvc.lock").read_bytes()
    (started / "dvc.lock").unlink()
    subprocess.run(dvc("repro", "-q", "--no-run-cache", "-f"), cwd=started, check=True, timeout=PATIENCE)
    ours, theirs = YAML(typ="safe").load(lock), YAML(typ="safe").load(started / "dvc.lock")
    assert ours == theirs
    (started / "params.yaml").write_text("prepare: {seed: 20170428, split: 0.2}\ntrain: {n_est: 60}\n")
    said = repro(started)
    assert "train" in said
    assert "ran prepare" not in said
