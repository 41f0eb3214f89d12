"""The parts of runner/cluster that need no Ray: what stages take, the archive of the code, files by MD5, commands."""

import io
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import psutil
import pytest
from conftest import alive, wait_for
from dvc.repo import Repo

from aelab.runner import executors
from aelab.runner.cluster import command, node, ray_api, resources, store
from aelab.runner.cluster.archive import Archive
from aelab.runner.cluster.orders import Traffic
from aelab.runner.cluster.resources import Needs


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project in git, with a remote, that makes `made` from `start.txt`."""
    monkeypatch.chdir(tmp_path)
    Path("dvc.yaml").write_text("stages: {one: {cmd: cp start.txt made, deps: [start.txt], outs: [made]}}\n")
    Path("start.txt").write_text("begin\n")
    Path(".gitignore").write_text("/ignored.txt\n")
    Path("ignored.txt").write_text("a secret\n")
    Path(".dvc").mkdir()
    Path(".dvc/config").write_text(f"[core]\nremote = r\n['remote \"r\"']\nurl = {tmp_path}/behind\n")
    subprocess.run(["git", "init", "-q"], check=True)
    return tmp_path


def params(text: str) -> None:
    Path("params.yaml").write_text(text)


def test_the_first_pattern_that_fits_says_what_a_stage_takes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert resources.read().of("train@vae") == Needs(1, 0, 0), "no file, no section: a core"
    params("resources:\n  kind: A\n  train@conv*: {cpus: 2, memory: 1.5}\n  train@*: {gpus: 0.5}\n")
    found = resources.read()
    assert found.kind == "A"
    assert found.of("train@conv_vae") == Needs(2, 0, 1.5)
    assert found.of("train@vae") == Needs(1, 0.5, 0)
    assert found.of("prepare") == Needs()
    options = found.of("train@conv_vae").of_ray("A")
    assert options == {"num_cpus": 2, "num_gpus": 0, "memory": 3 * 2**29, "resources": {"kind:A": 1}}
    assert "resources" not in found.of("prepare").of_ray("")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("resources: 3", "resources: 3 is no block"),
        ("resources: {train: 3}", "resources.train: 3 is no block"),
        ("resources: {train: {cpu: 3}}", "resources.train.cpu: unknown; allowed: cpus, gpus, memory"),
        ("resources: {train: {cpus: 0}}", "resources.train.cpus: 0 is wrong; allowed: a number above 0"),
        ("resources: {train: {gpus: yes}}", "resources.train.gpus: 'yes' is wrong"),
        ("resources: {train: {memory: -1}}", "resources.train.memory: -1 is wrong; allowed: GiB, 0 or more"),
    ],
)
def test_a_wrong_section_is_one_line(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    params(text)
    with pytest.raises(ValueError, match=r"params\.yaml") as error:
        resources.read()
    assert words in str(error.value)


def test_what_fits_a_node():
    totals = {"CPU": 2.0, "memory": 4 * 2**30, "kind:A": 1000.0}
    assert Needs(2, 0, 4).fits(totals, "A")
    assert not Needs(3).fits(totals, "A")
    assert not Needs(1, 1).fits(totals, "A")
    assert not Needs(1, 0, 5).fits(totals, "A")
    assert not Needs(1).fits(totals, "B")
    nodes = [{"Resources": totals}, {"Resources": {"CPU": 3.0, "kind:B": 1.0}}, {"Resources": {"CPU": 9.0}}]
    assert list(resources.kinds(nodes).items()) == [("B", 3.0), ("A", 2.0)]


def names(content: bytes) -> list[str]:
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        return archive.getnames()


def test_the_archive_has_what_git_knows_but_for_what_stages_make(folder):
    Path("made").write_text("made\n")
    with Repo() as repo:
        archive = Archive(repo)
        assert archive.update([folder / "made"])
        known = [name for name in names(archive.content) if name != ".dvc/.gitignore"]  # DVC's own
        assert known == [".dvc/config", ".gitignore", "dvc.yaml", "start.txt"]
        before = archive.md5
        assert not archive.update([folder / "made"]), "nothing has changed"
        Path("start.txt").write_text("another\n")
        assert archive.update([folder / "made"])
        assert archive.md5 != before


def test_outside_git_the_archive_has_what_dvc_does_not_ignore(folder):
    Path(".dvc/config.local").write_text("[core]\nno_scm = true\n")
    Path("logs").mkdir()
    Path("logs/one.log").write_text("said\n")
    Path(".dvcignore").write_text("start.txt\n")
    with Repo() as repo:
        archive = Archive(repo)
        archive.update([])
        assert names(archive.content) == [".dvcignore", ".gitignore", "dvc.yaml", "ignored.txt"]


def tree(path: Path) -> dict[str, bytes]:
    return {str(file.relative_to(path)): file.read_bytes() for file in sorted(path.rglob("*")) if file.is_file()}


def test_files_go_to_the_remote_and_come_back_the_same(folder):
    for name, text in {"a": "1", "b/c": "2", "b/d": "1"}.items():
        (folder / "big" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "big" / name).write_text(text)
    (folder / ".dvcignore").write_text("d\n")
    with Repo() as repo:
        mine = store.Store(repo, "r")
        (folder / "start.txt").chmod(0o755)
        big, start = mine.add(folder / "big"), mine.add(folder / "start.txt")
        assert (big.executable, start.executable) == (False, True)
        md5s = [big.md5, start.md5]
        assert md5s[0].endswith(".dir")
        sent = mine.push(md5s)
        assert (sent.files, sent.size) == (4, sum(mine.path(each).stat().st_size for each in md5s) + 2)
        assert mine.push(md5s).files == 0, "what is there stays there"
        for file in (folder / ".dvc/cache").rglob("files/md5/*/*"):
            file.unlink()
        assert mine.lacks(md5s) == set(md5s)
        assert mine.pull(md5s).files == 4
        mine.place(big, folder / "again")
        mine.place(start, folder / "new" / "start.txt")
        assert os.access(folder / "new" / "start.txt", os.X_OK)
        assert tree(folder / "again") == {"a": b"1", "b/c": b"2"}
        assert mine.pull(md5s).files == 0
        damaged = mine.path(md5s[1])
        os.chmod(damaged, 0o644)
        damaged.write_text("damaged")
        assert mine.lacks(md5s) == {md5s[1]}
        assert not damaged.exists()
        assert mine.pull(md5s).files == 1
        with pytest.raises(store.MissingError, match="0" * 32):
            mine.pull(["0" * 32])
        with pytest.raises(ValueError, match="dvc remote add"):
            store.Store(repo, None).push(md5s)


def test_a_remote_that_is_away_is_waited_for_but_not_a_full_disk(monkeypatch):
    monkeypatch.setattr(store, "PAUSE", 0.01)
    tries = []

    def third() -> Traffic:
        tries.append(1)
        if len(tries) < 3:
            raise ConnectionError("away")
        return Traffic(1, 1)

    assert store.persist(third).files == 1

    def full() -> Traffic:
        raise ConnectionError from OSError(28, "No space left on device")

    with pytest.raises(ConnectionError):
        store.persist(full)
    gone = [store.MissingError("a"), store.MissingError("a")]

    def comes_back() -> Traffic:
        if gone:
            raise gone.pop()
        return Traffic(2, 2)

    with pytest.raises(store.MissingError):
        store.persist(comes_back)
    assert store.persist(comes_back, promised=True).files == 2, "its disk was away"
    monkeypatch.setattr(store, "PATIENCE", 0.05)
    with pytest.raises(ConnectionError, match="away"):
        store.persist(lambda: (_ for _ in ()).throw(ConnectionError("away")))


def test_traffic_is_said_in_megabytes():
    total = Traffic(1, 500_000)
    total.add(Traffic(2, 2_500_000_000))
    assert str(total) == "3 files (2.50 GB)"
    assert str(Traffic(1234, 1_000_000)) == "1,234 files (1.0 MB)"


def test_other_packages_are_named():
    assert node.unlike(node.installed(["python", "numpy"])) == ""
    assert "nothing-of-this-name none there, 1.0 here" in node.unlike({"nothing-of-this-name": "1.0"})


WORKER = """
import os, signal
from aelab.runner.cluster import node
with node.workplace() as folder:
    print(folder, flush=True)
    if os.environ.get("DIE"):
        os.kill(os.getpid(), signal.SIGKILL)
    print(*sorted(os.listdir(folder.parent)))
