"""The peak memory of the stages up to training, on large data: 100,000 images in colour, and a table of 1,000,000 rows.
    python benchmarks/large.py [--quick]

Data is drawn into a temporary folder, `aelab use` makes a study of it, and its stages run one after another, each in a
process of its own. Another process reads how much memory they hold that the system could not take back by dropping
pages of files (Linux's Pss_Anon, of forked processes too). The study is deleted at the end.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import document
import numpy as np
import psutil

from aelab.sources import customers, sprites

READING = 0.05  # seconds between two readings
ENTRIES = {"image": ("ae", "conv_ae"), "table": ("dae_swap", "table_dae")}
PIECE = 5_000
AELAB = (sys.executable, "-m", "aelab.cli")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--quick", action="store_true", help="a hundredth of the data, which still takes minutes: budgets are in steps"
    )
    options = parser.parse_args()
    share = 100 if options.quick else 1
    lines = [document.measured("1 thread a process"), "", "| data | stage | seconds | peak memory, GiB |"]
    lines.append("| --- | --- | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        for kind, make, count in (("image", images, 100_000 // share), ("table", table, 1_000_000 // share)):
            path, name = make(Path(folder), count), f"large_{kind}"
            subprocess.run([*AELAB, "use", str(path), name], check=True)
            try:
                for stage in ("download", "prepare", "corrupt", *(f"train {entry}" for entry in ENTRIES[kind])):
                    lines.append(f"| {count:,} {path.name} | {stage} | {measured(name, stage)} |")
            finally:
                subprocess.run([*AELAB, "study", "delete", name], check=True)
                path.unlink()
    print("\n".join(lines))


def images(folder: Path, count: int) -> Path:
    """Sprites in colour, uint8 [count, 3, 64, 64], as an npy."""
    path = folder / "images.npy"
    x = np.lib.format.open_memmap(path, "w+", np.uint8, (count, 3, sprites.SIDE, sprites.SIDE))
    for seed, start in enumerate(range(0, count, PIECE)):
        part = x[start : start + PIECE]
        part[:] = sprites.draw(len(part), seed)[0]
    x.flush()
    return path


def table(folder: Path, count: int) -> Path:
    """Customers: numbers and categories, missing values, as a csv."""
    import pandas as pd

    path = folder / "rows.csv"
    for seed, start in enumerate(range(0, count, PIECE)):
        x, labels = customers.draw(min(PIECE, count - start), seed)
        frame = pd.DataFrame(x, columns=list(customers.COLUMNS)).round(3)
        for name, words in customers.COLUMNS.items():
            if words:
                frame[name] = frame[name].map(dict(enumerate(words)))
        frame["class"] = [customers.GROUPS[label] for label in labels]
        frame.to_csv(path, mode="a", header=not start, index=False)
    return path


def measured(name: str, stage: str) -> str:
    """Run a stage of a study: its seconds and its peak memory, as cells of a table."""
    script, *entry = stage.split()
    began, most = time.monotonic(), 0
    log = Path("studies") / name / "large.log"
    with log.open("w") as out:
        command = [sys.executable, f"../../stages/{script}.py", *entry]
        process = subprocess.Popen(command, cwd=log.parent, stdout=out, stderr=subprocess.STDOUT)
        while process.poll() is None:
            most = max(most, held(process.pid))
            time.sleep(READING)
    if process.returncode:
        sys.exit(f"{stage}: {log.read_text().strip().splitlines()[-1]}")
    print(f"{name}: {stage}, {time.monotonic() - began:.0f} s, {most / 2**30:.2f} GiB", file=sys.stderr, flush=True)
    return f"{time.monotonic() - began:.0f} | {most / 2**30:.2f}"


def held(pid: int) -> int:
    """Bytes of memory, but for pages of files, of a process and those that it started; what they share counts once."""
    total = 0
    try:
        family = [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    except psutil.NoSuchProcess:
        return 0
    for each in family:
        try:
            lines = Path(f"/proc/{each}/smaps_rollup").read_text().splitlines()
        except OSError:  # it has ended
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss_Anon:"))
    return total


if __name__ == "__main__":
    main()
