"""How many cores there are: the machine's, less where affinity or a control group allows less; turns on them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from aelab.runner import cgroups, cores

GROUPS = Path("/") / cgroups.MOUNT


@pytest.fixture
def machine(monkeypatch):
    """A machine of 64 cores."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(64)), raising=False)


@pytest.fixture
def root(tmp_path, machine):
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def group(root: Path, path: str, files: dict[str, str]) -> None:
    folder = root / cgroups.MOUNT / path
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")


def test_the_quota_of_a_container_that_sees_its_own_group_as_the_root(root):
    (root / "proc/self/cgroup").write_text("0::/\n")
    group(root, "", {"cpu.max": "250000 100000"})
    assert cores.count(root) == 3, "two and a half"


def test_the_least_that_any_group_around_the_process_allows(root):
    (root / "proc/self/cgroup").write_text("0::/user/stage\n")
    group(root, "user/stage", {"cpu.max": "max 100000"})
    group(root, "user", {"cpu.max": "400000 100000"})
    group(root, "other", {"cpu.max": "100000 100000"})
    assert cores.count(root) == 4


def test_the_quota_of_the_first_version(root):
    (root / "proc/self/cgroup").write_text("9:name=systemd:/\n4:cpu,cpuacct:/docker/0123\n0::/\n")
    group(root, "cpu", {"cpu.cfs_quota_us": "-1", "cpu.cfs_period_us": "100000"})
    assert cores.count(root) == 64
    group(root, "cpu", {"cpu.cfs_quota_us": "20000"})
    assert cores.count(root) == 1, "never none"


def test_no_control_groups_no_quota(root):
    assert cores.count(root) == 64


def test_cores_that_this_process_may_not_use_do_not_count():
    mine = os.sched_getaffinity(0)
    code = f"import os; os.sched_setaffinity(0, {{{min(mine)}}}); from aelab.runner import cores; print(cores.count())"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "1\n"


@pytest.fixture
def one_core():
    """A real control group with a quota of one core."""
    group = (GROUPS / "cpu" if (GROUPS / "cpu").is_dir() else GROUPS) / f"aelab-test-{os.getpid()}"
    try:
        group.mkdir()
        if (group / "cpu.max").exists():
            (group / "cpu.max").write_text("100000 100000")
        else:
            (group / "cpu.cfs_quota_us").write_text((group / "cpu.cfs_period_us").read_text())
    except OSError as error:
        pytest.skip(f"needs to make a control group for processor time: {error}")
    yield group
    group.rmdir()


def test_a_real_quota_counts(one_core):
    inside = f"import sys; open('{one_core}/cgroup.procs', 'w').write('0'); from aelab.cli import app; app.app()"
    done = subprocess.run([sys.executable, "-c", inside, "repro", "--help"], capture_output=True, text=True)
    assert "[default: 1;" in done.stdout, done.stderr