"""


def test_what_a_killed_worker_left_is_removed(tmp_path, monkeypatch):
    monkeypatch.setenv(node.HOME, str(tmp_path))

    def work(**variables: str) -> list[str]:
        environment = os.environ | variables
        done = subprocess.run([sys.executable, "-c", WORKER], env=environment, capture_output=True, text=True)
        return done.stdout.splitlines()

    [killed] = work(DIE="yes")
    assert Path(killed).exists()
    with node.workplace() as mine:
        assert not Path(killed).exists()
        other, there = work()
        assert there.split() == sorted([mine.name, Path(other).name]), "one at work stays"
    assert list(tmp_path.iterdir()) == []


HOLDER = """
import subprocess, sys, time
from aelab.runner.cluster import command
words = ["/bin/sh", "-c", sys.argv[1]]
with open("out", "wb") as out, command.started(words, ".", {"PATH": "/bin:/usr/bin"}, out) as process:
    code = process.wait()
print(code)
"""


def test_a_command_and_all_it_started_end_with_the_process_that_asked(tmp_path):
    text = "(trap '' TERM; sleep 1000 & sleep 1000) & echo begun; sleep 1000"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, text], cwd=tmp_path)
    wait_for(lambda: (tmp_path / "out").exists() and b"begun" in (tmp_path / "out").read_bytes())
    wait_for(lambda: len(psutil.Process(holder.pid).children(recursive=True)) >= 5)
    children = psutil.Process(holder.pid).children(recursive=True)
    holder.kill()
    holder.wait()
    wait_for(lambda: not any(alive(child.pid) for child in children))


@pytest.mark.parametrize(("text", "code"), [("exit 3", 3), ("kill -9 $$", 137), ("true", 0)])
def test_a_command_gives_its_exit_status(tmp_path, text, code):
    words, environment = ["/bin/sh", "-c", text], dict(os.environ)
    with open(tmp_path / "out", "wb") as out, command.started(words, str(tmp_path), environment, out) as process:
        assert process.wait() == code


class Commands:
    """A stage of DVC's, as far as its command goes."""

    def __init__(self, cmd: str | list[str]) -> None:
        self.cmd = cmd


def test_several_commands_run_one_after_another_until_one_fails(tmp_path):
    def ran(cmd: str | list[str]) -> tuple[int, str]:
        done = subprocess.run(executors.shell(Commands(cmd)), cwd=tmp_path, capture_output=True, text=True)
        return done.returncode, done.stdout

    assert ran("echo a; cd /; pwd") == (0, "a\n/\n")
    assert ran(["cd /", "pwd"]) == (0, f"{tmp_path}\n"), "each in a shell of its own"
    assert ran("echo 'a  b'\nfalse\necho c") == (1, "a  b\n")


def test_without_ray_a_line_says_what_to_do(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ValueError, match="make cluster"):
        ray_api.imported()
