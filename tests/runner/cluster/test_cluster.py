"""`aelab repro --on`: the lock of `dvc repro`, from nodes without a shared disk, whatever happens to them."""

import os
import random
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from cluster_nodes import (
    AELAB,
    DVC,
    Nodes,
    begin,
    commit,
    expected,
    nodes,
    nothing_runs,
    project,
    ray,
    run,
    start,
    write,
)
from conftest import PATIENCE, wait_for
from ruamel.yaml import YAML

pytestmark = pytest.mark.slow


def lock(project: Path) -> bytes:
    return (project / "dvc.lock").read_bytes()


def test_a_cluster_made_for_the_run_gives_the_lock_of_dvc_repro(ray, project, expected):
    done = run(AELAB, project, "--on", "ray", "-j", "2")
    assert done.returncode == 0, done.stderr
    assert lock(project) == expected()
    assert done.stderr.splitlines()[-1].startswith("cluster: 8 stages on 1 nodes; ")
    assert "about left" in (project / "logs" / "left.log").read_text()
    again = run(AELAB, project, "--on", "ray")
    assert (again.returncode, again.stderr) == (0, "8 unchanged\n"), "no cluster is needed"
    status = subprocess.run([DVC[0], "status"], cwd=project, capture_output=True, text=True)
    assert "up to date" in status.stdout
    nothing_runs(project)


def test_nodes_with_caches_of_their_own_get_files_through_the_remote(nodes, project, expected):
    for _ in range(3):
        nodes.add()
    done = run(AELAB, project, "--on", nodes.address)
    assert done.returncode == 0, done.stderr
    assert lock(project) == expected()
    assert "nodes fetched" in done.stderr.splitlines()[-1]
    (project / "start.txt").write_text("another\n")
    commit(project)
    assert run(AELAB, project, "--on", nodes.address).returncode == 0
    (project / "start.txt").write_text("begin\n")
    back = run(AELAB, project, "--on", nodes.address)
    assert "8 cached" in back.stderr, "the run cache works as ever"
    assert lock(project) == expected()


def test_nodes_that_see_the_cache_move_nothing(nodes, project, expected):
    nodes.add(shared=True)
    (project / ".dvc" / "config.local").unlink()  # no remote
    done = run(AELAB, project, "--on", nodes.address)
    assert done.returncode == 0, done.stderr
    assert "fetched" not in done.stderr
    assert lock(project) == expected()


def test_without_a_remote_a_node_that_does_not_see_the_cache_is_one_line(nodes, project):
    nodes.add()
    (project / ".dvc" / "config.local").unlink()
    done = run(AELAB, project, "--on", nodes.address, "chain2")
    assert done.returncode == 1
    [line] = [text for text in done.stderr.splitlines() if text.startswith("chain1 failed")]
    assert "nodes that do not see DVC's cache need a DVC remote" in line


def test_a_stage_that_fails_says_why_as_it_does_here(nodes, project):
    nodes.add()
    (project / "helper.py").write_text("raise SystemExit('the helper is broken')\n")
    done = run(AELAB, project, "--on", nodes.address)
    assert done.returncode == 1
    assert "script failed: the helper is broken (all of it: logs/script.log)" in done.stderr
    assert "7 ran, 1 failed" in done.stderr


def test_while_nodes_and_workers_die(nodes, project, expected):
    """A node a second time round, and the process of a stage's worker: their stages run again elsewhere."""
    write(project, nap=3)
    commit(project)
    for _ in range(3):
        nodes.add()
    chance = random.Random(0)
    one = start(project, "--on", nodes.address)
    wait_for(lambda: nodes.workers())
    for _ in range(2):
        time.sleep(chance.uniform(0, 3))
        nodes.remove(chance.choice(nodes.nodes))
        nodes.add()
    wait_for(lambda: nodes.workers() or one.poll() is not None)
    for worker in nodes.workers()[:1]:
        worker.kill()
    _, stderr = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0, stderr
    assert lock(project) == expected(3)
    assert "sent again, as a node or worker was lost" in stderr.splitlines()[-1]
    nothing_runs(project)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_the_driver_dies_and_is_typed_again(nodes, project, expected, how):
    write(project, nap=2)
    commit(project)
    nodes.add()
    nodes.add()
    one = start(project, "--on", nodes.address)
    wait_for(lambda: (project / "split" / "text").exists())
    os.killpg(one.pid, how)
    _, stderr = one.communicate(timeout=PATIENCE)
    assert "Traceback" not in stderr
    assert one.returncode == (130 if how == signal.SIGINT else -how)
    nothing_runs(project)
    done = run(AELAB, project, "--on", nodes.address)
    assert done.returncode == 0, done.stderr
    load = YAML(typ="safe").load  # Ctrl-C wrote what had finished, which comes first in the file then
    assert lock(project) == expected(2) if how == signal.SIGKILL else load(lock(project)) == load(expected(2))


