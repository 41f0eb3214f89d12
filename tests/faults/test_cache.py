"""Damage in DVC's cache and in results: found, and mended by typing the command again."""

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import PATIENCE

AELAB, DVC = (str(Path(sys.executable).with_name(name)) for name in ("aelab", "dvc"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("made") / "project"
    (folder / ".dvc").mkdir(parents=True)
    (folder / ".dvc/config").write_text("[core]\nno_scm = true\nanalytics = false\n")
    (folder / "start.txt").write_text("begin\n")
    stages = {
        "make": {
            "cmd": "echo make >> ran.log; mkdir made; cp start.txt made/a.txt; echo more > made/b.txt",
            "deps": ["start.txt"],
            "outs": ["made"],
        },
        "read": {"cmd": "echo read >> ran.log; cat made/* > read.txt", "deps": ["made"], "outs": ["read.txt"]},
    }
    (folder / "dvc.yaml").write_text(json.dumps({"stages": stages}))
    repro(folder)
    return folder


@pytest.fixture
def project(made, tmp_path):
    """Two stages after `aelab repro`: one makes a folder, the other reads it."""
    return shutil.copytree(made, tmp_path / "project")


def repro(folder: Path, command: str = AELAB) -> str:
    done = subprocess.run([command, "repro"], cwd=folder, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def ran(folder: Path) -> list[str]:
    """The stages that ran since the last look."""
    log = folder / "ran.log"
    words = log.read_text().split() if log.exists() else []
    log.unlink(missing_ok=True)
    return words


def cached(folder: Path, content: bytes) -> Path:
    digest = hashlib.md5(content).hexdigest()
    return folder / ".dvc/cache/files/md5" / digest[:2] / digest[2:]


def damage(path: Path, content: bytes) -> None:
    """As a disk does it: nothing but the bytes changes."""
    mode = path.stat().st_mode
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(mode)


def listing(folder: Path) -> Path:
    [path] = (folder / ".dvc/cache/files/md5").rglob("*.dir")
    return path


def notes(folder: Path) -> list[Path]:
    """DVC's run cache."""
    return [path for path in (folder / ".dvc/cache/runs").rglob("*") if path.is_file()]


def whole(cache: Path) -> bool:
    """Whether every file of a cache holds what its name says."""
    names = {path: path.parent.name + path.name.removesuffix(".dir") for path in (cache / "files/md5").glob("*/*")}
    return bool(names) and all(hashlib.md5(path.read_bytes()).hexdigest() == name for path, name in names.items())


DAMAGE = {  # what happened, and which stage has to run again before any other
    "a byte changed": (lambda folder: damage(cached(folder, b"begin\n"), b"bogin\n"), ["make"]),
    "gone": (lambda folder: cached(folder, b"begin\n").unlink(), ["make"]),
    "a listing cut": (lambda folder: damage(listing(folder), b'[{"md5'), ["make"]),
    "all of it gone": (lambda folder: shutil.rmtree(folder / ".dvc/cache"), ["make"]),
}


@pytest.mark.parametrize(("harm", "again"), DAMAGE.values(), ids=DAMAGE)
def test_what_is_damaged_in_the_cache_is_made_anew(harm, again, project):
    before = (project / "dvc.lock").read_bytes()
    harm(project)
    shutil.rmtree(project / "made")  # so that it has to come from the cache
    ran(project)
    repro(project)
    assert (project / "made/a.txt").read_text() == "begin\n"
    assert (project / "read.txt").read_text() == "begin\nmore\n"
    assert (project / "dvc.lock").read_bytes() == before
    assert ran(project)[:1] == again
    assert whole(project / ".dvc/cache")
    assert "2 unchanged" in repro(project)


@pytest.mark.parametrize("command", [AELAB, DVC], ids=["aelab", "dvc"])
def test_a_damaged_result_comes_back_from_the_cache(command, project):
    (project / "made/a.txt").write_text("bogin\n")
    (project / "read.txt").unlink()
    ran(project)
    repro(project, command)
    assert (project / "made/a.txt").read_text() == "begin\n"
    assert (project / "read.txt").read_text() == "begin\nmore\n"
    assert ran(project) == []


TORN = {  # what is left of dvc.lock
    "nothing": lambda lock: b"",
    "its beginning": lambda lock: lock[:9],
    "no stage": lambda lock: lock[: lock.index(b"  make")],
    "half of the first stage": lambda lock: lock[: lock.index(b"path: made")],
    "half of a line": lambda lock: lock[: lock.index(b"md5: ", lock.index(b"  read:")) + 2],
    "half of a letter": lambda lock: lock[: lock.index(b"  read:")] + b"  read:\n    cmd: \xe2",
}


@pytest.mark.parametrize("rest", TORN.values(), ids=TORN)
def test_a_lock_that_dvc_was_killed_in_is_made_whole(rest, project):
    subprocess.run(["git", "init", "-q"], cwd=project, check=True)
    (project / ".dvc/config").write_text("[core]\nanalytics = false\n")
    (project / ".dvc/.gitignore").write_text("/tmp\n")
    lock = project / "dvc.lock"
    before = lock.read_bytes()
    lock.write_bytes(rest(before))
    with pytest.raises(AssertionError, match=r"dvc\.lock"):
        repro(project, DVC)
    ran(project)
    assert "dvc.lock ended in the middle" in repro(project)
    assert lock.read_bytes() == before
    assert ran(project) == []


OTHERWISE = {
    "a conflict before the last stage": lambda lock: lock.replace(b"  read:\n", b"<<<<<<< ours\n  read:\n=======\n"),
    "a conflict in the last stage": lambda lock: lock + b"<<<<<<< ours\n      size: 1\n=======\n>>>>>>> theirs\n",
    "a conflict in the first line": lambda lock: b"<<<<<<< ours\n" + lock,
    "another form": lambda lock: lock.replace(b"schema: '2.0'", b"schema: '3.0'"),
    "a line in the middle": lambda lock: lock.replace(b"  read:\n", b"    cmd: [\n  read:\n"),
}


@pytest.mark.parametrize("harm", OTHERWISE.values(), ids=OTHERWISE)
def test_a_lock_that_is_damaged_otherwise_stays_as_it_is(harm, project):
    lock = project / "dvc.lock"
    harmed = harm(lock.read_bytes())
    lock.write_bytes(harmed)
    with pytest.raises(AssertionError, match=r"dvc\.lock"):
        repro(project)
    assert lock.read_bytes() == harmed


def test_a_lock_is_whole_beside_a_pipeline_that_is_not(project):
    (project / "dvc.yaml").write_text("stages: [\n")
    before = (project / "dvc.lock").read_bytes()
    with pytest.raises(AssertionError, match=r"dvc\.yaml"):
        repro(project)
    assert (project / "dvc.lock").read_bytes() == before


def test_a_lock_is_never_written_in_place(project):
    """Whoever reads it meanwhile, and whatever kills the writer: it is the old one or the new one."""
    lock, old = project / "dvc.lock", project / "old.lock"
    before = lock.read_bytes()
    old.hardlink_to(lock)
    (project / "start.txt").write_text("another\n")
    repro(project)
    assert old.read_bytes() == before
    assert lock.read_bytes() != before


def test_two_projects_at_once_on_one_cache(project, tmp_path):
    """Both make the same and put it in the same place."""
    both = [tmp_path / "one", tmp_path / "two"]
    for folder in both:
        shutil.copytree(project, folder, ignore=shutil.ignore_patterns("cache", "tmp", "made", "read.txt", "dvc.lock"))
        with open(folder / ".dvc/config", "a") as config:
            config.write(f"[cache]\ndir = {tmp_path / 'shared'}\n")
    processes = [subprocess.Popen([AELAB, "repro"], cwd=folder, stderr=subprocess.PIPE, text=True) for folder in both]
    for process in processes:
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors
    for folder in both:
        assert (folder / "dvc.lock").read_bytes() == (project / "dvc.lock").read_bytes()
        assert (folder / "read.txt").read_text() == "begin\nmore\n"
    assert whole(tmp_path / "shared")
