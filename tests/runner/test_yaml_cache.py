"""Parameters are read anew when, and only when, their file has changed."""

import pytest
from dvc.dependency import param
from dvc.dependency.param import read_param_file
from dvc.exceptions import DvcException
from dvc.fs import LocalFileSystem
from dvc.utils import serialize

from aelab.runner import yaml_cache


@pytest.fixture
def reads(monkeypatch):
    """How often DVC's own reader was asked."""
    monkeypatch.setattr(serialize, "LOADERS", serialize.LOADERS.copy())
    monkeypatch.setattr(param, "dpath", yaml_cache.BY_DVC)
    count, read = [], serialize.load_yaml
    monkeypatch.setattr(serialize, "load_yaml", lambda *args, **options: count.append(args) or read(*args, **options))
    yaml_cache.remember()
    return count


def test_a_file_is_read_once_until_it_changes(tmp_path, reads):
    file, system = tmp_path / "params.yaml", LocalFileSystem()
    for text, lr in (("{lr: 1, more: {a: 2}}", 1), ("{lr: 22, more: {a: 2}}", 22)):
        file.write_text(text)
        for _ in range(3):
            found = read_param_file(system, str(file), ["lr", "more"], flatten=True)
            assert found == {"lr": lr, "more": {"a": 2}}
            found["more"]["a"] = 3  # whoever writes into what it got writes into its own
    assert len(reads) == 2


def test_a_broken_file_is_dvc_s_error_every_time(tmp_path, reads):
    file = tmp_path / "params.yaml"
    file.write_text("{lr: ")
    for _ in range(2):
        with pytest.raises(DvcException):
            read_param_file(LocalFileSystem(), str(file))


TREE = {"a": {"b": {"c": 1}, "b2": [1, {"x": 2}]}, "models": {"vae": {"lr": 1}, "ae": None}, "n": 3}


@pytest.mark.parametrize(
    "key", ["a", "a.b", "a.b.c", "a.b2", "a.b2.1.x", "models.ae", "models.v*", "n", "no", "a.b.no", "n.x"]
)
def test_a_parameter_is_found_as_dpath_finds_it(key):
    def found(get):
        try:
            return get(TREE, key, separator=".")
        except KeyError:
            return "absent"

    assert found(yaml_cache.Lookup.get) == found(yaml_cache.BY_DVC.get)
