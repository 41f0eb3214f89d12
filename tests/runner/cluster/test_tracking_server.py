"""MLflow on PostgreSQL with artifacts through its server: many writers at once, a server that is killed, a cluster."""

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from cluster_nodes import AELAB, Nodes, begin, commit, nodes, nothing_runs, ray, remote, start
from conftest import PATIENCE, wait_for
from test_remotes import free_port, listens

pytestmark = pytest.mark.slow

WRITERS = 16
STEPS = 40
STAGE = """
import sys, time
from pathlib import Path
from aelab.tracking import Recorder
item = sys.argv[1]
folder = Path("made", item)
folder.mkdir(parents=True)
with Recorder("many", "train", item, keep=folder / "tracked.jsonl") as recorder:
    recorder.params({"train": {"item": item}})
    (folder / "note.txt").write_text(item)
    recorder.artifact(folder / "note.txt")
    for step in range(%d):
        recorder.metrics({"loss": step / 10}, step=step, replicate=0)
        time.sleep(%s)
"""


class Database:
    """PostgreSQL in a folder of its own; as the user postgres where this one is root, which it refuses."""

    def __init__(self) -> None:
        self.home, self.port = Path(tempfile.mkdtemp()), free_port()
        self.user = None
        if os.getuid() == 0:
            self.user = "postgres"
            os.chown(self.home, pwd.getpwnam("postgres").pw_uid, -1)
        data = str(self.home / "data")
        self.run("initdb", "-D", data, "-A", "trust", "-U", "mlflow")
        options = ["-h", "127.0.0.1", "-p", str(self.port), "-k", str(self.home)]
        self.process = subprocess.Popen([binary("postgres"), "-D", data, *options], user=self.user, cwd=self.home)
        wait_for(lambda: listens(self.port))

    def run(self, name: str, *words: str) -> None:
        subprocess.run([binary(name), *words], user=self.user, cwd=self.home, check=True, stdout=subprocess.DEVNULL)

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.home)


def binary(name: str) -> str | None:
    """A program of PostgreSQL's, which Debian does not put on the path."""
    folders = [os.environ["PATH"], *map(str, Path("/usr/lib/postgresql").glob("*/bin"))]
    return shutil.which(name, path=os.pathsep.join(folders))


class Server:
    """MLflow's server. uri: for MLFLOW_TRACKING_URI."""

    def __init__(self, folder: Path, database: Database) -> None:
        self.folder, self.port = folder, free_port()
        self.uri = f"http://127.0.0.1:{self.port}"
        store = f"postgresql://mlflow@127.0.0.1:{database.port}/postgres"
        self.options = ["--backend-store-uri", store, "--artifacts-destination", str(folder / "artifacts")]
        self.start()

    def start(self) -> None:
        where = ["--host", "127.0.0.1", "--port", str(self.port), "--workers", "2"]
        with open(self.folder / "server.log", "a") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlflow", "server", *self.options, *where],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for(lambda: listens(self.port) or self.process.poll() is not None)
        assert self.process.poll() is None, (self.folder / "server.log").read_text()

    def kill(self) -> None:
        """At once, with its workers."""
        import psutil

        for process in [*psutil.Process(self.process.pid).children(recursive=True), self.process]:
            process.kill()
        self.process.wait()
        wait_for(lambda: not listens(self.port))


@pytest.fixture
def server(tmp_path):
    pytest.importorskip("psycopg", reason="psycopg is not installed: `make test-cluster` installs it")
    if not (binary("postgres") and binary("initdb")):
        pytest.skip("PostgreSQL is not installed: Debian's package postgresql has it")
    database = Database()
    try:
        made = Server(tmp_path, database)
        yield made
        made.kill()
    finally:
        database.stop()


def drained(roots: list[Path], uri: str) -> None:
    """Wait until the events of all projects are in the store: as the next stage of each would see to it."""

    def pending() -> list[Path]:
        return [root for root in roots if any((root / ".aelab").glob("tracking-*/*.jsonl"))]

    end = time.monotonic() + PATIENCE
    while left := pending():
        assert time.monotonic() < end, "events are left"
        writers = []
        for root in left:
            environment = os.environ | {"DVC_ROOT": str(root), "MLFLOW_TRACKING_URI": uri}
            command = [sys.executable, "-m", "aelab.tracking.writer"]
            writers.append(subprocess.Popen(command, cwd=root, env=environment))
        for writer in writers:
            writer.wait(PATIENCE)


def check(uri: str, items: list[str]) -> None:
    """One finished run per item, with every value once, its parameter and its artifact."""
    from mlflow import MlflowClient

    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name("many").experiment_id
    runs = client.search_runs([experiment], max_results=1000)
    assert {run.info.status for run in runs} == {"FINISHED"}
    found = {
        run.data.tags["item"]: run
        for run in runs
        if run.info.run_name.startswith("train") and "#" not in run.info.run_name
    }
    assert sorted(found) == sorted(items)
    assert len([run for run in runs if "#0" in run.info.run_name]) == len(items), "nothing twice"
    for item, run in found.items():
        history = client.get_metric_history(run.info.run_id, "loss")
        assert [(each.step, each.value) for each in history] == [(step, step / 10) for step in range(STEPS)]
        assert run.data.params["train.item"] == item
        path = client.download_artifacts(run.info.run_id, "note.txt")
        assert Path(path).read_text() == item


def test_sixteen_projects_write_at_once_while_the_server_is_killed(server, tmp_path):
    roots = [tmp_path / f"project{number}" for number in range(WRITERS)]
    stages = []
    for number, root in enumerate(roots):
        root.mkdir()
        (root / "stage.py").write_text(STAGE % (STEPS, 0.3))
        environment = os.environ | {"DVC_ROOT": str(root), "MLFLOW_TRACKING_URI": server.uri, "AELAB_TRACKING": "on"}
        stages.append(subprocess.Popen([sys.executable, "stage.py", f"item{number}"], cwd=root, env=environment))
    wait_for(lambda: any((root / ".aelab").exists() for root in roots))
    time.sleep(8)
    server.kill()
    time.sleep(3)
    server.start()
    assert [stage.wait(PATIENCE) for stage in stages] == [0] * WRITERS
    drained(roots, server.uri)
    check(server.uri, [f"item{number}" for number in range(WRITERS)])


def test_stages_of_a_cluster_are_tracked_by_the_driver(nodes, server, tmp_path, monkeypatch):
    import json

    project = begin(tmp_path / "project")
    remote(project, str(tmp_path / "remote"))
    items = ["a", "b", "c"]
    cmds = {item: {"cmd": f"python stage.py {item}", "deps": ["stage.py"], "outs": [f"made/{item}"]} for item in items}
    (project / "dvc.yaml").write_text(json.dumps({"stages": cmds}))
    (project / "stage.py").write_text(STAGE % (STEPS, 0.05))
    commit(project)
    monkeypatch.setenv("AELAB_TRACKING", "on")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.uri)
    nodes.add(MLFLOW_TRACKING_URI="http://127.0.0.1:1")  # a node needs no store
    nodes.add(MLFLOW_TRACKING_URI="http://127.0.0.1:1")
    nodes.stages = items
    one = start(project, "--on", nodes.address)
    wait_for(lambda: nodes.workers() or one.poll() is not None)
    nodes.remove(nodes.nodes[0])
    _, stderr = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0, stderr
    drained([project], server.uri)
    check(server.uri, items)
    nothing_runs(project)
