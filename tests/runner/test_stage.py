"""The frame around every stage, with real processes: whole results or none, and one line for what went wrong."""

import signal
import subprocess
import sys

import pytest
from conftest import PATIENCE, alive, failed, wait_for

VAE = "vae: {family: vae, hidden: [400], latent_dim: 20, lr: 6e-3, max_steps: 2500, num_seeds: 5}"

# a stage that makes a file, says so, and then waits to be told
HOLD = """
import time
from pathlib import Path
from aelab.runner import stage

def hold(job):
    (job.out / "half").write_text(job.name)
    Path("working").touch()
    while not Path("go").exists():
        time.sleep(0.01)
    (job.out / "whole").write_text("done")

if __name__ == "__main__":
    stage.main(hold)
"""


@pytest.fixture
def hold(lab):
    """A lab with the stage `hold`; what still runs of it is ended."""
    (lab.folder / "stages/hold.py").write_text(HOLD)
    yield lab
    (lab.folder / "go").touch()


def begun(lab, *items, **options) -> subprocess.Popen:
    process = lab.start("hold", *items, **options)
    wait_for((lab.folder / "working").exists)
    return process


def test_a_result_appears_whole_or_not_at_all(hold):
    process = begun(hold)
    assert not (hold.folder / "data/hold").exists()
    (hold.folder / "go").touch()
    assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == 0
    assert hold.files() == {"data/hold": b"", "data/hold/half": b"", "data/hold/whole": b"done"}


def test_an_item_has_a_folder_of_its_own_name(hold):
    (hold.folder / "go").touch()
    hold.run("hold", "train/vae")
    hold.run("hold", "ae")
    assert (hold.folder / "data/hold/vae/half").read_text() == "vae"
    assert (hold.folder / "data/hold/ae/half").read_text() == "ae"


@pytest.mark.parametrize("linked", [False, True], ids=["a folder", "a link to one"])
def test_a_new_result_replaces_the_old_one_entirely(hold, linked):
    old, result = hold.folder / "elsewhere", hold.folder / "data/hold"
    (old if linked else result).mkdir(parents=True)
    if linked:
        result.parent.mkdir()
        result.symlink_to(old)
    (result / "old").touch()
    (hold.folder / "go").touch()
    hold.run("hold")
    assert not (result / "old").exists()
    assert (old / "old").exists() == linked, "what a link leads to is not ours"


COMPARE = """
import sys
from aelab.runner import stage

def compare(job):
    (job.out / "figures").mkdir()
    (job.out / "figures/new.png").touch()
    (job.out / "table.csv").write_text("new")
    if job.item == "broken":
        raise ValueError("no model to compare")

stage.main(compare)
"""


def test_the_comparison_replaces_its_own_files_and_no_others(lab):
    (lab.folder / "stages/compare.py").write_text(COMPARE)
    before = {"table.csv": "old", "figures/old.png": "", "sweeps/vae/history.png": "of a search", "notes.txt": "mine"}
    for name, text in before.items():
        (lab.folder / "metrics" / name).parent.mkdir(parents=True, exist_ok=True)
        (lab.folder / "metrics" / name).write_text(text)

    def files() -> dict[str, str]:
        paths = [path for path in (lab.folder / "metrics").rglob("*") if path.is_file()]
        return {str(path.relative_to(lab.folder / "metrics")): path.read_text() for path in paths}

    lab.fail("compare", "broken")
    assert files() == before
    lab.run("compare")
    others = {name: before[name] for name in ("sweeps/vae/history.png", "notes.txt")}
    assert files() == others | {"table.csv": "new", "figures/new.png": ""}


def test_a_second_process_of_a_stage_says_so_and_harms_nothing(hold):
    first = begun(hold, "vae")
    line = failed(hold.start("hold", "vae"))
    assert line == "hold vae: data/hold/vae: another run of this stage is at work on it; wait for it or end it"
    assert first.poll() is None
    other = hold.start("hold", "ae")  # another item is another result
    (hold.folder / "go").touch()
    for process in (first, other):
        assert process.communicate(timeout=PATIENCE) == ("", "")
        assert process.returncode == 0
    assert (hold.folder / "data/hold/vae/whole").read_text() == "done"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stage_told_to_end_leaves_nothing_and_its_old_result(hold, number, code):
    (hold.folder / "data/hold").mkdir(parents=True)
    (hold.folder / "data/hold/old").touch()
    before = hold.files()
    process = begun(hold)
    process.send_signal(number)
    assert process.communicate(timeout=PATIENCE) == ("", "")
    assert process.returncode == code
    assert hold.files() == before


