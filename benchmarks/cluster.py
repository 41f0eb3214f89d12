"""studies/demo on a cluster of four nodes beside `aelab repro -j 4` on the same machine, from nothing, turn by turn.

    python benchmarks/cluster.py [--rounds 3] [--write]

The nodes (ray.cluster_utils) have one core each, caches of their own and a remote in a folder; they are started before.
Their workers start with the run, and load their libraries then.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import document

ROOT, STUDY, NODES = Path(__file__).parents[1], Path("studies/demo"), 4
os.environ |= {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0", "RAY_AUTH_MODE": "disabled", "AELAB_TRACKING": "off"}


def copy(folder: Path) -> None:
    """This project in a repository of its own."""
    listed = subprocess.run(["git", "ls-files", "-coz", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True)
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    for words in (
        ["init", "-q"],
        ["add", "-A"],
        ["-c", "user.name=x", "-c", "user.email=x@localhost", "commit", "-qmx"],
    ):
        subprocess.run(["git", *words], cwd=folder, check=True)


def run(folder: Path, remote: Path, *options: str) -> tuple[float, str]:
    """Seconds of a run from nothing, and what it said."""
    subprocess.run(["git", "clean", "-fdxq"], cwd=folder, check=True)
    shutil.rmtree(remote, ignore_errors=True)
    settings = f"[core]\n    remote = here\n['remote \"here\"']\n    url = {remote}\n"
    (folder / STUDY / ".dvc" / "config.local").write_text(settings)
    command = [sys.executable, "-m", "aelab.cli", "repro", str(STUDY), *options]
    began = time.monotonic()
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    seconds = time.monotonic() - began
    if done.returncode:
        sys.exit(done.stderr)
    return seconds, done.stderr


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    chosen = parser.parse_args()
    from ray.cluster_utils import Cluster

    ratios, here, there, beside, locks = [], [], [], [], set()
    with tempfile.TemporaryDirectory() as scratch:
        folder, remote = Path(scratch, "lab"), Path(scratch, "remote")
        copy(folder)
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
        for number in range(NODES):
            cluster.add_node(num_cpus=1, env_vars={"AELAB_NODE_DIR": f"{scratch}/node{number}"})
        for round_ in range(chosen.rounds):
            pair = {}
            for how in sorted(("local", "cluster"), reverse=bool(round_ % 2)):
                options = ["-j", str(NODES)] if how == "local" else ["--on", cluster.address]
                for node in Path(scratch).glob("node*"):  # caches too begin with nothing
                    shutil.rmtree(node)
                pair[how], said = run(folder, remote, *options)
                locks.add((folder / STUDY / "dvc.lock").read_bytes())
                if found := re.search(r"([\d.]+) s a stage beside its command", said):
                    beside.append(float(found[1]))
                print(f"round {round_ + 1}: {how} {pair[how]:.0f} s", flush=True)
            here.append(pair["local"])
            there.append(pair["cluster"])
            ratios.append(pair["cluster"] / pair["local"])
        cluster.shutdown()
    text = f"""`aelab repro studies/demo`, 21 stages, from nothing, turn by turn; locks that came out: {len(locks)}.

| | seconds |
|---|---:|
| `-j {NODES}`, processes of this machine | {document.ranged(here, 0)} |
| `--on` {NODES} nodes of one core each, on this machine, with a remote between them | {document.ranged(there, 0)} |
| ratio, round by round | {document.ranged(ratios)} |
| of a stage on a node, beside its command (median) | {statistics.median(beside):.1f} |

Medians, least and most. {document.measured(f"{chosen.rounds} rounds")}"""
    print(text)
    if chosen.write:
        document.write("Cost, measured", text, ROOT / "docs/cluster.md")


if __name__ == "__main__":
    main()