def test_the_remote_is_away_for_a_while(nodes, project, expected, tmp_path):
    nodes.add()
    nodes.add()
    one = start(project, "--on", nodes.address)
    wait_for(lambda: (project / "split" / "text").exists())
    (tmp_path / "remote").rename(tmp_path / "away")
    (tmp_path / "remote").write_text("as a disk that is gone: nothing can be put here")
    time.sleep(8)
    (tmp_path / "remote").unlink()
    (tmp_path / "away").rename(tmp_path / "remote")
    _, stderr = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0, stderr
    assert lock(project) == expected()


def test_damaged_files_of_caches_are_found_and_fetched_again(nodes, project, expected, tmp_path):
    nodes.add()
    assert run(AELAB, project, "--on", nodes.address, "split").returncode == 0
    for file in (tmp_path / "nodes").rglob("files/md5/*/*"):
        os.chmod(file, 0o644)
        file.write_bytes(b"damaged")
    done = run(AELAB, project, "--on", nodes.address)
    assert done.returncode == 0, done.stderr
    assert lock(project) == expected()


def test_a_node_with_a_full_disk_or_other_packages_is_left_out(nodes, project, expected, tmp_path):
    """Its packages say that they are others; its disk has 200 kB."""
    disk, fake = tmp_path / "disk", tmp_path / "packages" / "numpy-0.1.dist-info"
    disk.mkdir()
    fake.mkdir(parents=True)
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: numpy\nVersion: 0.1\n")
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    try:
        from importlib.metadata import version

        (project / "versions.lock").write_text(f"numpy=={version('numpy')}\n")
        text = (project / "dvc.yaml").read_text()
        big = "head -c 1000000 /dev/zero > lonely/zeros"
        (project / "dvc.yaml").write_text(
            text.replace("echo lonely >> lonely/text", f"echo lonely >> lonely/text && {big}")
        )
        commit(project)
        nodes.add(home=disk)
        nodes.add(PYTHONPATH=str(tmp_path / "packages"))
        done = run(AELAB, project, "--on", nodes.address, "lonely")
        assert done.returncode == 1
        line = next(text for text in done.stderr.splitlines() if text.startswith("lonely failed"))
        assert "no node of the cluster can run this" in line
        assert "numpy 0.1 there" in line
        nodes.add()
        assert run(AELAB, project, "--on", nodes.address).returncode == 0
        assert len((project / "lonely" / "zeros").read_bytes()) == 1000000
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_stages_go_to_one_kind_of_node(nodes, project, expected):
    nodes.add(cpus=2, kind="most")
    nodes.add(cpus=1, kind="other")
    done = run(AELAB, project, "--on", nodes.address)
    assert "8 stages on 1 nodes" in done.stderr, done.stderr
    (project / "params.yaml").write_text((project / "params.yaml").read_text() + "resources: {kind: nobody}\n")
    done = run(AELAB, project, "--on", nodes.address, "--force", "split")
    assert done.stderr.splitlines() == [
        "aelab repro: params.yaml: resources.kind: no node is of kind 'nobody'; there are: 'most', 'other'"
    ]


def test_several_studies_run_side_by_side(ray, tmp_path, expected):
    top = begin(tmp_path / "project")
    for name in ("one", "two"):
        folder = begin(top / "studies" / name)
        shutil.rmtree(folder / ".git")
        (folder / "start.txt").write_text(f"begin {name}\n")
    commit(top)
    alone = begin(tmp_path / "alone")
    (alone / "start.txt").write_text("begin one\n")
    assert run(DVC, alone).returncode == 0
    done = run(AELAB, top, "studies/one", "studies/two", "--on", "ray", "-j", "2")
    assert done.returncode == 0, done.stderr
    assert lock(top / "studies" / "one") == lock(alone)
    assert {"one: 8 ran", "two: 8 ran"} <= set(done.stderr.splitlines())
    (top / "studies" / "one" / "helper.py").write_text("raise SystemExit('the helper is broken')\n")
    (top / "studies" / "one" / "script.py").write_text("import helper\n")
    done = run(AELAB, top, "studies/one", "studies/two")
    assert done.returncode == 1
    assert "two: 8 unchanged" in done.stderr
    assert "one: script failed: the helper is broken" in done.stderr


def test_a_wrong_address_is_one_line(ray, project):
    for address in ("127.0.0.1:1", "somewhere", "ray://127.0.0.1:1"):
        done = run(AELAB, project, "--on", address)
        assert done.returncode == 1
        assert len(done.stderr.splitlines()) == 1, done.stderr
        assert address in done.stderr
