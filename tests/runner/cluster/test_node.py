"""`aelab node`: a node knows its kind, and only who has the token gets in."""

import os
import re
import stat
import subprocess
from pathlib import Path

import psutil
import pytest
from cluster_nodes import AELAB, expected, project, ray
from conftest import PATIENCE, wait_for
from test_remotes import free_port, listens

pytestmark = pytest.mark.slow

NODE = [AELAB[0], "node"]


def environment(home: Path) -> dict[str, str]:
    """Of a user with this home."""
    return {key: value for key, value in os.environ.items() if not key.startswith("RAY_AUTH")} | {"HOME": str(home)}


def on(project: Path, home: Path, address: str, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [*AELAB, *options, "--on", address]
    return subprocess.run(
        command, cwd=project, env=environment(home) | more, capture_output=True, text=True, timeout=PATIENCE
    )


def test_a_head_by_itself_is_a_cluster_for_who_has_its_token(ray, project, expected, tmp_path):
    mine, other, port = tmp_path / "mine", tmp_path / "other", free_port()
    mine.mkdir()
    other.mkdir()
    words = [*NODE, "head", "--port", str(port), "--cpus", "2"]
    with open(tmp_path / "node.log", "w") as log:  # outside a project
        head = subprocess.Popen(words, cwd=tmp_path, env=environment(mine), stdout=log, stderr=log)
    try:
        wait_for(lambda: "Ray runtime started" in (tmp_path / "node.log").read_text() or head.poll() is not None)
        assert head.poll() is None, (tmp_path / "node.log").read_text()
        token = mine / ".ray" / "auth_token"
        assert stat.S_IMODE(token.stat().st_mode) == 0o600
        listening = [each for each in psutil.net_connections("tcp") if each.status == "LISTEN"]
        family = {each.pid for each in psutil.Process(head.pid).children(recursive=True)} | {head.pid}
        assert {each.laddr.ip.removeprefix("::ffff:") for each in listening if each.pid in family} == {"127.0.0.1"}
        done = on(project, mine, f"127.0.0.1:{port}")
        assert done.returncode == 0, done.stderr
        assert (project / "dvc.lock").read_bytes() == expected()
        (project / "params.yaml").write_text((project / "params.yaml").read_text() + "resources: {kind: nobody}\n")
        done = on(project, mine, f"127.0.0.1:{port}", "-f", "split")
        assert re.search(r"no node is of kind 'nobody'; there are: 'CPU-\w+-[\w.-]+'$", done.stderr), done.stderr
        done = on(project, other, f"127.0.0.1:{port}", "-f", "split", RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="0" * 64)
        assert done.returncode == 1
        assert f"--on 127.0.0.1:{port}: no Ray cluster answers there" in done.stderr.splitlines()[-1]
    finally:
        head.terminate()
        head.wait()
        wait_for(lambda: not listens(port))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (["somewhere"], "'somewhere' is no address; allowed: HOST:PORT of the head node, or head"),
        (["10.0.0.1:6379"], "127.0.0.1 is reached from nowhere else: give this machine's address as --host"),
    ],
)
def test_wrong_use_of_node_is_one_line(ray, tmp_path, words, line):
    done = subprocess.run([*NODE, *words], cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE)
    assert (done.returncode, done.stderr) == (1, f"aelab node: {line}\n")
