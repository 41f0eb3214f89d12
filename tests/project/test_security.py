"""What a hostile file, name or neighbour can do: run no code, leave no folder, fill no memory, hear no secret."""

from __future__ import annotations

import ast
import io
import json
import os
import pickle
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import PATIENCE, wait_for
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from typer.testing import CliRunner

from aelab.cli import app
from aelab.config import params
from aelab.data import storage
from aelab.inference import file_io, predictor
from aelab.runner import stage
from aelab.sources import published
from aelab.tracking import events, runs
from aelab.training import weight_files

ROOT = Path(__file__).parents[2]
CODE = [path for folder in ("src", "stages", "docs", "benchmarks") for path in sorted((ROOT / folder).rglob("*.py"))]
SHAPE = (1, 28, 28)


# No file runs code.

UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "yaml", "jsonpickle"}
UNSAFE_CALLS = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "torch.load", "torch.save"}
UNSAFE_CALLS |= {"torch.jit.load", "pd.read_pickle", "np.loadtxt", "np.fromregex", "tempfile.mktemp"}


def unsafe(path: Path) -> list[str]:
    """What in a file may run code that comes from data."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            names = [] if names == ["cpu_count", "joblib"] else names
            found += [name for name in names if name.split(".")[0] in UNSAFE_MODULES]
        if isinstance(node, ast.Call):
            name, options = ast.unparse(node.func), {each.arg: ast.unparse(each.value) for each in node.keywords}
            found += [name] if name in UNSAFE_CALLS else []
            found += (
                [name]
                if name in ("np.load", "np.lib.format.read_array") and options.get("allow_pickle") != "False"
                else []
            )
            found += [name] if options.get("shell") == "True" or options.get("allow_pickle") == "True" else []
            found += [name] if name == "YAML" and options.get("typ", "'rt'") not in ("'safe'", "'rt'") else []
            found += [name] if name == "Image.open" and "formats" not in options else []
    return found


@pytest.mark.parametrize("path", CODE, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_source_loads_what_may_run_code(path):
    assert unsafe(path) == []


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


LOADERS = {
    "weights": weight_files.load_weights,
    "snapshot": weight_files.load_tensors,
    "JSON": storage.load_json,
    "arrays": storage.load_arrays,
    "an npz of the user's": lambda path: file_io.read_images([path.rename(path.with_suffix(".npz"))], SHAPE),
    "a picture of the user's": lambda path: file_io.read_images([path.rename(path.with_suffix(".png"))], SHAPE),
    "parameters": lambda path: params.load("seed", text=path.read_bytes().decode("latin-1")),
    "a record": lambda path: events.recorded(str(path), path.read_bytes()),
}


@pytest.mark.parametrize("name", LOADERS)
@pytest.mark.parametrize("form", ["pickle", "torch", "npz", "npy", "yaml"])
def test_a_trap_is_refused_and_not_sprung(tmp_path, name, form):
    path, trap = tmp_path / "file", tmp_path / "sprung"
    if form == "pickle":
        path.write_bytes(pickle.dumps(Trap(trap), 0))
    elif form == "torch":
        torch.save(Trap(trap), path)
    elif form == "npz":
        with open(path, "wb") as file:
            np.savez(file, images=np.array([Trap(trap)], object))
    elif form == "npy":
        with open(path, "wb") as file:
            np.save(file, np.array([Trap(trap)], object))
    else:
        path.write_text(f"seed: !!python/object/apply:builtins.open [{trap}, w]\n")
    with pytest.raises(ValueError, match=r".") as caught:
        LOADERS[name](path)
    assert len(str(caught.value).splitlines()) == 1
    assert not trap.exists()


def test_a_picture_of_a_kind_that_runs_programs_is_no_picture(tmp_path):
    """PIL hands EPS to ghostscript."""
    Image.new("L", (28, 28)).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png: not a readable picture"):
        file_io.read_images([tmp_path / "x.png"], SHAPE)


# No file takes more memory than it may.


def npy(array: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.save(out, array)
    return out.getvalue()


def pack(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def test_a_picture_that_grows_is_refused_by_its_size(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    Image.new("L", (64, 64)).save(tmp_path / "x.png")
    with pytest.raises(ValueError, match=r"x\.png: "):
        file_io.read_images([tmp_path / "x.png"], SHAPE)


@pytest.mark.parametrize(
    "content", [b"no array", npy(np.array(5)), npy(np.zeros(0)), npy(np.zeros((0, 28, 28))), npy(np.zeros(3, "M8[s]"))]
)
def test_what_is_no_array_of_images_is_one_line(tmp_path, content):
    path = pack(tmp_path / "x.npz", {"images.npy": content})
    with pytest.raises(ValueError, match=r"x\.npz: "):
        file_io.read_images([path], SHAPE)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(["x.npz", "x.png", "x.bmp", "x.gif", "x.jpg", "x.webp"]), st.data())
def test_a_damaged_file_of_the_user_s_is_one_line_or_images(tmp_path_factory, name, data):
    path = tmp_path_factory.getbasetemp() / name
    if name == "x.npz":
        pack(path, {"images.npy": npy(np.zeros((2, *SHAPE), np.uint8)), "labels.npy": npy(np.zeros(2))})
    else:
        Image.fromarray(np.arange(784, dtype=np.uint8).reshape(28, 28)).save(path)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    try:
        images, _ = file_io.read_images([path], SHAPE)
    except ValueError as error:
        assert str(path) in str(error)  # noqa: PT017
        assert len(str(error).splitlines()) == 1  # noqa: PT017
    else:
        assert images.shape[1:] == SHAPE


# No name leads out of its folder.

OUT = [
    "..",
    ".",
    "../x",
    "/etc/passwd",
    "a/b/c",
    "train/..",
    "train/../x",
    ".hidden",
    "a\nb",
    "-x",
    "a b",
    "",
    "x" * 5 + "\0",
]


@pytest.mark.parametrize("item", OUT)
def test_a_stage_takes_no_item_that_leads_elsewhere(monkeypatch, tmp_path, item):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", item])

    def train(job: stage.Job) -> None:
        raise AssertionError(job)

    with pytest.raises(SystemExit, match=r"^train: arguments .*; allowed: one name"):
        stage.main(train)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("group", params.LISTS)
@pytest.mark.parametrize(
    "name", ["..", "../x", "/etc/passwd", "<script>alert(1)</script>", "a b", "x\n", "x" * 200, ""]
)
def test_an_entry_of_params_yaml_has_a_name_that_a_folder_may_have(group, name):
    text = json.dumps({"seed": 1, group: {name: {"family": "dense", "widths": [3]}}})
    for asked in (group, f"{group}.{name}"):
        with pytest.raises(params.ParamsError, match="no name for an entry; allowed: letters, digits") as caught:
            params.load(asked, text=text)
        assert len(str(caught.value).splitlines()) == 1


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """A folder with params.yaml and DVC, and nothing made."""
    shutil.copy(ROOT / "params.yaml", tmp_path)
    (tmp_path / "dvc.yaml").write_text("stages: {}\n")
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\nno_scm = true\nanalytics = false\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    return tmp_path


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "../../etc/passwd@champion", "x@../y", "a\nb", "\x1b[31m"])
@pytest.mark.parametrize("command", ["show", "sample -m", "sweep", "sweep --apply", "verify", "export"])
def test_a_name_on_the_command_line_is_looked_up_and_never_a_path(empty, command, name):
    if "@" in name and command not in ("show", "export"):
        return  # one look into an empty store is enough
    before = sorted(empty.rglob("*.npz")) + sorted(empty.glob("*"))
    done = CliRunner().invoke(app.app, [*command.split(), name])
    assert (done.exit_code, len(done.output.splitlines())) == (1, 1), done.output
    left = {path.name for path in {*empty.rglob("*.npz"), *empty.glob("*")} - set(before)}
    assert left <= {"mlflow.db"}


@pytest.mark.parametrize(
    ("begin", "event"),
    [
        ({"experiment": "../../elsewhere"}, {}),
        ({"experiment": "/tmp"}, {}),
        ({"stage": "../train"}, {}),
        ({"item": "../vae"}, {}),
        ({"item": ["vae"]}, {}),
        ({}, {"event": "artifact", "path": "../../../etc", "folder": None}),
        ({}, {"event": "artifact", "path": "/etc/passwd", "folder": None}),
        ({}, {"event": "artifact", "path": "a/../../b", "folder": None}),
        ({}, {"event": "artifact", "path": ".", "folder": "../.."}),
        ({}, {"event": "artifact", "path": ".", "folder": "/etc"}),
        ({}, {"event": "image", "name": "../x"}),
        ({}, {"event": "table", "name": "/etc/x.json"}),
    ],
)
def test_events_that_name_other_places_are_not_taken_by_sync(begin, event):
    first = {"event": "begin", "experiment": "mnist5k", "stage": "train", "item": "vae"}
    good = [first, {"event": "artifact", "path": ".", "folder": None}]
    assert events.recorded("tracked.jsonl", "\n".join(map(json.dumps, good)).encode()) == good
    bad = [first | begin, event] if event else [first | begin]
    with pytest.raises(ValueError, match=r"^tracked\.jsonl: not the events of a stage"):
        events.recorded("tracked.jsonl", "\n".join(map(json.dumps, bad)).encode())


def test_an_event_is_never_any_other_method():
    with pytest.raises(ValueError, match="'reachable' is unknown; allowed: begin, "):
        runs.Runs().take({"event": "reachable"})


def test_a_mirror_on_this_disk_is_known_by_its_hash_and_tells_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("AELAB_MIRROR", raising=False)
    secret = tmp_path / "train-images-idx3-ubyte.gz"
    secret.write_text("the secret of this machine")
    with pytest.raises(ValueError, match="no place has it") as caught:
        published.fetch("mnist", (tmp_path.as_uri(), "file:///etc/passwd?"))
    assert "the secret" not in str(caught.value)


def test_a_family_that_is_none_is_never_imported(empty):
    about = {"kind": "autoencoder", "family": "base.registry", "config": {}, "shape": SHAPE, "classes": 10}
    about |= {"source": "../..", "weights": {"weights-0.safetensors": "0" * 32}}
    with pytest.raises(ValueError, match=r"its family 'base\.registry' is unknown; allowed: closed_form"):
        predictor.of("x", about)


# Every server is this machine's alone.


def test_the_tracking_ui_listens_on_this_machine_alone(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://alice:hunter2@127.0.0.1/runs")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))
    for name in ("MLFLOW_BACKEND_STORE_URI", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "MLFLOW_DISABLE_TELEMETRY"):
        monkeypatch.setenv(name, "")
    for name in ("params.yaml", "dvc.yaml"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    started = []
    monkeypatch.setattr(os, "execv", lambda path, words: started.append(words))
    monkeypatch.setattr(subprocess, "Popen", lambda words: None)  # it waits for the server
    assert CliRunner().invoke(app.app, ["ui", "--port", "0"]).exit_code == 0
    [words] = started
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert "hunter2" not in " ".join(words), "others see the words of a command"
    assert "hunter2" in os.environ["MLFLOW_BACKEND_STORE_URI"]


def test_no_file_tells_a_server_or_people_to_listen_elsewhere():
    pages = [ROOT / "README.md", ROOT / "Makefile", *(ROOT / "docs").rglob("*.md"), *CODE]
    for page in pages:
        text = page.read_text()
        assert "0.0.0.0" not in text, page
        for line in re.findall(
            r"^.*\b(?:mlflow (?:server|ui|models serve)|http\.server|jupyter)\b.*$", text, re.MULTILINE
        ):
            if line.startswith("    ") and page.suffix == ".md":
                assert "--host 127.0.0.1" in line, f"{page}: {line}"


# Nothing tells secrets.

SECRETS = {"AWS_SECRET_ACCESS_KEY": "s3cr3t-aws", "AWS_ACCESS_KEY_ID": "s3cr3t-id", "HF_TOKEN": "s3cr3t-token"}
SECRETS |= {"MLFLOW_TRACKING_PASSWORD": "s3cr3t-mlflow", "DVC_STUDIO_TOKEN": "s3cr3t-studio"}
TELLS = """
import os, time
from pathlib import Path
from aelab.tracking import Recorder
about = {"kind": "autoencoder", "family": "dense", "config": {"widths": [8]}, "shape": [1, 28, 28], "classes": 10}
about |= {"num_seeds": 1, "device": "cpu", "source": "data/train/ae", "weights": {"weights-0.safetensors": "0" * 32}}
with Recorder("digits", "train", "ae", keep=Path("tracked.jsonl")) as recorder:
    spool = Path(os.environ["DVC_ROOT"], ".aelab")
    recorder.params({"seed": 1})
    recorder.metrics({"score": 1.0})
    recorder.dataset(name="digits", digest="0123", source="data/prepare", context="train")
    recorder.model(about, {"sse": [3.0]}, "encoder", "of its score")
    while not (any(spool.glob("*/writer.error")) or any(Path(os.environ["DVC_ROOT"]).rglob("MLmodel"))):
        time.sleep(0.05)
