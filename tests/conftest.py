"""Tests run on the same pinned libraries as stages: this import comes before torch's."""

from __future__ import annotations

import os
import signal

os.environ.setdefault("AELAB_TRACKING", "off")

import json
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest
from ruamel.yaml import YAML
from spawner import Spawner

from aelab.config import runtime

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).parent.parent
STAGES = {  # of a small pipeline, and what each reads: a diamond, a chain, a lonely one
    "split": ["start"],
    "left": ["split"],
    "right": ["split"],
    "join": ["left", "right"],
    "chain1": ["start"],
    "chain2": ["chain1"],
    "lonely": ["start"],
}
PATIENCE = 600  # seconds after which a test gives up: what hangs ends, and a busy machine has time

# A job in the background ignores Ctrl-C, and so would the processes that its tests start and interrupt.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True, scope="session")
def _pinned() -> None:
    runtime.pin("cpu", 1)


@pytest.fixture
def as_on_a_gpu(monkeypatch) -> None:
    """bf16 is torch's autocast, on a CPU too."""
    import torch

    monkeypatch.setattr(
        runtime, "autocast", lambda device, precision: torch.autocast("cpu", enabled=precision == "bf16")
    )


@pytest.fixture(scope="session")
def digits():
    """5,000 real digits, shuffled: images float32 [5000, 1, 28, 28] in [0, 1], labels int64 [5000]."""
    import torch

    from aelab.sources import published

    images, labels = published.fetch("mnist5k", ())["train"]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(images).float().div_(255)[order], torch.from_numpy(labels)[order]


def wait_for(condition: Callable[[], bool]) -> None:
    """Return when a condition holds."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether a process is at work: a dead one that nobody has reaped is not, and in a container nobody may do so."""
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
    except psutil.NoSuchProcess:
        return False


class Lab:
    """A folder like the project's root, in which stages run as real processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        shutil.copytree(ROOT / "stages", folder / "stages")
        shutil.copy(ROOT / "params.yaml", folder)
        drop = ("AELAB_MIRROR", "AELAB_TRACEBACK", "DVC_ROOT", "DVC_STAGE")
        self.env = {key: value for key, value in os.environ.items() if key not in drop}
        self.env |= {"AELAB_TRACKING": "off", "no_proxy": "*", "CUDA_VISIBLE_DEVICES": ""}

    def edit(self, old: str, new: str) -> None:
        """Replace the one place in params.yaml that reads `old`."""
        text = (self.folder / "params.yaml").read_text()
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in params.yaml"
        (self.folder / "params.yaml").write_text(text.replace(old, new))

    def change(self, change: Callable[[dict], object]) -> None:
        """Let `change` alter the tree of params.yaml."""
        path = self.folder / "params.yaml"
        tree = YAML(typ="safe").load(path)
        change(tree)
        path.write_text(json.dumps(tree))  # JSON is YAML

    def start(self, stage: str, *items: str, **options) -> subprocess.Popen:
        return subprocess.Popen(
            [sys.executable, f"stages/{stage}.py", *items],
            cwd=self.folder,
            env=self.env | options.pop("env", {}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )

    def run(self, stage: str, *items: str, **options) -> None:
        """Run a stage that is to succeed."""
        process = self.start(stage, *items, **options)
        _, errors = process.communicate(timeout=PATIENCE)
        assert process.returncode == 0, errors

    def fail(self, stage: str, *items: str, **options) -> str:
        """Run a stage that is to fail in one line and leave data/ as it was; the line."""
        before = self.files()
        process = self.start(stage, *items, **options)
        line = failed(process)
        assert line.startswith(" ".join((stage, *items)) + ": "), line
        assert self.files() == before
        return line

    def files(self) -> dict[str, bytes]:
        """What lies under data/, folders and half-written scratch included, but for the locks."""
        paths = [path for path in (self.folder / "data").rglob("*") if path.name != ".scratch"]
        kept = [path for path in paths if path.suffix != ".lock"]
        return {str(path.relative_to(self.folder)): path.read_bytes() if path.is_file() else b"" for path in kept}


def failed(process: subprocess.Popen) -> str:
    """The one line on stderr of a stage that failed as it should."""
    output, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, (process.returncode, errors)
    assert output == ""
    assert len(errors.splitlines()) == 1, errors
    assert "Traceback" not in errors
    return errors.strip()


@pytest.fixture
def lab(tmp_path) -> Lab:
    """An empty lab: nothing is downloaded."""
    return Lab(tmp_path / "lab")


@pytest.fixture(scope="session")
def _prepared(tmp_path_factory) -> Path:
    lab = Lab(tmp_path_factory.mktemp("prepared") / "lab")
    lab.run("download")
    lab.run("prepare")
    return lab.folder / "data"


@pytest.fixture
def prepared(lab, _prepared) -> Lab:
    """A lab in which mnist5k is downloaded and split."""
    shutil.copytree(_prepared, lab.folder / "data")
    return lab


@pytest.fixture(scope="session")
def spawner() -> Iterator[Spawner]:
    made = Spawner()
    yield made
    made.close()


def pytest_addoption(parser) -> None:
    parser.addoption("--faults", action="store_true", help="tests/faults in full: 20 kills per kind of model, not 1")
    parser.addoption("--write", action="store_true", help="write the table of kills into docs/reliability.md")


@pytest.fixture(scope="session")
def moments(request) -> int:
    """How often a stage of each kind is killed."""
    return 20 if request.config.getoption("--faults") else 1


@pytest.fixture(scope="session")
def clean() -> dict[str, str]:
    """The environment without anything that would steer DVC, MLflow or the lab."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("MLFLOW_", "DVC_", "AELAB_"))}


