"""`aelab repro` on a real DVC project of shell commands: the lock of `dvc repro`, whatever happens on the way."""

import contextlib
import itertools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
from conftest import PATIENCE, STAGES, alive, wait_for
from dvc.repo import Repo
from dvc.repo.reproduce import collect_stages, get_active_graph, plan_repro
from ruamel.yaml import YAML

from aelab.runner import console, executors, pipeline
from aelab.runner.lockfile import LockfileWriter

AELAB, DVC = ([str(Path(sys.executable).with_name(name)), "repro"] for name in ("aelab", "dvc"))


def write(folder: Path, wait: str = "sleep 0.1", meeting: tuple[str, ...] = ()) -> None:
    """The pipeline: each stage notes that it runs, waits, and writes what it read; those of a meeting wait for each
    other's beginning."""
    stages = {}
    for name, reads in STAGES.items():
        inputs = " ".join(f"{each}.txt" for each in reads)
        meet = "".join(f"; until grep -q {each} ran.log; do sleep 0.05; done" for each in meeting if name in meeting)
        wait_here = f"echo $$ {name} >> ran.log; echo about {name}; {wait}{meet}"
        cmd = f'{wait_here}; test ! -e fail-{name} && (cat {inputs}; echo {name} "$CUDA_VISIBLE_DEVICES") > {name}.txt'
        stages[name] = {"cmd": cmd, "deps": [f"{each}.txt" for each in reads], "outs": [f"{name}.txt"]}
    items = {"cmd": "cat join.txt > ${item}.item", "deps": ["join.txt"], "outs": ["${item}.item"]}
    stages["item"] = {"foreach": ["a", "b"], "do": items}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))


def begin(folder: Path) -> Path:
    """A project in which nothing has run."""
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc" / "config").write_text("[core]\nno_scm = true\nanalytics = false\n")
    (folder / "start.txt").write_text("begin\n")
    write(folder)
    return folder


@pytest.fixture
def project(tmp_path):
    return begin(tmp_path / "project")


def run(command: list[str], folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True, timeout=PATIENCE)


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*AELAB, *options], cwd=folder, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


def ran(folder: Path) -> list[str]:
    """Names of the stages that ran, oldest first."""
    log = folder / "ran.log"
    return [line.split()[1] for line in log.read_text().splitlines()] if log.exists() else []


def timeless(lock: bytes) -> bytes:
    """A lock without the stages' naps."""
    return re.sub(rb"sleep [\d.]+", b"", lock)


