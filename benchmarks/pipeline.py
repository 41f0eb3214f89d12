"""The pipeline by `aelab repro -j N` beside `dvc repro`, taking turns.

    python benchmarks/pipeline.py [--jobs 4] [--rounds 1] [--write] [TARGET ...]

Both run every stage anew (--force) in one copy of the checkout, with its cache and a tracking store of its own, and
must leave the same dvc.lock, byte for byte. Targets are
DVC's, such as train or evaluate@vae; none: the whole pipeline, which takes most of an hour.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from document import measured, ranged, write

from aelab.runner import cores

ROOT = Path(__file__).parents[1]


def main() -> None:
    options = arguments()
    ways = {
        "dvc repro": ["dvc", "repro", "--force", *options.targets],
        f"aelab repro -j {options.jobs}": ["aelab", "repro", "--force", "-j", str(options.jobs), *options.targets],
    }
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    with tempfile.TemporaryDirectory() as folder:
        run("git", "clone", "--quiet", str(ROOT), folder, at=ROOT)
        cache = subprocess.run(["dvc", "cache", "dir"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        run("dvc", "cache", "dir", "--local", cache.strip(), at=Path(folder))
        run("aelab", "repro", *options.targets, at=Path(folder))  # what lies upstream
        locks = {(Path(folder) / "dvc.lock").read_bytes()}
        for number in range(options.rounds):
            for way in list(ways) if number % 2 else reversed(ways):
                began = time.perf_counter()
                run(*ways[way], at=Path(folder))
                seconds[way].append(time.perf_counter() - began)
                locks.add((Path(folder) / "dvc.lock").read_bytes())
                print(f"{way}: {seconds[way][-1]:.0f} s", file=sys.stderr, flush=True)
    text = report(seconds, options.targets, len(locks) == 1)
    print(text)
    if options.write:
        write("Stages side by side", text)
    if len(locks) > 1:
        sys.exit("dvc.lock differs")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", help="stages; none: all")
    parser.add_argument("--jobs", type=int, default=cores.count(), help="as of `aelab repro`")
    parser.add_argument("--rounds", type=int, default=1, help="how often each runs")
    parser.add_argument("--write", action="store_true", help="also write docs/performance.md")
    options = parser.parse_args()
    if min(options.jobs, options.rounds) < 1:
        parser.error("--jobs, --rounds: out of range; allowed: 1 or more")
    return options


def run(*command: str, at: Path) -> None:
    """Run a command in the copy. Its words are shown where it fails."""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(command, cwd=at, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}:\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}")


def report(seconds: dict[str, list[float]], targets: list[str], same: bool) -> str:
    """The section of docs/performance.md: ratios first, each taken within its round."""
    (slow, first), *_ = seconds.items()
    rows = [
        f"| {way} | {ranged([a / b for a, b in zip(first, took, strict=True)])} | {ranged(took, 0)} |"
        for way, took in seconds.items()
    ]
    what = ", ".join(targets) or "The whole default pipeline"
    return "\n".join(
        [
            measured(),
            "",
            f"{what}, every stage run anew (`--force`), in turns, rounds: {len(first)}; dvc.lock "
            f"{'is the same after each, byte for byte' if same else 'DIFFERS'}. Each cell is a median (least to most).",
            "",
            f"| | times as fast as {slow} | seconds |",
            "|---|---:|---:|",
            *rows,
        ]
    )


if __name__ == "__main__":
    main()
