"""DVC's hashes of dependencies are remembered as long as their files stay as they are."""

import subprocess
import sys

import pytest
from dvc.repo import Repo

from aelab.runner import hash_cache
from aelab.runner.dvc_api import Dependency


@pytest.fixture
def stages(tmp_path, monkeypatch):
    """Two stages that depend on one folder of code."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Dependency, "_get_hash_meta", hash_cache.BY_DVC)
    monkeypatch.setattr(hash_cache, "known", {})
    (tmp_path / "code/room").mkdir(parents=True)
    for name in ("a.py", "room/b.py"):
        (tmp_path / "code" / name).write_text("1\n")
    (tmp_path / "dvc.yaml").write_text(
        "stages:\n" + "".join(f"  {s}: {{cmd: echo {s} > {s}, deps: [code], outs: [{s}]}}\n" for s in "xy")
    )
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], check=True)
    subprocess.run([sys.executable, "-m", "dvc", "repro", "-q"], check=True)
    with Repo() as repo, repo.lock:
        hash_cache.remember()
        yield repo.index.stages


def test_a_folder_is_hashed_once_until_a_file_in_it_changes(stages, tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(hash_cache, "BY_DVC", lambda dep, real=hash_cache.BY_DVC: asked.append(dep) or real(dep))
    assert not any(stage.changed() for stage in stages)
    assert len(asked) == 1
    (tmp_path / "code/room/b.py").write_text("2\n")
    assert all(stage.changed() for stage in stages)
    assert len(asked) == 2
    (tmp_path / "code/room/b.py").write_text("1\n")
    assert not any(stage.changed() for stage in stages)
    (tmp_path / "code/c.py").write_text("new\n")
    assert all(stage.changed() for stage in stages)
    (tmp_path / "code/c.py").unlink()
    assert not any(stage.changed() for stage in stages)
