"""Real file systems that are full or read-only, mounted for one process alone."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE
from entries import in_epochs

AELAB, DVC = (str(Path(sys.executable).with_name(name)) for name in ("aelab", "dvc"))
UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-e", "-c"]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or subprocess.run([*UNSHARE, "mount -t tmpfs none /mnt"], capture_output=True).returncode,
    reason="this system lets nobody mount a file system of their own",
)


def run(lab, script: str) -> subprocess.CompletedProcess[str]:
    """A shell script in the lab's folder, whose mounts end with it."""
    env = lab.env | {"PYTHON": sys.executable, "AELAB_CHECKPOINT": "0"}
    return subprocess.run([*UNSHARE, script], cwd=lab.folder, env=env, capture_output=True, text=True, timeout=PATIENCE)


def test_a_full_disk_is_one_line_and_leaves_nothing(lab):
    (lab.folder / "data").mkdir()
    script = "mount -t tmpfs -o size=2m none data; $PYTHON stages/download.py || true; find data -type f"
    done = run(lab, script)
    assert done.stderr == "download: data/download: not made (No space left on device)\n"
    assert done.stdout == "data/.scratch/data-download.lock\n"


def shrink(tree) -> None:
    tree["prepare"]["limit"] = 40
    tree["train"] |= {"batch_size": 20, **in_epochs(2), "num_seeds": 1}
    tree["models"] = {"wide": {"family": "dense", "widths": [1000]}}  # 6 MB of weights, 25 MB of checkpoint


def test_a_disk_too_full_for_checkpoints_costs_them_and_not_the_training(prepared):
    prepared.change(shrink)
    prepared.run("prepare")
    prepared.run("train", "wide")
    whole = prepared.folder / "data/train/wide"
    whole.rename(prepared.folder / "whole")
    (prepared.folder / "data/prepare").rename(prepared.folder / "prepared")
    script = """mount -t tmpfs -o size=16m none data; cp -r prepared data/prepare
        $PYTHON stages/train.py wide; cp -r data/train/wide another; ls -A data"""
    done = run(prepared, script)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines
    assert all(line.endswith(".safetensors: not written (No space left on device)") for line in lines)
    assert done.stdout.split() == [".checkpoints", ".scratch", "prepare", "train"]
    for file in (prepared.folder / "whole").iterdir():
        assert (prepared.folder / "another" / file.name).read_bytes() == file.read_bytes(), file.name


@pytest.mark.parametrize("words", ["download", "train vae"])
def test_a_folder_that_may_only_be_read_is_one_line(prepared, words):
    stage, _, item = words.partition(" ")
    script = f"mount --bind data data; mount -o remount,ro,bind data; $PYTHON stages/{stage}.py {item}"
    done = run(prepared, script)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"{words}: [Errno 30] Read-only file system: ")
    assert "data/.scratch" in line


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    """Two stages after `aelab repro`, of whom the first now reads something else, and the dvc.lock that follows."""
    folder = tmp_path_factory.mktemp("pipeline") / "pipeline"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_text("[core]\nno_scm = true\nanalytics = false\n")
    stages = {
        "make": {"cmd": "cp start.txt made.txt", "deps": ["start.txt"], "outs": ["made.txt"]},
        "read": {"cmd": "cat made.txt made.txt > read.txt", "deps": ["made.txt"], "outs": ["read.txt"]},
    }
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    repro = {"args": [AELAB, "repro"], "check": True, "capture_output": True, "timeout": PATIENCE}
    (folder / "start.txt").write_text("begin\n")
    subprocess.run(**repro, cwd=folder)
    (folder / "start.txt").write_text("another\n")
    shutil.copytree(folder, folder.with_name("after"))
    subprocess.run(**repro, cwd=folder.with_name("after"))
    return folder, (folder.with_name("after") / "dvc.lock").read_bytes()


@pytest.mark.parametrize("free", [0, 8, 16])
def test_a_disk_that_fills_up_leaves_a_lock_that_dvc_can_read(pipeline, free):
    folder, expected = pipeline
    script = f"""mount -t tmpfs -o size=400k none /mnt; cp -r . /mnt; cd /mnt
        head -c 1M /dev/zero > filler 2> /dev/null || true; truncate -s -{free}k filler
        {AELAB} repro && exit 1; rm filler; {DVC} status > /dev/null
        {AELAB} repro 2> /dev/null; cat dvc.lock"""
    done = subprocess.run([*UNSHARE, script], cwd=folder, capture_output=True, timeout=PATIENCE)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr
    assert done.stdout == expected
