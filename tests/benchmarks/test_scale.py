"""The benchmark of scale runs both ways and draws its picture; nothing here depends on how long it takes."""

import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scale(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    spec = importlib.util.spec_from_file_location("benchmarks_scale", ROOT / "benchmarks/scale.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module.document, "DOCUMENT", tmp_path / "performance.md")
    monkeypatch.setattr(module, "PICTURE", tmp_path / "scale.png")
    return module


def run(module, monkeypatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["scale.py", "--quick", *options])
    module.main()


def test_every_point_is_measured_both_ways_and_drawn(scale, monkeypatch, capsys, tmp_path):
    few, many = scale.Point(300, 14, 4), scale.Point(20_000, 28, 4)
    monkeypatch.setattr(scale, "QUICK", {"images": [few, many], "side": [few], "code": [few]})
    run(scale, monkeypatch, "--write")
    text = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    measured = [row[:2] for row in rows if row[1]]
    ways = list(scale.WAYS)
    assert measured == [[value, way] for value in ("300", "20,000", "14", "4") for way in ways]
    resident, private = ([float(row[i].split()[0].replace(",", "")) for row in rows if row[1]] for i in (3, 4))
    assert all(a > b > 50 for a, b in zip(resident, private, strict=True)), "torch alone takes that much"
    floats = 4 * 20_000 * 28 * 28 / 1e6
    assert private[2] - private[3] > 0.7 * floats, "mapped, the images are no memory of the process's own"
    written = scale.document.DOCUMENT.read_text()
    assert written.startswith(f"# Performance\n\n## Scale\n\n{text.strip()}\n\n![")
    assert written.endswith("](images/scale.png)\n")
    assert (tmp_path / "scale.png").read_bytes().startswith(b"\x89PNG")


def test_other_weights_are_refused_and_what_does_not_fit_is_left_out(scale, monkeypatch):
    point = scale.Point(300, 14, 4)

    def watched(way, point, folder):
        return scale.Took(1.0, 1.0, 1.0, way)

    monkeypatch.setattr(scale, "watched", watched)
    with pytest.raises(SystemExit, match="weights differ: not the same work"):
        scale.measure(point, 2)
    monkeypatch.setattr(scale.psutil, "virtual_memory", lambda: SimpleNamespace(available=300 * 14 * 14))
    assert scale.measure(point, 2) == {"mapped": 2 * [scale.Took(1.0, 1.0, 1.0, "mapped")]}


def test_no_rounds_are_refused(scale, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        run(scale, monkeypatch, "--rounds", "0")
    assert "--rounds: 0 is out of range; allowed: 1 or more" in capsys.readouterr().err
