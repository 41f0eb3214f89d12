"""The tracking UI as people see it: what stages told, a real server, a real browser."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request

import pytest
from conftest import PATIENCE, wait_for

TOLD = """
import numpy as np
from aelab.tracking import Recorder
for item, low in (("ae", 2.0), ("vae", 3.0)):
    with Recorder(experiment="digits", stage="train", item=item) as recorder:
        recorder.params({"seed": 1, "model": {"family": item}})
        for epoch in range(1, 4):
            for seed in range(2):
                recorder.metrics({"validation/total": low + 1 / epoch + seed}, step=epoch, replicate=seed)
        recorder.image("panel_kept", np.full((56, 280), 200, np.uint8), step=0)
"""


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`aelab ui` on a store of two trained models; its address."""
    folder = tmp_path_factory.mktemp("ui")
    for name in ("params.yaml", "dvc.yaml"):
        (folder / name).touch()
    environment = os.environ | {"AELAB_TRACKING": "on", "DVC_ROOT": str(folder), "no_proxy": "*"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    subprocess.run([sys.executable, "-c", TOLD], cwd=folder, env=environment, check=True, timeout=PATIENCE)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "aelab.cli", "ui", "--port", str(port)]
    with open(folder / "ui.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:

        def answers() -> bool:
            assert process.poll() is None, (folder / "ui.log").read_text()[-2000:]
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
            return False

        wait_for(answers)
        yield f"http://127.0.0.1:{port}"
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have failed
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=PATIENCE)


def test_the_experiment_lists_its_runs_and_compares_them(server, tab):
    page = tab.page
    page.set_viewport_size({"width": 1600, "height": 2600})  # charts are drawn when they come into sight
    page.goto(f"{server}/#/experiments/1/runs?compareRunsMode=CHART")
    for name in ("train ae", "train vae"):
        page.get_by_role("link", name=name, exact=True).first.wait_for()
    for name in ("train ae (validation", "train vae (validation"):
        page.get_by_text(name).first.wait_for()
    grid = page.locator("img[src*='panel_kept']")
    grid.nth(1).wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll(\"img[src*='panel_kept']\")].every(each => each.naturalWidth)"
    )
    assert grid.count() == 2, "the panel of both models"


def test_nobody_but_this_machine_is_served(server):
    port = int(server.rpartition(":")[2])
    outside = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in outside:
        with socket.socket() as attempt:
            attempt.settimeout(2)
            assert attempt.connect_ex((address, port)) != 0, f"{address} is served"
