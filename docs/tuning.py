"""Choose the learning rates: train each entry of `models:` once per rate, with the budget of `train:`.

python docs/tuning.py                    every entry, rates from 1e-3 to 1.6e-2
python docs/tuning.py vae conv --rates 5e-4 1e-3
python docs/tuning.py conv --rates 8e-3 --steps 4000 --batch 128
python docs/tuning.py --table            the table of docs/tuning.md, from docs/tuning.csv

Run `dvc repro prepare` first. One seed, which is not one of the pipeline's; validation images only. Each result is a
line of docs/tuning.csv; what is there already is not trained again, so that an interrupted search goes on.
"""

from __future__ import annotations

import argparse
import csv
import dataclasses
import multiprocessing
import os
import time
from operator import itemgetter
from pathlib import Path
from typing import Any

CSV = Path(__file__).with_name("tuning.csv")
FIELDS = ("entry", "batch_size", "lr", "steps", "monitored", "validation", "best_step", "last_step", "fell", "seconds")
PAGE = CSV.with_suffix(".md")
BEGIN, END = "<!-- rates: begin (written by `python docs/tuning.py --table`) -->", "<!-- rates: end -->"
RATES = (2e-3, 4e-3, 8e-3, 1e-3, 1.6e-2)
SEED = 1000  # the pipeline's default is 1


class Quiet:
    """A callback that keeps the evaluations."""

    def __init__(self) -> None:
        self.rows: list[Any] = []

    def steps(self, phase: str, total: int) -> None:
        pass

    def step(self) -> None:
        pass

    def evaluated(self, evaluation: Any, model: Any) -> None:
        self.rows.append(evaluation)


def tried(job: tuple[str, float, dict[str, Any]]) -> dict[str, Any]:
    """Train one entry at one rate, with `changes` of its settings; a row of the table."""
    name, lr, changes = job
    from functools import partial

    from aelab.config import params, runtime, seeding
    from aelab.data import splits, tensors
    from aelab.models.common import Spec, registry
    from aelab.training.loop import fit
    from aelab.training.losses import DivergedError

    device = runtime.setup(params.load("runtime"))
    entry, settings = params.load_entry("train", "models", name)
    settings = dataclasses.replace(settings, lr=lr, preview_steps=(), **changes)
    meta = splits.meta()
    draw = partial(seeding.generator, SEED, "tuning")
    model = registry.build(entry.family, entry.config, Spec(meta.shape, len(meta.classes)), draw("init"))
    callback, began = Quiet(), time.monotonic()
    row: dict[str, Any] = {"entry": name, "batch_size": settings.batch_size, "lr": f"{lr:g}"}
    data = tensors.split("train", device), tensors.split("validation", device)
    row["steps"] = settings.steps(len(data[0].x))
    try:
        fit(model, *data, settings, draw, callback)
    except DivergedError:
        return row | {"validation": "diverged"}
    if not callback.rows:
        return row | {"validation": "closed form"}
    rows = [item for item in callback.rows if item.phase == callback.rows[-1].phase]
    best = min(rows, key=lambda item: item.monitor)
    before = min(
        (item.monitor for item in rows if item.step <= 0.8 * item.budget), default=float("nan")
    )  # too few steps
    row |= {"monitored": best.monitored, "validation": f"{best.monitor:.5g}", "best_step": best.step}
    fell = (before - best.monitor) / abs(before)
    return row | {"last_step": rows[-1].step, "fell": f"{fell:.4f}", "seconds": round(time.monotonic() - began)}


def table() -> str:
    """The table of docs/tuning.md: a row per entry and budget, the best rate in bold."""
    with CSV.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    rates = sorted({float(row["lr"]) for row in rows})
    lines = ["| entry | batch | steps | " + " | ".join(f"{rate:g}" for rate in rates) + " | fell |"]
    lines.append("|---|---:|---:|" + "---:|" * (len(rates) + 1))
    key = itemgetter("entry", "batch_size", "steps")
    for name, batch, steps in dict.fromkeys(key(row) for row in rows if row["best_step"]):
        found = {float(row["lr"]): row for row in rows if key(row) == (name, batch, steps)}
        tried = {rate: row for rate, row in found.items() if row["best_step"]}
        best = min(tried, key=lambda rate: float(tried[rate]["validation"]))
        cells = [found[rate]["validation"] if rate in found else "" for rate in rates]
        cells = [f"**{cell}**" if rate == best else cell for rate, cell in zip(rates, cells, strict=True)]
        fell = f"{100 * float(tried[best]['fell']):.1f}%"
        lines.append(f"| {name} | {batch} | {int(steps):,} | " + " | ".join(cells) + f" | {fell} |")
    return "\n".join(lines)


def write_table() -> None:
    """Put the table into docs/tuning.md, between its marks."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}", encoding="utf-8")


def main() -> None:
    from aelab.config import params

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("entries", nargs="*", help="entries of models: (default: all)")
    parser.add_argument("--rates", nargs="+", type=float, default=RATES, help="top learning rates")
    parser.add_argument("--steps", type=int, help="another budget than that of params.yaml")
    parser.add_argument("--batch", type=int, help="another batch size than that of params.yaml")
    parser.add_argument("--table", action="store_true", help="write the table of docs/tuning.md only")
    arguments = parser.parse_args()
    if arguments.table:
        write_table()
        return
    names = arguments.entries or [
        n for n in params.load("models") if params.load(f"models.{n}").family != "closed_form"
    ]
    done = set()
    if CSV.exists():
        with CSV.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        done = {(row["entry"], int(row["batch_size"]), float(row["lr"]), int(row["steps"])) for row in rows}
    else:
        CSV.write_text(",".join(FIELDS) + "\n", encoding="utf-8")
    changes: dict[str, Any] = {"max_steps": arguments.steps, "max_epochs": None} if arguments.steps else {}
    changes |= {"batch_size": arguments.batch} if arguments.batch else {}
    jobs = []
    for lr in arguments.rates:
        for name in names:
            settings = dataclasses.replace(params.load_entry("train", "models", name)[1], **changes)
            if (name, settings.batch_size, lr, settings.max_steps) not in done:
                jobs.append((name, lr, changes))
    with multiprocessing.get_context("spawn").Pool(len(os.sched_getaffinity(0)), maxtasksperchild=8) as pool:
        for row in pool.imap_unordered(tried, jobs):
            with CSV.open("a", encoding="utf-8", newline="") as file:
                csv.DictWriter(file, FIELDS, lineterminator="\n").writerow(row)
            print(*row.values(), flush=True)


if __name__ == "__main__":
    main()