"""


@pytest.mark.parametrize("store", ["", "http://alice:s3cr3t-password@127.0.0.1:9"])
def test_no_secret_reaches_store_spool_record_or_words(tmp_path, store):
    folder = tmp_path / "project"
    folder.mkdir()
    drop = ("MLFLOW_", "DVC_", "AELAB_")
    environment = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
    environment |= SECRETS | {"DVC_ROOT": str(folder), "PYTHONPATH": str(ROOT / "src"), "no_proxy": "*"}
    environment |= {"MLFLOW_TRACKING_URI": store} if store else {}
    for command in (["init", "-q"], ["remote", "add", "origin", "https://bob:s3cr3t-git@127.0.0.1/x.git"]):
        subprocess.run(["git", *command], cwd=folder, check=True)
    done = subprocess.run(
        [sys.executable, "-c", TELLS], cwd=folder, env=environment, capture_output=True, timeout=PATIENCE, check=True
    )
    if not store:
        wait_for(lambda: not any(folder.glob(".aelab/*/*.jsonl")))
    files = [path for path in folder.rglob("*") if path.is_file() and ".git" not in path.relative_to(folder).parts]
    assert {path.name for path in files} >= {"tracked.jsonl", "writer.log"} | (
        {"mlflow.db", "MLmodel"} if not store else {"writer.error"}
    )
    for path in files:
        assert b"s3cr3t" not in path.read_bytes(), path
    assert b"s3cr3t" not in done.stdout + done.stderr
    assert (b"tracking: " in done.stderr) == bool(store)