def end(children: list[psutil.Process]) -> None:
    """Stages of the lab die with their parent; shell commands need help."""
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    wait_for(lambda: not any(alive(child.pid) for child in children))


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The lock that `dvc repro` writes."""
    other = begin(tmp_path_factory.mktemp("serial") / "project")
    done = run(DVC, other)
    assert done.returncode == 0, done.stderr
    return (other / "dvc.lock").read_bytes()


def test_the_lock_is_that_of_dvc_repro_and_a_second_run_does_nothing(project, expected):
    done = run(AELAB, project, "-j", "4")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert done.stderr.splitlines()[-1] == "9 ran"
    assert (project / "dvc.lock").read_bytes() == expected
    assert sorted(ran(project)) == sorted(STAGES)
    assert "about left" in (project / "logs" / "left.log").read_text()
    again = run(AELAB, project)
    assert (again.returncode, again.stderr) == (0, "9 unchanged\n")
    status = subprocess.run([DVC[0], "status"], cwd=project, capture_output=True, text=True)
    assert "up to date" in status.stdout


def test_stages_run_side_by_side_and_never_before_what_they_read(project):
    write(project, meeting=("split", "chain1", "lonely"))  # one after another they would wait without end
    assert run(AELAB, project, "-j", "4").returncode == 0
    order = ran(project)
    assert sorted(order) == sorted(STAGES)
    for name, reads in STAGES.items():
        assert all(order.index(each) < order.index(name) for each in reads if each in order)


def test_what_most_others_wait_for_begins_first(project):
    assert run(AELAB, project, "-j", "1").returncode == 0
    order = [line.split()[1] for line in (project / "ran.log").read_text().splitlines()]
    assert order == ["split", "left", "right", "join", "chain1", "chain2", "lonely"]


def test_what_changed_runs_again_and_what_was_there_before_comes_from_the_cache(project, expected):
    run(AELAB, project)
    (project / "start.txt").write_text("another\n")
    assert run(AELAB, project).stderr.splitlines()[-1] == "9 ran"
    (project / "start.txt").write_text("begin\n")
    assert run(AELAB, project).stderr.splitlines()[-1] == "9 cached"
    assert (project / "dvc.lock").read_bytes() == expected
    (project / "left.txt").unlink()
    assert run(AELAB, project).stderr.splitlines()[-1] == "1 cached, 8 unchanged"
    assert run(AELAB, project, "--force", "left").stderr.splitlines()[-1] == "2 ran"


def test_a_failure_stops_what_depends_on_it_only(project, expected):
    (project / "fail-left").touch()
    done = run(AELAB, project)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-2:] == [
        "5 ran, 1 failed, 3 skipped",
        "left failed: about left (all of it: logs/left.log)",
    ]
    (project / "fail-left").unlink()
    assert run(AELAB, project).stderr.splitlines()[-1] == "4 ran, 5 unchanged"
    load = YAML(typ="safe").load  # the failed stage comes last in the file
    assert load((project / "dvc.lock").read_bytes()) == load(expected)


def test_a_stage_without_its_out_fails_in_dvc_s_words(project):
    text = (project / "dvc.yaml").read_text()
    (project / "dvc.yaml").write_text(text.replace('> lonely.txt"', '> elsewhere"'))
    done = run(AELAB, project)
    assert done.returncode == 1
    assert "lonely.txt' does not exist" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("begun", [0, 5])
def test_killed_at_any_moment_and_typed_again_it_ends_in_the_same_lock(project, expected, begun):
    """So many stages have begun, and then some."""
    write(project, "sleep 0.4")
    run_one = start(project, "-j", "4")
    wait_for(lambda: len(ran(project)) >= begun)
    time.sleep(random.Random(begun).uniform(0, 1))
    process = psutil.Process(run_one.pid)
    process.suspend()  # it starts no other stage now
    children = process.children(recursive=True)
    run_one.kill()
    run_one.communicate()
    end(children)
    write(project)
    done = run(AELAB, project)
    assert done.returncode == 0, done.stderr
    assert timeless((project / "dvc.lock").read_bytes()) == timeless(expected)


def test_a_lock_that_could_not_be_written_has_the_same_order_when_it_can(project, expected, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    assert run(AELAB, project).returncode == 0
    (project / "dvc.lock").unlink()
    monkeypatch.chdir(project)
    with Repo() as repo:
        plan = plan_repro(get_active_graph(repo.index.graph), collect_stages(repo, ["dvc.yaml"]))
        books = LockfileWriter(repo)
        with books.locked():
            books.open(plan)
            assert all(books.restored(stage) for stage in reversed(plan))  # the last one was ready first
            with monkeypatch.context() as disk:
                disk.setattr("os.replace", full)
                with pytest.raises(OSError, match="No space"):
                    books.write()
            assert not (project / "dvc.lock").exists()
            books.write(everything=True)
    assert (project / "dvc.lock").read_bytes() == expected


def test_a_note_of_dvc_s_that_a_kill_left_torn_is_no_obstacle(project, expected):
    (project / ".dvc" / "tmp").mkdir(parents=True)
    (project / ".dvc" / "tmp" / "rwlock").write_text('{"read": {"')
    assert run(AELAB, project).returncode == 0
    assert (project / "dvc.lock").read_bytes() == expected


def test_ctrl_c_ends_the_stages_and_keeps_what_had_finished(project):
    write(project, f"test ! -e split.txt || sleep {PATIENCE}")  # the second stage, and each after it
    mine = start(project, "-j", "1")
    wait_for(lambda: len(ran(project)) > 1)
    children = psutil.Process(mine.pid).children(recursive=True)
    os.killpg(mine.pid, signal.SIGINT)
    _, stderr = mine.communicate(timeout=PATIENCE)
    assert mine.returncode == 130
    assert "Traceback" not in stderr
    wait_for(lambda: not any(alive(child.pid) for child in children))
    assert f"  {ran(project)[0]}:" in (project / "dvc.lock").read_text()


LATE = """
from aelab.runner import dvc_api
from dvc.lock import make_lock
def held():
    try:
        yield
    finally:
        with make_lock("a lock", tmp_dir="."):
            pass
