"""Take the screenshots of docs/images again: `make screenshots`, after `dvc repro`, with Chromium installed.

report.png is the top of metrics/report.html; mlflow-runs.png and mlflow-chart.png show the MLflow UI on the store of
this
checkout. screenshots.json keeps the SHA-256 of the metrics that they show: a test fails once metrics/ has changed.
"""

from __future__ import annotations

import hashlib
import io
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
SUMMARY = ROOT / "metrics/summary.json"
CHROMIUM = "/usr/bin/chromium"
PORT = 5089
RUNS = "attributes.run_name LIKE 'train %vae'"  # the runs of the chart,
CHARTS = "^(train|validation)/total|preview_best"  #   and their charts
MILLISECONDS = 120_000  # to wait for a page of the UI at most


@contextmanager
def ui() -> Iterator[str]:
    """`aelab ui` at work; the address that it prints."""
    command = [sys.executable, "-m", "aelab.cli", "ui", "--port", str(PORT)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout
            yield next(line.removeprefix("AE Lab: ").strip() for line in server.stdout if line.startswith("AE Lab: "))
        finally:
            server.terminate()


def save(page: Page, name: str, colours: int | None = None) -> None:
    """Write docs/images/<name>.png, with so many colours at most."""
    image = Image.open(io.BytesIO(page.screenshot()), formats=["PNG"]).convert("RGB")
    (image.quantize(colours) if colours else image).save(IMAGES / f"{name}.png", optimize=True)


def main() -> None:
    with sync_playwright() as playwright, ui() as address:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(MILLISECONDS)
        page.goto((ROOT / "metrics/report.html").as_uri())
        save(page, "report", 256)
        page.goto(address)
        page.get_by_text("best/denoiser psnr").first.wait_for()
        page.get_by_role("button", name="Close", exact=True).click()  # of the assistant beside the charts
        page.wait_for_timeout(3000)  # the bars grow
        save(page, "mlflow-runs", 256)
        page.set_viewport_size({"width": 1400, "height": 1150})
        page.goto(re.sub(r"searchFilter=[^&]*", f"searchFilter={quote(RUNS)}", address))
        states = page.locator("button[data-component-id*=runnamecellrenderer]")
        states.first.wait_for()
        for state in reversed(states.all()):  # a model's run is below the state that trained it
            state.click()
        page.get_by_placeholder("Search metric charts").fill(CHARTS)
        page.get_by_text("validation/total").first.wait_for()
        page.wait_for_timeout(3000)
        save(page, "mlflow-chart", 256)
        browser.close()
    digest = hashlib.sha256(SUMMARY.read_bytes()).hexdigest()
    (IMAGES / "screenshots.json").write_text(json.dumps({"metrics/summary.json": digest}, indent=1) + "\n")


if __name__ == "__main__":
    main()
