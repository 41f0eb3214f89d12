"""The tracking UI as people see it: what stages told, a real server, a real browser."""

from __future__ import annotations

import contextlib
import json
import os
import re
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
        recorder.image("preview_best", np.full((56, 280), 200, np.uint8), step=0)
"""
COMPARED = """
from aelab.tracking import Recorder
with Recorder(experiment="digits", stage="compare") as recorder:
    recorder.headlines({"best/up-to-32 sse": float(open("params.yaml").read().split()[-1])})
"""


def record(script, folder, environment):
    """Run stages until the store has what they logged."""
    subprocess.run([sys.executable, "-c", script], cwd=folder, env=environment, check=True, timeout=PATIENCE)
    wait_for(lambda: not any((folder / ".aelab").glob("*/*.jsonl")))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """`aelab ui` on a store of two trained models and two compared states; its words, when it says where to look."""
    folder = tmp_path_factory.mktemp("ui")
    environment = os.environ | {"AELAB_TRACKING": "on", "DVC_ROOT": str(folder), "no_proxy": "*"}
    environment.pop("MLFLOW_TRACKING_URI", None)
    # before there is a pipeline, so that its runs lie below no state, folded up
    record(TOLD, folder, environment)
    subprocess.run(["git", "init", "-q"], cwd=folder, check=True)
    (folder / "dvc.yaml").write_text(json.dumps({"stages": {"compare": {"cmd": "true"}}}))
    for number in (5, 7):
        (folder / "params.yaml").write_text(f"number: {number}\n")
        subprocess.run(["git", "add", "-A"], cwd=folder, check=True)
        record(COMPARED, folder, environment)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "aelab.cli", "ui", "--port", str(port)]
    with open(folder / "ui.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:

        def address() -> re.Match[str] | None:
            assert process.poll() is None, (folder / "ui.log").read_text()[-2000:]
            return re.search(r"^AE Lab: (\S+)$", (folder / "ui.log").read_text(), re.MULTILINE)

        wait_for(lambda: address() is not None)
        found = address()
        assert found
        yield found[1]
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have failed
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=PATIENCE)


def test_the_experiment_lists_its_runs_and_compares_them(server, tab):
    page = tab.page
    page.set_viewport_size({"width": 1600, "height": 2600})  # charts are drawn when they come into sight
    page.goto(server.partition("&searchFilter")[0])
    for name in ("train ae", "train vae"):
        page.get_by_role("link", name=name, exact=True).first.wait_for()
    for name in ("train ae (validation", "train vae (validation"):
        page.get_by_text(name).first.wait_for()
    grid = page.locator("img[src*='preview_best']")
    grid.nth(1).wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll(\"img[src*='preview_best']\")].every(each => each.naturalWidth)"
    )
    assert grid.count() == 2, "the preview of both models"


def test_the_address_that_is_printed_shows_states_side_by_side_in_the_mode_for_training(server, tab):
    page = tab.page
    page.goto(server)
    page.get_by_text("best/up-to-32 sse").first.wait_for()
    states = page.get_by_role("link", name="default", exact=True)
    states.nth(1).wait_for()
    assert states.count() == 2
    assert page.get_by_role("link", name="train ae").count() == 0, "clear the filter to see it"
    assert page.get_by_role("link", name="Models", exact=True).count(), "the other mode has no such page"
    assert page.get_by_role("link", name="Evaluation runs").count() == 0
    assert "workflowType=machine_learning" in page.url
    assert all(request.startswith(("http://127.0.0.1:", "data:", "blob:")) for request in tab.requests)


def test_the_experiment_is_of_the_kind_for_training_and_telemetry_is_off(server):
    root = server.partition("/#")[0]
    with urllib.request.urlopen(f"{root}/api/2.0/mlflow/experiments/get?experiment_id=1", timeout=PATIENCE) as answer:
        tags = {tag["key"]: tag["value"] for tag in json.load(answer)["experiment"]["tags"]}
    assert tags["mlflow.experimentKind"] == "custom_model_development"
    with urllib.request.urlopen(f"{root}/ajax-api/3.0/mlflow/ui-telemetry", timeout=PATIENCE) as answer:
        assert json.load(answer)["disable_ui_telemetry"] is True


def test_a_taken_port_is_one_line(server, tmp_path):
    port = server.split(":")[2].partition("/")[0]
    environment = os.environ | {"DVC_ROOT": str(tmp_path)}
    command = [sys.executable, "-m", "aelab.cli", "ui", "--port", port]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 1
    assert (
        done.stderr
        == f"aelab ui: port {port}: Address already in use; `aelab ui --port {int(port) + 1}` takes another\n"
    )
    assert not list(tmp_path.iterdir())


def test_nobody_but_this_machine_is_served(server):
    port = int(server.split(":")[2].partition("/")[0])
    outside = {each[4][0] for each in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in outside:
        with socket.socket() as attempt:
            attempt.settimeout(2)
            assert attempt.connect_ex((address, port)) != 0, f"{address} is served"