CHROMIUM = Path("/usr/bin/chromium")
QUIET = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
QUIET += ("--disable-component-update", "--disable-sync")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """A real browser that asks nobody for anything by itself."""
    if not CHROMIUM.exists():
        pytest.skip(f"needs a browser: {CHROMIUM} is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield browser
        browser.close()


@dataclass
class Tab:
    """One page in the browser. errors: what it complained of or popped up; requests: what it asked for."""

    page: Page
    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)


@pytest.fixture
def tab(chromium) -> Iterator[Tab]:
    """An empty tab of the browser."""
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE * 1000)
    made = Tab(context.new_page())
    made.page.on("console", lambda said: made.errors.append(said.text) if said.type in ("error", "warning") else None)
    made.page.on("pageerror", lambda error: made.errors.append(str(error)))
    made.page.on("dialog", lambda dialog: (made.errors.append(dialog.message), dialog.dismiss()))
    made.page.on("request", lambda request: made.requests.append(request.url))
    yield made
    context.close()


SLOW = ("test_pipeline.py", "test_tracking.py", "test_sweep.py", "test_repro.py", "test_study.py", "test_stage.py")


def pytest_collection_modifyitems(items):
    """The long files first, so that workers side by side end together; what starts processes is slow."""
    for item in items:
        if {"lab", "prepared", "chromium", "tab", "spawner"} & set(getattr(item, "fixturenames", ())):
            item.add_marker("slow")
    items.sort(key=lambda item: SLOW.index(item.path.name) if item.path.name in SLOW else len(SLOW))


def pytest_terminal_summary(terminalreporter, config):
    """The table of kills, also into its document."""
    reports = [report for some in terminalreporter.stats.values() for report in some]
    rows = [row for each in reports for name, row in getattr(each, "user_properties", ()) if name == "kills"]
    if not rows:
        return
    document = runpy.run_path(str(ROOT / "benchmarks/document.py"))
    machine = f"{document['model_name']()}, {os.cpu_count()} cores"
    lines = [
        f"`make test-faults PYTEST=--write`, {date.today().isoformat()}: {machine}.",
        "",
        "Moments are drawn from the processor's time between a stage's first checkpoint and its result; checkpoints",
        "after every step; `kill -9` for the stage, for one of its two seeds, or for all at once.",
        "",
        "| kind | stage | kills | same bytes | epochs behind checkpoints, not done again |",
        "|---|---|---:|---:|---:|",
        *dict.fromkeys(rows),
    ]
    terminalreporter.write_line("\n".join(lines))
    if config.getoption("--write"):
        document["write"]("Kills", "\n".join(lines), ROOT / "docs/reliability.md")
