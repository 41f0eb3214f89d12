"""Put the numbers of metrics/ into the documents, so that none is typed by hand.

python docs/results.py                          best models and table in README.md
python docs/results.py docs/results-mnist.md    a page of its own, of the run that metrics/ holds now
"""

from __future__ import annotations

import math
import os
import platform
import subprocess
import sys
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
from ruamel.yaml import YAML

from aelab.report.formatting import title
from aelab.report.metric_specs import number, spec
from aelab.tracking.state import leaves

BEGIN, END = "<!-- results: begin (written by `python docs/results.py`) -->", "<!-- results: end -->"
MOST = 5  # rows per question
# question, the metric that ranks, direction, further columns, the largest latent dimension (and the smallest)
QUESTIONS = (
    ("Rebuild from 1 to 4 numbers", "sse", ("latent_dim", "psnr", "probe_accuracy"), (0, 4)),
    ("Rebuild from 5 to 32 numbers", "sse", ("latent_dim", "psnr", "probe_accuracy"), (5, 32)),
    ("Rebuild from 33 to 783 numbers", "sse", ("latent_dim", "psnr", "probe_accuracy"), (33, 783)),
    ("Remove gaussian noise 0.5", "psnr/gaussian-0.5", ("psnr", "parameters"), (0, math.inf)),
    (
        "Codes for a linear classifier, up to 783 numbers",
        "probe_accuracy",
        ("latent_dim", "few_labels_accuracy"),
        (0, 783),
    ),
    ("New images", "frechet_distance", ("precision", "recall", "negative_elbo"), (0, math.inf)),
    ("Labels: stacks after fine-tuning", "test_error/100", ("test_error/1000", "test_error/all"), None),
)

# full MNIST: entry, metric, its name and unit, published, where and how
PUBLISHED = (
    ("hinton_ae_best", "sse", "squared error per image", 3.00, "Hinton & Salakhutdinov 2006, pretrained as RBMs"),
    ("unrolled_rbm", "sse", "squared error per image", 3.00, "the same"),
    ("vae", "negative_elbo", "negative ELBO, nats, grey", 105.56, "PyTorch's example, 10 epochs on 60,000 images"),
    ("vae_burda", "nll", "NLL, nats, binarised", 86.76, "Burda et al. 2015, 3,280 epochs, 5,000 draws"),
    ("iwae_burda", "nll", "NLL, nats, binarised", 85.54, "Burda et al. 2015, 3,280 epochs, 5,000 draws"),
    ("stack_dae", "test_error/all", "test error, %", 1.28, "Vincent et al. 2010, three layers"),
    ("stack_ae", "test_error/all", "test error, %", 1.40, "Vincent et al. 2010, three layers"),
    ("stack_rbm", "test_error/all", "test error, %", 1.24, "Vincent et al. 2010, three layers"),
)


def table(csv: Path = Path("metrics/comparison.csv")) -> str:
    """The best few of each question as Markdown, with the columns that decide."""
    frame = pd.read_csv(csv)
    parts = []
    for question, metric, further, size in QUESTIONS:
        if metric not in frame:
            continue
        rows = frame[frame[metric].notna()]
        if size:
            rows = rows[rows["latent_dim"].between(*size)]
        rows = rows.sort_values(metric, ascending=spec(metric).direction == "lower", kind="stable")
        columns = [metric, *(column for column in further if column in frame)]
        lines = [f"| {question} | " + " | ".join(f"{title(m)} {spec(m).arrow}".strip() for m in columns) + " |"]
        lines.append("|---|" + "---:|" * len(columns))
        for row in rows.to_dict("records")[: MOST if size else len(rows)]:
            lines.append(f"| {row['name']} | " + " | ".join(_cell(row, column) for column in columns) + " |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _cell(row: dict[Any, Any], metric: str) -> str:
    """mean ± standard deviation over seeds; empty where the metric does not apply."""
    value, spread = row[metric], row.get(f"{metric}_std", math.nan)
    if math.isnan(value):
        return ""
    return number(value, metric) + ("" if math.isnan(spread) else f" ± {number(spread, metric)}")


def readme(text: str) -> str:
    """README's text with the best models and the table of metrics/ between its two marks."""
    before, rest = text.split(BEGIN)
    return (
        f"{before}{BEGIN}\n\n{best()}\n\n### The best five of each question\n\n{table()}\n\n{END}{rest.split(END)[1]}"
    )


def best(comparison: Path = Path("metrics/comparison.md")) -> str:
    """The best models, as the comparison begins with them."""
    return comparison.read_text().partition("## Answers\n")[2].partition("\n## ")[0].strip()


def page() -> str:
    """metrics/comparison.md as a page that says how, where and when it was made."""
    title, body = Path("metrics/comparison.md").read_text().split("\n", 1)
    import torch

    committed = subprocess.run(["git", "show", "HEAD:params.yaml"], capture_output=True, check=True).stdout
    usual, here = (dict(leaves(YAML(typ="safe").load(each))) for each in (committed, Path("params.yaml")))
    changed = [f"`{name}={value}`" for name, value in here.items() if usual.get(name) != value]
    made = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}"
    how = f"Made with params.yaml, but {', '.join(changed)}: {made}, {date.today().isoformat()}."
    entries = [name.split(".")[:2] for name in usual if name not in here]
    missing = dict.fromkeys(f"`{name}`" for group, name in entries if group in ("models", "unrolled", "stacks"))
    how += f" Left out: {', '.join(missing)}." if missing else ""
    beside = published() if here["data.name"] == "mnist" else ""
    return f"{title}\n\n{how}\n{beside}{body}"


def published() -> str:
    """What papers report, beside the same measure here and the steps it took."""
    rows = {row["name"]: row for row in pd.read_csv("metrics/comparison.csv").to_dict("records")}
    curves = pd.read_csv("metrics/curves.csv")
    steps = curves.groupby("name")["step"].last()  # of the last phase; of a stack: with all labels
    lines = [
        "",
        "## Beside published numbers",
        "",
        "| model | | here | steps | published | |",
        "|---|---|---:|---:|---:|---|",
    ]
    for name, metric, words, reported, source in PUBLISHED:
        if name in rows and metric in rows[name]:
            ours = _cell(rows[name], metric)
            lines.append(f"| {name} | {words} | {ours} | {steps[name]} | {reported:.2f} | {source} |")
    return "\n".join([*lines, ""])


def main() -> None:
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(page())
    else:
        path = Path("README.md")
        path.write_text(readme(path.read_text()))


if __name__ == "__main__":
    main()