def test_what_a_killed_stage_left_is_no_hindrance(hold):
    process = begun(hold)
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert not (hold.folder / "data/hold").exists()
    (hold.folder / "go").touch()
    hold.run("hold")
    assert (hold.folder / "data/hold/whole").read_text() == "done"


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_stage_ends_with_its_killed_parent(hold):
    code = (
        "import subprocess, sys; print(subprocess.Popen([sys.executable, 'stages/hold.py']).pid, flush=True); input()"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=hold.folder,
        env=hold.env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    stage = int(parent.stdout.readline())
    wait_for((hold.folder / "working").exists)
    assert alive(stage)
    parent.kill()
    parent.communicate(timeout=PATIENCE)
    wait_for(lambda: not alive(stage))
    assert hold.files() == {}
    (hold.folder / "go").touch()
    hold.run("hold")  # its lock is gone with it


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("name: mnist5k ", "nmae: mnist5k ", "data.nmae: unknown key (did you mean name?); allowed: name"),
        (
            "name: mnist5k ",
            "name: mnist6k ",
            "data.name: 'mnist6k' is unknown; allowed: mnist5k, sprites, breast_cancer, ",
        ),
        ("name: mnist5k ", "name: 5 ", "data.name: 5 is wrong; allowed: a valid string"),
        ("  name: mnist5k ", "  # ", "data: None is not a block of keys; allowed: name"),
        ("\nseed: 1\n", "\nseed: [1\n", "not readable as YAML: while parsing a flow sequence"),
        ("\nseed: 1\n", "\nseed: 1\nseed: 2\n", "not readable as YAML: while constructing a mapping"),
    ],
)
def test_a_wrong_parameter_ends_the_stage_in_one_line(lab, old, new, line):
    lab.edit(old, new)
    assert lab.fail("download").startswith(f"download: params.yaml: {line}")


def test_more_memory_than_there_is_is_one_line(prepared):
    prepared.edit(VAE, VAE.replace("400", "2000000000"))
    line = prepared.fail("train", "vae")
    assert line == "train vae: out of memory; smaller widths, batches or fewer images need less"


@pytest.mark.parametrize("items", [("",), ("vae", "ae")])
def test_arguments_that_are_no_name_of_an_entry_are_one_line(lab, items):
    line = failed(lab.start("train", *items))
    assert line == f"train: arguments {list(items)}; allowed: one name, or none where the stage has no items"


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("latent_dim: 20,", "latent_dim: 20, beta: -1,", "beta: -1.0 is wrong; allowed: 0 or more"),
        (
            "family: vae",
            "family: vea",
            "family: 'vea': unknown family (did you mean vae?); allowed: closed_form,",
        ),
    ],
)
def test_a_wrong_entry_ends_training_in_one_line(prepared, old, new, line):
    prepared.edit(VAE, VAE.replace(old, new))
    assert prepared.fail("train", "vae").startswith(f"train vae: params.yaml: models.vae.{line}")


@pytest.mark.parametrize(
    ("stage", "items", "missing"),
    [
        ("prepare", (), "data/download/meta.json"),
        ("train", ("vae",), "data/prepare/learning/meta.json"),
    ],
)
def test_a_stage_without_what_it_reads_names_the_file(lab, stage, items, missing):
    line = lab.fail(stage, *items)
    assert line == f"{' '.join((stage, *items))}: {missing}: not found; `dvc repro` makes it"


@pytest.mark.parametrize("name", ["meta.json", "train/x.npy"])
def test_a_missing_or_damaged_file_is_named_and_the_old_result_stays(prepared, name):
    file = prepared.folder / "data/download" / name
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2])
    assert prepared.fail("prepare").startswith(f"prepare: data/download/{name}: not ")
    file.unlink()
    assert prepared.fail("prepare") == f"prepare: data/download/{name}: not found; `dvc repro` makes it"


def test_a_traceback_is_shown_to_those_who_ask(lab):
    process = lab.start("prepare", env={"AELAB_TRACEBACK": "1"})
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "Traceback" in errors
    assert errors.splitlines()[-1].startswith("prepare: data/download/meta.json: not found")
