"""A DVC project that has nothing of this package's, and clusters of several nodes on this machine.

The nodes have caches and working folders of their own. Everything listens on 127.0.0.1.
"""

import contextlib
import json
import os
import secrets
import subprocess
import sys
from collections.abc import Collection
from pathlib import Path

import psutil
import pytest
from conftest import PATIENCE, STAGES, wait_for

TOKEN = secrets.token_hex(32)  # Ray reads it once in a process
AELAB, DVC = ([str(Path(sys.executable).with_name(name)), "repro"] for name in ("aelab", "dvc"))
SCRIPT = """
import os, helper
text = open("join/text").read() + helper.WORD
open("script.txt", "w").write(text)
open("score.json", "w").write("{}")
print("the script was here")
"""


@pytest.fixture(scope="session")
def ray():
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"  # 127.0.0.1 alone
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "RAY_USAGE_STATS_ENABLED": "0"}
    return pytest.importorskip("ray", reason="Ray is not installed: `make test-cluster` installs it")


class Nodes:
    """A cluster whose head runs no stages. address: for --on; folder: of the nodes' own caches; stages: their names."""

    stages: Collection[str] = (*STAGES, "script")

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        self.folder, self.count = folder, 0
        self.cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        self.address, self.nodes = self.cluster.address, []

    def add(self, home: Path | None = None, cpus: int = 1, shared: bool = False, kind: str = "A", **variables: str):
        """shared: without a cache of its own."""
        self.count += 1
        own = {} if shared else {"AELAB_NODE_DIR": str(home or self.folder / f"node{self.count}")}
        self.nodes.append(
            self.cluster.add_node(num_cpus=cpus, env_vars=own | variables, resources={f"kind:{kind}": 1000})
        )
        return self.nodes[-1]

    def remove(self, node) -> None:
        """As if its plug had been pulled."""
        self.nodes.remove(node)
        self.cluster.remove_node(node, allow_graceful=False)

    def workers(self) -> list[psutil.Process]:
        """The processes of this cluster that run stages of the pipeline now."""
        raylets = [psutil.Process(node.all_processes["raylet"][0].process.pid) for node in self.nodes]
        workers = [each for raylet in raylets for each in raylet.children(recursive=True)]
        return [each for each in workers if named(each) in {f"ray::{name}" for name in self.stages}]


def named(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline()).strip()
    return ""


@pytest.fixture
def nodes(ray, tmp_path):
    cluster = Nodes(tmp_path / "nodes")
    yield cluster
    cluster.cluster.shutdown()


def write(folder: Path, nap: float = 0.1) -> None:
    """The pipeline: each stage waits, and copies what it reads; the last one is a Python script."""
    stages = {}
    for name, reads in STAGES.items():
        files = " ".join("start.txt" if each == "start" else f"{each}/text" for each in reads)
        cmd = (
            f"echo about {name}; sleep ${{nap}}; mkdir -p {name}; cat {files} > {name}/text; echo {name} >> {name}/text"
        )
        stages[name] = {
            "cmd": cmd,
            "deps": ["start.txt" if each == "start" else each for each in reads],
            "outs": [name],
        }
    scores = [{"score.json": {"cache": False}}]
    about = {"deps": ["script.py", "join"], "outs": ["script.txt"], "metrics": scores}
    stages["script"] = {"cmd": "python script.py", **about}
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    (folder / "params.yaml").write_text(f"nap: {nap}\n")


def begin(folder: Path, nap: float = 0.1) -> Path:
    """A project in git in which nothing has run."""
    folder.mkdir(parents=True)
    write(folder, nap)
    for name, text in {"start.txt": "begin\n", "script.py": SCRIPT, "helper.py": "WORD = 'word'\n"}.items():
        (folder / name).write_text(text)
    (folder / ".dvc").mkdir()
    (folder / ".dvc" / "config").write_text("[core]\nanalytics = false\n")
    (folder / ".dvc" / ".gitignore").write_text("/config.local\n/tmp\n/cache\n")
    (folder / ".gitignore").write_text("/logs\n")
    git(folder, "init", "-q")
    commit(folder)
    return folder


def git(folder: Path, *words: str) -> None:
    subprocess.run(["git", "-c", "user.name=x", "-c", "user.email=x@localhost", *words], cwd=folder, check=True)


def commit(folder: Path) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-qm", "a state")


def remote(project: Path, url: str, **settings: str) -> None:
    """Give the project a DVC remote."""
    lines = ["[core]", "    remote = here", "['remote \"here\"']", f"    url = {url}"]
    lines += [f"    {name} = {value}" for name, value in settings.items()]
    (project / ".dvc" / "config.local").write_text("\n".join(lines) + "\n")


@pytest.fixture
def project(tmp_path):
    made = begin(tmp_path / "project")
    remote(made, str(tmp_path / "remote"))
    return made


def run(command: list[str], folder: Path, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*command, *options], cwd=folder, env=os.environ | variables, capture_output=True, text=True, timeout=PATIENCE
    )


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    pipe = subprocess.PIPE
    return subprocess.Popen([*AELAB, *options], cwd=folder, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


@pytest.fixture(scope="session")
def expected(tmp_path_factory):
    """(nap) -> the dvc.lock that `dvc repro` writes."""
    known = {}

    def lock(nap: float = 0.1) -> bytes:
        if nap not in known:
            other = begin(tmp_path_factory.mktemp("serial") / "project", nap)
            done = run(DVC, other)
            assert done.returncode == 0, done.stderr
            known[nap] = (other / "dvc.lock").read_bytes()
        return known[nap]

    return lock


def nothing_runs(project: Path) -> None:
    """Wait until no command of the pipeline is left on this machine, and no working folder of a node."""

    def left() -> list[str]:
        return [text for each in psutil.process_iter() if "about " in (text := named(each)) and "mkdir -p" in text]

    wait_for(lambda: not left())
