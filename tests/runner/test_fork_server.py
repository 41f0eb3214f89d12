"""Stages as forks of a process that has their libraries: to a script, as if it had been typed."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import alive, wait_for

from aelab.config import runtime
from aelab.runner import fork_server

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems start stages as DVC does")
ABOUT = """
import json, os, sys, __main__
print("said", flush=True)
print("complained", file=sys.stderr)
mine = [name for name in sys.modules if name.split(".")[0] == "aelab"]
found = {"words": sys.argv, "folder": os.getcwd(), "path": sys.path[0], "main": __name__ + __main__.__name__}
found |= {"environment": dict(os.environ), "torch": "torch" in sys.modules, "mine": mine}
open("found.json", "w").write(json.dumps(found))
"""


@pytest.fixture(scope="module")
def server():
    made = fork_server.Server(os.environ | runtime.ENVIRONMENT)
    yield made
    made.close()


@pytest.fixture
def begin(server, tmp_path):
    """Writes a script and starts it."""
    (tmp_path / "stages").mkdir()

    def begin(text, *words, server=server):
        (tmp_path / "stages/script.py").write_text(text)
        environment = {"PATH": os.environ["PATH"], "COLOUR": "green"}
        return server.start(["stages/script.py", *words], str(tmp_path), environment, tmp_path / "log")

    return begin


def test_a_script_finds_what_it_would_find_if_it_had_been_typed(begin, tmp_path):
    assert begin(ABOUT, "vae").wait() == 0
    found = json.loads((tmp_path / "found.json").read_text())
    assert found["words"] == ["stages/script.py", "vae"]
    assert (found["folder"], found["path"]) == (str(tmp_path), str(tmp_path / "stages"))
    assert found["main"] == "__main__" * 2
    assert found["environment"] == {"PATH": os.environ["PATH"], "COLOUR": "green"}
    assert (found["torch"], found["mine"]) == (True, [])
    assert sorted((tmp_path / "log").read_text().splitlines()) == ["complained", "said"]


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("import sys; sys.exit('no such model')", 1, "no such model\n"),
        ("import sys; sys.exit(3)", 3, ""),
        ("import os; os._exit(4)", 4, ""),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -9, ""),
    ],
)
def test_its_end_needs_and_what_it_said_is_in_its_log(begin, tmp_path, text, code, said):
    (tmp_path / "log").write_text("of an earlier run, which was longer than this one")
    assert begin(text).wait() == code
    assert (tmp_path / "log").read_text() == said


def test_a_mistake_comes_with_its_traceback(begin, tmp_path):
    assert begin("{}['gone']").wait() == 1
    assert (tmp_path / "log").read_text().rstrip().endswith("KeyError: 'gone'")


def test_a_stage_computes_the_bits_of_a_process_of_its_own(begin, tmp_path):
    text = """if True:
        from aelab.config import runtime, seeding
        device = runtime.pin("cpu", 1)
        import torch
        x = torch.rand(300, 200, generator=seeding.generator(1))
        found = (x.t() @ x).sum(), torch.conv2d(x[None, None], x[None, None, :5, :5]).sum()
        print(runtime.describe(device), *(each.item() for each in found))
    """
    assert begin(text).wait() == 0
    alone = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True).stdout
    assert (tmp_path / "log").read_text() == alone


def test_several_work_at_once_and_one_is_ended(begin, tmp_path):
    here, there = tmp_path / "here", tmp_path / "there"
    meet = """
import sys, time
from pathlib import Path
Path(sys.argv[1]).touch()
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
"""
    first, second = begin(meet, str(here), str(there)), begin(meet, str(there), str(here))
    assert (first.wait(), second.wait()) == (0, 0)
    third = begin(meet, str(here), str(tmp_path / "never"))
    assert third.poll() is None
    third.terminate()
    assert third.wait() == -signal.SIGTERM


def test_they_end_with_who_started_them(begin, tmp_path):
    server = fork_server.Server(os.environ | runtime.ENVIRONMENT)
    stage = begin("import time; open('begun', 'w'); time.sleep(300)", server=server)
    wait_for((tmp_path / "begun").exists)
    stage.poll()
    server.close()
    wait_for(lambda: not alive(stage.pid))


def test_where_the_process_with_the_libraries_dies_its_stages_have_failed(begin):
    server = fork_server.Server(os.environ | runtime.ENVIRONMENT)
    server.process.kill()
    server.process.wait()
    assert begin("", server=server).wait() == -signal.SIGKILL
    assert begin("", server=server).wait() == -signal.SIGKILL
    server.close()


def test_only_plain_commands_of_this_python_are_scripts(monkeypatch):
    monkeypatch.setenv("PATH", str(Path(sys.executable).parent))
    assert fork_server.arguments("python stages/train.py vae") == ["stages/train.py", "vae"]
    others = [
        "python -m x",
        "python",
        "cat x.py",
        "python x.py > y",
        "python x.py $HOME",
        "A=1 python x.py",
        "python x.py &",
    ]
    assert [fork_server.arguments(each) for each in others] == [[]] * len(others)
    monkeypatch.setenv("PATH", "/usr/bin")
    assert fork_server.arguments("python stages/train.py vae") == []
