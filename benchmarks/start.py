"""How long stages take to begin, beside `import torch`, and `dvc repro` where there is nothing to do.

    python benchmarks/start.py [--rounds 5] [--write]

In a checkout whose pipeline is up to date. Each stage runs until its first step (of learning, or the first model that
is measured) and is left there: its results stay as they are. It tracks, to a store of its own. All take turns; the time
of `import torch` in the same round is taken off.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import document
from document import measured, ranged

ROOT = Path(__file__).parents[1]
LEARN = "aelab.training.loop", "Learning", "learn"
STAGES = {  # script and item -> module, class or "", function where the first step begins
    "train vae": LEARN,
    "train conv": LEARN,
    "pretrain stack_dae": LEARN,
    "finetune stack_dae": LEARN,
    "unroll unrolled_rbm": LEARN,
    "baselines": ("aelab.evaluation.feature_classifier", "", "train"),
    "evaluate train/vae": ("aelab.evaluation.evaluate", "", "metrics"),
}
TORCH = "import time, torch; print(time.time())"
PROBE = """
import importlib, os, runpy, sys, time
from aelab.config import runtime  # before torch
parent = os.getpid()
def leave(*_, **__):
    if os.getpid() != parent:  # another seed
        os._exit(1)
    print(time.time(), flush=True)
    sys.exit()
module = importlib.import_module("{module}")
setattr(getattr(module, "{owner}", module), "{function}", leave)
sys.argv = ["{script}", *{arguments}]
sys.path.insert(0, "stages")
runpy.run_path("{script}", run_name="__main__")
"""
STATUS = ["dvc", "status", "--quiet"]  # fails where there is anything to do
IDLE = {"dvc repro": ["dvc", "repro"], "aelab repro": ["aelab", "repro"]}


def main() -> None:
    options = arguments()
    if subprocess.run(STATUS, cwd=ROOT, capture_output=True).returncode:
        sys.exit("the pipeline is not up to date; `make repro` first")
    idle: dict[str, list[float]] = {name: [] for name in IDLE}
    torch_alone = {name for name, _ in imported(TORCH, os.environ)}
    beyond: dict[str, list[float]] = {name: [] for name in STAGES}
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db"}
        imports = {
            name: sum(took for module, took in imported(probe(name), environment) if module not in torch_alone)
            for name in STAGES
        }
        for number in range(options.rounds):
            base = reached(TORCH, environment)
            for name in list(STAGES)[:: -1 if number % 2 else 1]:
                beyond[name].append(reached(probe(name), environment) - base)
            for name, command in IDLE.items():
                idle[name].append(seconds(command, os.environ))
            print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    text = report(beyond, imports, idle, options.rounds)
    print(text)
    if options.write:
        document.write("Start", text)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs")
    parser.add_argument("--write", action="store_true", help="also write docs/performance.md")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds: {options.rounds} is out of range; allowed: 1 or more")
    return options


def probe(name: str) -> str:
    """A program that runs a stage to its first step and then prints the time."""
    stage, *items = name.split()
    module, owner, function = STAGES[name]
    return PROBE.format(
        module=module, owner=owner, function=function, script=f"stages/{stage}.py", arguments=repr(items)
    )


def reached(program: str, environment: Mapping[str, str]) -> float:
    """Seconds until a program prints the time."""
    began = time.time()
    return float(ended([sys.executable, "-c", program], environment).stdout) - began


def imported(program: str, environment: Mapping[str, str]) -> list[tuple[str, float]]:
    """Every module that a program imports, and the seconds that it took without those that it imports itself."""
    lines = ended([sys.executable, "-X", "importtime", "-c", program], environment).stderr.splitlines()
    fields = [line.removeprefix("import time:").split("|") for line in lines if line.startswith("import time:")]
    return [(name.strip(), float(own) / 1e6) for own, _, name in fields if own.strip().isdigit()]


def seconds(command: Sequence[str], environment: Mapping[str, str]) -> float:
    began = time.perf_counter()
    ended(command, environment)
    return time.perf_counter() - began


def ended(command: Sequence[str], environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """What a command said. Leaves with its last words where it fails."""
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command[:2])}: {(done.stderr.strip() or 'failed').splitlines()[-1]}")
    return done


def report(
    beyond: Mapping[str, Sequence[float]],
    imports: Mapping[str, float],
    idle: Mapping[str, Sequence[float]],
    rounds: int,
) -> str:
    lines = [
        measured(),
        "",
        "A stage until its first step, without the time of `import torch` in the same round; "
        f"rounds: {rounds}. Each cell is a median (least to most). Imports: of one run under `python -X importtime`, "
        "of all that torch does not import.",
        "",
        "| stage | seconds beyond torch | imports beyond torch |",
        "|---|---:|---:|",
        *(f"| {name} | {ranged(took)} | {imports[name]:.2f} |" for name, took in beyond.items()),
        "",
        "With nothing to do. DVC reads params.yaml anew for every stage with parameters (`aelab repro` makes it do so "
        "once) and looks at every file that a stage reads or leaves.",
        "",
        "| | seconds |",
        "|---|---:|",
        *(f"| {name} | {ranged(took)} |" for name, took in idle.items()),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