generator = held()
next(generator)
"""


def test_dvc_s_lock_taken_while_the_interpreter_ends_does_not_wait_for_ever(tmp_path):
    subprocess.run([sys.executable, "-c", LATE], cwd=tmp_path, stderr=subprocess.DEVNULL, timeout=60, check=True)


def test_two_at_once_never_work_on_the_same_out(project, expected):
    write(project, "sleep 0.5")
    both = [start(project, "-j", "2") for _ in range(2)]
    ended = [each.communicate(timeout=PATIENCE)[1] for each in both]
    assert [each.returncode for each in both] == [0, 0], ended
    assert sorted(ran(project)) == sorted(STAGES)  # each once
    assert timeless((project / "dvc.lock").read_bytes()) == timeless(expected)


SEEDS = """
import os, time
from aelab.runner import cores, parallel
def note(sign):
    with open("turns.log", "a") as log:
        log.write(sign)
def work(replicate, metrics):
    note("+")
    time.sleep(0.2)
    note("-")
    return os.getpid()
with cores.turn():
    pids = parallel.run(work, 3)
with open(os.environ["DVC_STAGE"] + ".out", "w") as out:
    print(len(set(pids)), file=out)
"""


def test_stages_and_the_seeds_that_they_fork_share_the_cores(project):
    (project / "seeds.py").write_text(SEEDS)
    stages = {
        name: {"cmd": f"{sys.executable} seeds.py", "deps": ["seeds.py"], "outs": [f"{name}.out"]} for name in "abc"
    }
    (project / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    done = run(AELAB, project, "-j", "2")
    assert done.returncode == 0, done.stderr
    working = list(itertools.accumulate(1 if sign == "+" else -1 for sign in (project / "turns.log").read_text()))
    assert (len(working), max(working)) == (18, 2)
    assert {(project / f"{name}.out").read_text() for name in "abc"} == {"3\n"}, "each in a process of its own"


def test_outs_that_the_cache_does_not_hold_whole_twice_are_no_results(project, monkeypatch):
    """As on a damaged disk, or beside a process that still writes them: neither can be had at will."""
    monkeypatch.chdir(project)
    monkeypatch.setattr("aelab.runner.recovery.whole", lambda repo, stage: "lonely" not in stage.addressing)
    view = console.Lines()
    assert pipeline.repro([], view, executors.Local(2)) == ["lonely"]
    assert view.summary() == "8 ran, 1 failed"
    assert (project / "logs/lonely.log").read_text().splitlines()[-1] == pipeline.NOT_KEPT
    assert b"lonely.txt" not in (project / "dvc.lock").read_bytes()


def test_gpus_are_shared_out(project):
    write(project, meeting=("split", "chain1"))
    assert run(AELAB, project, "-j", "2", "--gpus", "3,5").returncode == 0
    used = {name: (project / f"{name}.txt").read_text().split("\n")[-2].split()[-1] for name in ("split", "chain1")}
    assert set(used.values()) == {"3", "5"}


def test_wrong_use_is_one_line(project, tmp_path):
    done = run(AELAB, project, "trian")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
    assert "trian" in done.stderr
    (tmp_path / "empty").mkdir()
    done = run(AELAB, tmp_path / "empty")
    assert (done.returncode, len(done.stderr.splitlines())) == (1, 1)
