"""What stands in for a tensor that is too large gives the numbers of that tensor, and says what went wrong."""

import errno
import os

import numpy as np
import pytest
import torch
from damage import damaged
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.data import memory, splits, streaming, tensors
from aelab.data.streaming import Streamed
from aelab.data.tensors import Tensors

CPU = torch.device("cpu")
N = 2500  # more than two chunks


@pytest.fixture(scope="module")
def part():
    draw = np.random.default_rng(0)
    return draw.integers(0, 256, (N, 6, 5), dtype=np.uint8), draw.integers(0, 10, N)


@pytest.fixture
def pair(part, tmp_path, monkeypatch):
    """A tensor, and what stands in for it."""
    monkeypatch.setattr(streaming, "SCRATCH", tmp_path)
    splits.save(tmp_path, "train", part)
    return tensors.pixels(torch.from_numpy(part[0])[:, None]), Streamed(streaming.npz(path(tmp_path), "images"), CPU)


def path(folder):
    return folder / "train.npz"


def test_rows_are_those_of_the_tensor_in_any_order(pair):
    x, streamed = pair
    rows = torch.randperm(N, generator=torch.Generator().manual_seed(1))[:300]
    for which in (rows, rows.tolist(), slice(7, 1900, 13), slice(None)):
        assert torch.equal(x[which], streamed[which])
    assert (len(streamed), streamed.shape, streamed.dim(), streamed.dtype) == (N, x.shape, 4, x.dtype)
    assert streamed.device == x.device
    for one, other in zip(x.split(700), streamed.split(700), strict=True):
        assert torch.equal(one, other)


def test_flat_rows_some_rows_means_and_the_whole_are_those_of_the_tensor(pair):
    x, streamed = pair
    rows = torch.randperm(N, generator=torch.Generator().manual_seed(2))
    for which, some in ((slice(None), streamed), (rows, streamed.only(rows)), (rows[:9], streamed.only(rows[:9]))):
        flat = x[which].flatten(1)
        assert torch.equal(some.flatten(1)[:], flat)
        assert torch.equal(some.flatten(1).mean(0), flat.mean(0))
        assert torch.equal(some.flatten(1).mean(0, dtype=torch.float64), flat.mean(0, dtype=torch.float64))
        assert torch.equal(some.whole(), x[which])


def test_what_is_joined_streams_where_its_source_does(pair, tmp_path):
    x, streamed = pair
    chunks = [part.flatten(1) * 3 for part in x.split(1000)]
    assert torch.equal(streaming.joined(iter(chunks), x), torch.cat(chunks))
    found = streaming.joined(iter(chunks), streamed)
    assert isinstance(found, Streamed)
    assert torch.equal(found[5:2400:7], torch.cat(chunks)[5:2400:7])
    assert torch.equal(found.whole(), torch.cat(chunks))
    assert [each.name for each in tmp_path.iterdir()] == ["train.npz"], "a scratch file has no name"


def test_balanced_draws_take_the_same_images(pair, part):
    x, streamed = pair
    y = torch.from_numpy(part[1])
    for n in (10, 1234, N):
        one, other = (tensors.balanced(Tensors(each, y), n, torch.Generator().manual_seed(3)) for each in (x, streamed))
        assert isinstance(other.x, Streamed)
        assert torch.equal(one.x, other.x[:])
        assert torch.equal(one.y, other.y)


@pytest.mark.parametrize("streams", [False, True])
def test_a_split_streams_where_it_is_large_for_the_memory_there_is(streams, part, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(splits, "LEARNING", tmp_path)
    monkeypatch.setattr(streaming, "SCRATCH", tmp_path)
    splits.save(tmp_path, "train", part)
    size = tensors.LOADING * path(tmp_path).stat().st_size
    monkeypatch.setattr(memory, "free", lambda device: memory.SHARE * size - streams)
    found = tensors.split("train", CPU)
    assert isinstance(found.x, Streamed) == streams
    assert torch.equal(found.x[:], tensors.pixels(torch.from_numpy(part[0])[:, None]))
    assert torch.equal(found.y, torch.from_numpy(part[1]))
    assert capsys.readouterr().err.count("train.npz: streams") == streams
    monkeypatch.setattr(memory, "free", lambda device: size - 1)
    with pytest.raises(ValueError, match=r"train\.npz: 0\.0 GB of memory needed, 0\.0 GB free"):
        tensors.loaded("train", CPU)


def test_codes_that_cannot_be_measured_say_what_they_need(pair, monkeypatch):
    x, streamed = pair
    assert tensors.measurable(x) is x
    assert torch.equal(tensors.measurable(streamed), x)
    monkeypatch.setattr(memory, "free", lambda device: 10**6)
    with pytest.raises(ValueError, match=r"^measuring 2,500 images: 0\.0 GB of memory needed, 0\.0 GB free"):
        tensors.measurable(streamed)


def cut(file):
    os.truncate(file, 4096)


def alter(file):
    with open(file, "r+b") as stream:
        stream.seek(3000)
        stream.write(b"\xff" * 10)
    found = os.stat(file)
    os.utime(file, ns=(found.st_atime_ns, found.st_mtime_ns + 1))  # even within one tick of the file system's clock


@pytest.mark.parametrize("harm", [cut, alter])
def test_a_file_that_is_changed_while_it_is_read_is_an_error_that_names_it(harm, pair, tmp_path):
    streamed = pair[1]
    assert len(streamed[2400:2500]) == 100
    harm(path(tmp_path))
    with pytest.raises(ValueError, match=r"train\.npz: changed while it was read; `dvc checkout`"):
        streamed[2400:2500]


def test_a_file_that_is_replaced_is_read_on_as_it_was(pair, tmp_path):
    """DVC puts another file in its place; ours stays until we let it go."""
    x, streamed = pair
    (tmp_path / "new").write_bytes(b"another")
    os.replace(tmp_path / "new", path(tmp_path))
    assert torch.equal(streamed[:], x)


@settings(max_examples=200)
@given(st.data())
def test_a_damaged_npz_is_an_error_that_names_the_file(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp()
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    splits.save(folder, "mapped", (images, np.arange(3)))
    content = data.draw(damaged((folder / "mapped.npz").read_bytes()))
    (folder / "damaged.npz").write_bytes(content)
    try:
        found = streaming.npz(folder / "damaged.npz", "images")
    except ValueError as error:
        assert str(error).startswith(f"{folder / 'damaged.npz'}: not a readable npz")  # noqa: PT017
    else:  # the harm was done to bytes that mean nothing
        assert np.array_equal(found.array, images[:, None])


def test_a_compressed_npz_and_a_missing_one_are_refused(tmp_path):
    np.savez_compressed(path(tmp_path), images=np.zeros((5, 1, 2, 2), np.uint8), labels=np.zeros(5))
    with pytest.raises(ValueError, match=r"train\.npz: not a readable npz \(images is not as `prepare` writes it\)"):
        streaming.npz(path(tmp_path), "images")
    with pytest.raises(FileNotFoundError):
        streaming.npz(tmp_path / "none.npz", "images")


def test_a_full_disk_is_one_line(pair, monkeypatch):
    monkeypatch.setattr(
        streaming.tempfile,
        "TemporaryFile",
        lambda dir, buffering: open("/dev/full", "r+b", buffering=buffering),  # noqa: SIM115
    )
    words = rf"no room for a scratch file .*\({os.strerror(errno.ENOSPC)}\); fewer images"
    with pytest.raises(ValueError, match=words):
        pair[1].whole()
