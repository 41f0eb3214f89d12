"""How much memory there is: the machine's, less where a control group allows less."""

import psutil
import pytest
import torch

from aelab.data import memory
from aelab.runner import cgroups

CPU = torch.device("cpu")
UNLIMITED = str(2**63 - 4096)  # as the first version writes it


def group(root, version, path, limit, used, cache):
    """The files of one control group; cache: active, inactive."""
    files = memory.FILES[version]
    folder = root / cgroups.MOUNT / ("memory" if version == 1 else "") / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / files.limit).write_text(f"{limit}\n")
    (folder / files.used).write_text(f"{used}\n")
    lines = [f"{name} {value}\n" for name, value in zip(files.cache, cache, strict=True)]
    (folder / "memory.stat").write_text("".join(["anon 5\n", *lines]))


@pytest.fixture
def root(tmp_path):
    (tmp_path / "proc/self").mkdir(parents=True)
    return tmp_path


def test_the_least_that_any_group_around_the_process_leaves(root):
    (root / "proc/self/cgroup").write_text("0::/user/stage\n")
    group(root, 2, "user/stage", "max", 700, (0, 0))
    group(root, 2, "user", 1000, 900, (200, 100))
    group(root, 2, "other", 1, 1, (0, 0))
    assert list(memory.left(root)) == [1000 - 900 + 300]
    group(root, 2, "user/stage", 800, 750, (0, 0))
    assert min(memory.left(root)) == 50


def test_the_first_version_and_a_group_over_its_limit(root):
    (root / "proc/self/cgroup").write_text("9:name=systemd:/\n4:cpu,memory:/pod\n0::/\n")
    group(root, 1, "pod", 500, 600, (10, 20))
    group(root, 1, "", UNLIMITED, 600, (0, 0))
    assert min(memory.left(root)) == 0


def test_a_container_that_sees_its_own_group_as_the_root(root):
    (root / "proc/self/cgroup").write_text("4:memory:/docker/0123\n")
    group(root, 1, "", 500, 100, (0, 0))
    assert list(memory.left(root)) == [400]


def test_no_control_groups_no_limits(root):
    assert list(memory.left(root)) == []


def test_the_machine_and_the_groups_both_count(monkeypatch):
    assert 0 < memory.free(CPU) <= psutil.virtual_memory().total
    monkeypatch.setattr(memory, "left", lambda: iter([10**6, 4000]))
    assert memory.free(CPU) == 4000
    assert memory.fits(4000 // memory.SHARE, CPU)
    assert not memory.fits(4000 // memory.SHARE + 1, CPU)


def test_what_does_not_fit_at_all_is_one_line(monkeypatch):
    monkeypatch.setattr(memory, "free", lambda device: 2 * 10**9)
    memory.demand(2 * 10**9, CPU, "this")
    words = r"^this: 1,234\.0 GB of memory needed, 2\.0 GB free; fewer images \(prepare\.limit\) need less$"
    with pytest.raises(ValueError, match=words):
        memory.demand(1234 * 10**9, CPU, "this")
