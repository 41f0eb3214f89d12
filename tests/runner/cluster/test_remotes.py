"""Nodes without a shared disk, with a remote behind a real ssh server, and behind an S3 server; both on 127.0.0.1."""

import getpass
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from cluster_nodes import AELAB, Nodes, expected, nodes, project, ray, remote, run, start
from conftest import PATIENCE, wait_for

pytestmark = pytest.mark.slow

SSHD = """
Port {port}
ListenAddress 127.0.0.1
HostKey {home}/host
AuthorizedKeysFile {home}/user.pub
PidFile none
StrictModes no
UsePAM no
Subsystem sftp internal-sftp
"""


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Sshd:
    def __init__(self, home: Path) -> None:
        self.home, self.port = home, free_port()
        home.mkdir()
        for name in ("host", "user"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(home / name)], check=True)
        (home / "config").write_text(SSHD.format(port=self.port, home=home))
        if os.getuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([sshd(), "-D", "-f", str(self.home / "config")])
        wait_for(lambda: listens(self.port))

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def sshd() -> str | None:
    return shutil.which("sshd", path=os.pathsep.join([os.environ["PATH"], "/usr/sbin"]))


@pytest.fixture
def ssh_server(tmp_path):
    pytest.importorskip("dvc_ssh", reason="dvc-ssh is not installed: `make test-cluster` installs it")
    if not sshd():
        pytest.skip("sshd is not installed: Debian's package openssh-server has it")
    server = Sshd(tmp_path / "ssh")
    yield server
    server.stop()


def test_a_remote_behind_ssh_that_is_away_in_between(nodes, project, expected, tmp_path, ssh_server):
    where = f"ssh://{getpass.getuser()}@127.0.0.1:{ssh_server.port}{tmp_path}/behind"
    remote(project, where, keyfile=str(ssh_server.home / "user"), allow_agent="false")
    nodes.add()
    nodes.add()
    one = start(project, "--on", nodes.address)
    wait_for(lambda: (project / "split" / "text").exists() or one.poll() is not None)
    ssh_server.stop()
    time.sleep(5)
    ssh_server.start()
    _, stderr = one.communicate(timeout=PATIENCE)
    assert one.returncode == 0, stderr
    assert (project / "dvc.lock").read_bytes() == expected()
    assert list((tmp_path / "behind").rglob("*.dir"))


def test_a_remote_on_s3(nodes, project, expected, tmp_path):
    boto3 = pytest.importorskip("boto3", reason="boto3 is not installed: `make test-cluster` installs it")
    pytest.importorskip("dvc_s3", reason="dvc-s3 is not installed: `make test-cluster` installs it")
    pytest.importorskip("moto", reason="moto is not installed: `make test-cluster` installs it")
    port = free_port()
    url, keys = f"http://127.0.0.1:{port}", {"access_key_id": "a", "secret_access_key": "b"}
    with open(tmp_path / "s3.log", "w") as log:
        server = subprocess.Popen([sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)], stderr=log)
    try:
        wait_for(lambda: listens(port))
        s3 = boto3.client(
            "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="a", aws_secret_access_key="b"
        )
        s3.create_bucket(Bucket="bucket")
        remote(project, "s3://bucket/here", endpointurl=url, **keys)
        nodes.add()
        nodes.add()
        done = run(AELAB, project, "--on", nodes.address)
        assert done.returncode == 0, done.stderr
        assert (project / "dvc.lock").read_bytes() == expected()
        assert s3.list_objects_v2(Bucket="bucket", Prefix="here/")["KeyCount"] >= 8
    finally:
        server.terminate()
        server.wait()
