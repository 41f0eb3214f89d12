"""Real file systems that are full or read-only, mounted for one process alone."""

import subprocess
import sys

import pytest

UNSHARE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-e", "-c"]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or subprocess.run([*UNSHARE, "mount -t tmpfs none /mnt"], capture_output=True).returncode,
    reason="this system lets nobody mount a file system of their own",
)


def run(lab, script: str) -> subprocess.CompletedProcess[str]:
    """A shell script in the lab's folder, whose mounts end with it."""
    env = lab.env | {"PYTHON": sys.executable, "AELAB_CHECKPOINT": "0"}
    return subprocess.run([*UNSHARE, script], cwd=lab.folder, env=env, capture_output=True, text=True, timeout=200)


def test_a_full_disk_is_one_line_and_leaves_nothing(lab):
    (lab.folder / "data").mkdir()
    script = "mount -t tmpfs -o size=2m none data; $PYTHON stages/download.py || true; find data -type f"
    done = run(lab, script)
    assert done.stderr == "download: data/download: not made (No space left on device)\n"
    assert done.stdout == "data/.scratch/data-download.lock\n"


def shrink(tree) -> None:
    tree["prepare"]["limit"] = 40
    tree["train"] |= {"batch": 20, "epochs": 2, "replicates": 1, "epochs_factor": {}, "batch_factor": {}}
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
