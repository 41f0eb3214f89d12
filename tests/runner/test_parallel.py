"""Seeds side by side: the same results as one after another, and no failure is lost."""

import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import PATIENCE, alive, wait_for

from aelab.runner import parallel


@pytest.fixture
def cores(monkeypatch):
    return lambda count: monkeypatch.setattr(parallel.cores, "count", lambda: count)


def ignore(values, step=0, replicate=None): ...


def working(replicate, metrics):
    for step in range(3):
        metrics({"loss": replicate + step / 3}, step=step, replicate=replicate)
    return {"replicate": replicate, "value": [0.1 + replicate / 3, float("inf")], "pid": os.getpid()}


@pytest.mark.parametrize("count", [1, 2, 5])
def test_side_by_side_gives_what_one_after_another_gives(cores, count):
    cores(3)
    heard: dict[bool, list] = {True: [], False: []}
    found = {}
    for alone, notes in heard.items():

        def note(values, step=0, replicate=None, notes=notes):
            notes.append((replicate, step, values))

        found[alone] = parallel.run(working, count, note, sequential=alone)
    pids = {alone: [each.pop("pid") for each in results] for alone, results in found.items()}
    assert found[True] == found[False]
    assert sorted(heard[True], key=str) == sorted(heard[False], key=str)
    assert len(heard[True]) == 3 * count
    assert set(pids[True]) == {os.getpid()}
    assert len(set(pids[False])) == count
    assert pids[False][0] == os.getpid()


def test_no_more_than_there_are_cores_work_at_once(cores, tmp_path):
    cores(2)

    def work(replicate, metrics):
        begin = time.monotonic()
        time.sleep(0.2)
        return begin, time.monotonic()

    spans = parallel.run(work, 5, ignore)
    assert max(sum(a <= begin < b for a, b in spans) for begin, _ in spans) <= 2


@pytest.mark.parametrize(
    "error",
    [ValueError("lr: 3 is wrong"), ArithmeticError("replicate 1, epoch 2: nan"), OSError(28, "No space", "data/x")],
    ids=repr,
)
@pytest.mark.parametrize("at", [0, 1])
def test_what_a_seed_raises_is_raised(cores, error, at):
    cores(2)

    def work(replicate, metrics):
        if replicate == at:
            raise error
        time.sleep(0.1)

    with pytest.raises(type(error)) as raised:
        parallel.run(work, 2, ignore)
    assert str(raised.value) == str(error)
    assert getattr(raised.value, "filename", None) == getattr(error, "filename", None)


def test_another_mistake_comes_with_the_child_s_traceback(cores):
    cores(2)
    with pytest.raises(RuntimeError, match=r"(?s)test_parallel.py.*KeyError: 1"):
        parallel.run(lambda replicate, metrics: {0: "fine"}[replicate], 2, ignore)


def test_a_child_that_dies_without_a_word_is_missed(cores):
    cores(2)
    with pytest.raises(ChildProcessError, match=r"^replicate 1: its process ended with status -9$"):
        parallel.run(lambda replicate, metrics: replicate and os.kill(os.getpid(), signal.SIGKILL), 2, ignore)


def test_a_failure_here_ends_the_others(cores, tmp_path):
    cores(2)

    def work(replicate, metrics):
        if replicate:
            (tmp_path / "pid").write_text(str(os.getpid()))
            time.sleep(2 * PATIENCE)
        wait_for(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        raise ValueError("enough")

    with pytest.raises(ValueError, match=r"^enough$"):
        parallel.run(work, 2, ignore)
    assert not alive(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_children_end_with_their_killed_parent(tmp_path):
    code = (
        "import os, sys, time; from aelab.runner import parallel; parallel.cores.count = lambda: 2\n"
        "def work(replicate, metrics):\n"
        "    if replicate: print(os.getpid(), flush=True)\n"
        "    time.sleep(3600)\n"
        "parallel.run(work, 2, lambda *_, **__: None)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    wait_for(lambda: not alive(child))
