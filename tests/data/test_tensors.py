"""Splits on the device: mapped from files, so that they may be larger than the memory."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from conftest import PATIENCE

from aelab.data import splits, tensors
from aelab.data.tensors import Tensors

CPU = torch.device("cpu")


@pytest.fixture
def part(tmp_path, monkeypatch):
    """Images and labels of a small split, in chunks of 16 rows."""
    monkeypatch.setattr(splits, "LEARNING", tmp_path)
    monkeypatch.setattr(tensors, "CHUNK", 16)
    monkeypatch.setattr(tensors, "SCRATCH", tmp_path)
    draw = np.random.default_rng(0)
    images = draw.integers(0, 256, (50, 1, 4, 4), dtype=np.uint8), draw.integers(0, 5, 50)
    splits.save(tmp_path / "train", images)
    return images


def test_a_split_has_its_pixels_between_0_and_1(part):
    x, y = tensors.split("train", CPU)
    assert torch.equal(x, torch.from_numpy(part[0]).float() / 255)
    assert torch.equal(y, torch.from_numpy(part[1]))


def test_a_balanced_draw_has_rows_of_the_split_and_a_larger_one_begins_with_it(part):
    split = tensors.split("train", CPU)
    few, many = (tensors.balanced(split, n, torch.Generator().manual_seed(0)) for n in (10, 30))
    assert torch.equal(many.x[:10], few.x)
    assert few.y.bincount().tolist() == [2] * 5
    rows = [(split.x == image).flatten(1).all(1).nonzero().item() for image in few.x]
    assert torch.equal(split.y[rows], few.y)


def test_temporary_files_have_no_name(part, tmp_path):
    kept = tensors.stored([torch.ones(3, 2), torch.zeros(1, 2)], CPU)
    assert kept.tolist() == [[1, 1], [1, 1], [1, 1], [0, 0]]
    assert [path.name for path in tmp_path.iterdir()] == ["train"]


def test_a_full_disk_is_one_line():
    code = """if True:
        import resource, torch
        from aelab.data import tensors
        resource.setrlimit(resource.RLIMIT_FSIZE, (10**5, 10**5))
        try:
            tensors.stored([torch.zeros(10**4)] * 9, torch.device("cpu"))
        except ValueError as error:
            print(error)
    """
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE).stdout
    assert said.startswith("data: no room for a temporary file of ")
    assert said.endswith(" (File too large); fewer images (prepare.limit) need less\n")


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
def test_a_split_takes_no_memory_that_the_system_cannot_take_back(tmp_path):
    splits.save(tmp_path / "train", (np.zeros((60_000, 1, 28, 28), np.uint8), np.zeros(60_000, np.int64)))
    code = """if True:
        import re
        from pathlib import Path
        import torch
        from aelab.data import splits, tensors
        splits.LEARNING = Path(".")
        def anonymous():
            return int(re.search(r"RssAnon:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) / 1000
        before = anonymous()
        x = tensors.split("train", torch.device("cpu")).x
        for rows in torch.randperm(len(x)).split(100):
            assert not x.index_select(0, rows).any()
        print(anonymous() - before)
    """
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert float(done.stdout) < 40, "MB; all images as floats are 188"


def test_a_phase_of_a_stack_reads_codes_from_a_file(part):
    from aelab.models.common import Phase
    from aelab.training import loop

    split = tensors.split("train", CPU)
    phase = Phase("second", [], lambda batch, generator: None, "total", lambda x: x.flatten(1) * 2)
    (codes,) = loop.inputs(phase, split)
    assert isinstance(codes, Tensors)
    assert torch.equal(codes.x, split.x.flatten(1) * 2)
