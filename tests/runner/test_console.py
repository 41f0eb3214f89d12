"""What `aelab repro` says while it runs."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from aelab.runner import console

NAMES = ["prepare", *(f"train@{name}" for name in "abcd"), *(f"evaluate@{name}" for name in "abcd")]


@pytest.fixture
def clock(monkeypatch):
    """A clock that a test sets."""
    now = [100.0]
    monkeypatch.setattr(console.time, "monotonic", lambda: now[0])
    return now


def test_lines_say_how_much_time_is_left(clock, capsys):
    view = console.Lines()
    view.plan(NAMES)
    clock[0] += 240
    for name, seconds in (("prepare", 0), ("train@a", 200), ("train@b", 280)):
        view.ended(name, "ran", seconds)
    # two at once; left: two of 240 seconds, and four of which none is known, of 160 on average
    said = capsys.readouterr().err.splitlines()
    assert "left" not in said[1]
    assert said[2].endswith("3/9 ran train@b, 280 s, about 10 min left")
    view.ended("evaluate@a", "ran", 12)
    assert capsys.readouterr().err.strip().endswith("12 s, about 5 min left"), "the others will take as long"
    for name in NAMES[3:5] + NAMES[6:]:
        view.ended(name, "cached", 0)
    assert view.left() == ""
    assert view.summary() == "4 ran, 5 cached"


def test_in_a_partial_run_most_stages_are_expected_to_be_up_to_date(clock):
    view = console.Lines()
    view.plan(["download", *(f"train@{i}" for i in range(20))])
    clock[0] += 180
    for i in range(10):
        view.ended(f"train@{i}", *(("ran", 60) if i < 3 else ("unchanged", 0)))
    assert view.left() == ", about 4 min left", "three of ten took 180 s; eleven stages wait"


def test_a_terminal_shows_a_bar(clock, monkeypatch):
    view = console.Live()
    view.screen.stop()
    view.plan(NAMES)
    for name in NAMES[:3]:
        view.count(name, "ran", 60)
    view.running["train@c"] = (95.0, Path("no such log"))
    out = Console(file=io.StringIO(), width=100)
    view.looked = clock[0]
    out.print(view.table())
    title, bar, row = out.file.getvalue().splitlines()
    assert title.startswith("0:00  3 ran, 3 of 9 stages, about 1 min left")
    assert set(bar.strip()) <= set("━╸╺")
    assert row.split() == ["train@c", "0:05"]
