"""The benchmark runs and compares like with like; nothing here depends on how long it takes."""

import argparse
import importlib.util
import re
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).parents[2]


def load(name: str, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", ROOT / f"benchmarks/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def training(monkeypatch, tmp_path):
    module = load("training", monkeypatch)
    monkeypatch.delenv("AELAB_MIRROR", raising=False)
    monkeypatch.setattr(module.document, "DOCUMENT", tmp_path / "performance.md")
    monkeypatch.delitem(module.LOOPS, "pythae", raising=False)  # no dependency: some have it
    monkeypatch.setattr(module, "HELD_OUT", 100)
    monkeypatch.setattr(module.floor, "SIDE", 128)
    monkeypatch.setattr(module.floor, "COPIED", 100_000)
    return module


def run(module, monkeypatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["training.py", "--images", "256", "--rounds", "1", *options])
    module.main()


def test_tables_name_every_contender_and_network(training, monkeypatch, capsys):
    run(training, monkeypatch, "--write")
    text = capsys.readouterr().out
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    names = [row[0].removeprefix("| ") for row in rows]
    contenders = ["ours", "usual", "usual, 2 workers", "by hand"]
    assert names == ["loop", *contenders, "network", *training.FAMILIES]
    cell = re.compile(r"\d+\.\d\d \(\d+\.\d\d to \d+\.\d\d\)")
    assert all(cell.fullmatch(row[1]) for row in rows[1:5])
    shares = [row[3 if len(row) == 6 else 1] for row in rows if row[0] not in ("| loop", "| network")]
    assert all(re.fullmatch(r"[1-9]\d*% \(\d+ to \d+\)", share) for share in shares)
    losses = [float(row[5].split()[0]) for row in rows[1:5]]
    assert max(losses) <= min(losses) * (1 + training.AGREE)
    assert "made images" in text
    assert training.document.DOCUMENT.read_text() == f"# Performance\n\n## Training\n\n{text}"


def test_both_memory_formats_are_timed(monkeypatch, capsys):
    module = load("memory_format", monkeypatch)
    monkeypatch.setattr(sys, "argv", ["memory_format.py", "--rounds", "1", "--steps", "1", "--entries", "conv"])
    module.main()
    torch.set_flush_denormal(False)  # as before, for the tests after this one
    row = capsys.readouterr().out.splitlines()[-1]
    assert re.fullmatch(r"\| conv( \| [\d.]+ \([\d.]+ to [\d.]+\)){3} \|", row)


def test_the_floor_counts_each_product_and_each_number_once(training):
    model = training.built("dense", {"widths": (30,)}, torch.device("cpu"))
    step = training.floor.step(model, torch.rand(8, 1, 28, 28), torch.Generator())
    forth, weights, back = 2 * 784 * 30, 2 * 784 * 30, 784 * 30  # the first layer's input needs no gradient
    parameters, outputs, pixels = 2 * 784 * 30 + 30 + 784, 8 * (30 + 784), 8 * 784
    assert step.flops == 2 * 8 * (forth + weights + back)
    assert step.bytes == 4 * (7 * parameters + 4 * outputs + 4 * pixels)
    assert step.seconds(training.floor.Machine(step.flops / 2, step.bytes / 3)) == pytest.approx(2 + 3)
    assert all(parameter.grad is None for parameter in model.parameters())


# The start of stages


# Seeds on a GPU


@pytest.fixture
def seeds(monkeypatch, tmp_path):
    module = load("gpu", monkeypatch)
    monkeypatch.setattr(module.document, "DOCUMENT", tmp_path / "performance.md")
    return module


def test_all_ways_of_learning_do_the_same_work(seeds):
    """On the CPU, where a graph is none."""
    x = torch.randint(0, 256, (200, 1, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images = seeds.Images(x, torch.zeros(200, dtype=torch.int64))
    options = argparse.Namespace(seeds=2, rounds=1, precision="float32")
    split = seeds.on(torch.device("cpu"), images)
    took = seeds.race("dense", {"widths": (8,)}, seeds.settings(("masking 0.3",)), split, images, options)
    seeds.check(took)
    table = [line.split(" | ") for line in seeds.rows("net", took)]
    assert [row[1] for row in table] == list(seeds.CONTENDERS)
    took["together"][0].losses[1] *= 1.02
    with pytest.raises(SystemExit, match="together: held-out loss"):
        seeds.check(took)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU: torch sees none")
def test_on_a_gpu_every_network_has_its_rows(seeds, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--images", "512", "--rounds", "1", "--write"])
    seeds.main()
    text = capsys.readouterr().out
    assert text.count("\n| ") == 1 + (len(seeds.NETWORKS) - 1) * len(seeds.CONTENDERS)  # vq_vae has to learn alone
    assert "## GPU" in seeds.document.DOCUMENT.read_text()
