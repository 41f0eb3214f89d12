"""Weights and JSON on disk: whole, repeatable, and never a pickle."""

import pickle

import pytest
import torch
from damage import damaged
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.data import storage
from aelab.training import weight_files


@pytest.fixture
def weights():
    draw = torch.Generator().manual_seed(0)
    return {
        "encoder.weight": torch.randn(5, 3, generator=draw),
        "decoder.weight": torch.randn(3, 5, generator=draw).t(),  # not contiguous
        "steps": torch.tensor(7),
        "empty": torch.zeros(0, 4),
        "mask": torch.tensor([True, False]),
        "learned": torch.randn(2, generator=draw, requires_grad=True),
    }


def test_weights_come_back_bit_for_bit(tmp_path, weights):
    weight_files.save_weights(tmp_path / "w.safetensors", weights)
    again = weight_files.load_weights(tmp_path / "w.safetensors")
    assert again.keys() == weights.keys()
    for name, tensor in weights.items():
        assert again[name].dtype == tensor.dtype
        assert torch.equal(again[name], tensor)


def test_the_same_weights_are_the_same_bytes_in_any_order_and_layout(tmp_path, weights):
    weight_files.save_weights(tmp_path / "a", weights)
    other = {name: weights[name].detach().clone(memory_format=torch.contiguous_format) for name in reversed(weights)}
    weight_files.save_weights(tmp_path / "b", other)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@settings(max_examples=200)
@given(st.data())
def test_damaged_weights_are_an_error_that_names_the_file_or_keep_their_form(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    weight_files.save_weights(folder / "good", {"a": torch.arange(6.0).reshape(2, 3), "b": torch.ones(4)})
    content = data.draw(damaged((folder / "good").read_bytes()))
    path = folder / "damaged.safetensors"
    path.write_bytes(content)
    try:
        loaded = weight_files.load_weights(path)
    except ValueError as error:
        assert str(error).startswith(f"{path}: not a readable safetensors file")  # noqa: PT017
    else:
        assert len(content) == len((folder / "good").read_bytes())
        assert all(isinstance(tensor, torch.Tensor) for tensor in loaded.values())


def test_a_cut_file_is_refused(tmp_path, weights):
    path = tmp_path / "w.safetensors"
    weight_files.save_weights(path, weights)
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"w\.safetensors: not a readable safetensors file"):
        weight_files.load_weights(path)


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.mark.parametrize("write", [lambda x, path: path.write_bytes(pickle.dumps(x)), torch.save])
def test_a_pickle_is_refused_and_not_run(tmp_path, write):
    path, trap = tmp_path / "w.safetensors", tmp_path / "sprung"
    write(Trap(trap), path)
    with pytest.raises(ValueError, match=r"w\.safetensors: not a readable safetensors file"):
        weight_files.load_weights(path)
    assert not trap.exists()


@pytest.mark.parametrize("content", [b"", b'{"a": 1', b"\xff\xfe\x00", b"no"])
def test_damaged_json_is_an_error_that_names_the_file(tmp_path, content):
    (tmp_path / "model.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"model\.json: not readable as JSON"):
        storage.load_json(tmp_path / "model.json")
