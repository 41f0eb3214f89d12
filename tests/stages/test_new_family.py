"""A family is one file, an entry one line: the example of docs/models.md, added to a copy of the project."""

import csv
import re
import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
from entries import FEW_IMAGES, in_epochs
from PIL import Image
from ruamel.yaml import YAML
from spawner import Spawner

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs/models.md").read_text()
FILE = re.search(r"is `(src/aelab/models/(\w+)\.py)`", DOCUMENT)
NAME = "shrinking_ae"


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """The project as git knows it, committed, with the file and the line on top."""
    folder = tmp_path / "copy"
    for name in run(ROOT, "git", "ls-files", "-co", "--exclude-standard").split():
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    run(folder, "git", "init", "-q")
    run(folder, "git", "add", "-A")
    run(folder, "git", "-c", "user.name=test", "-c", "user.email=test@localhost", "commit", "-qm", "start")
    code = DOCUMENT[DOCUMENT.index('    """', FILE.end()) : DOCUMENT.index("and one line of params.yaml")]
    (folder / FILE[1]).write_text(re.sub(r"^    ", "", code, flags=re.MULTILINE).rstrip() + "\n")
    line = re.search(rf"^    ({NAME}: .*)$", DOCUMENT, re.MULTILINE)[1]
    text = (folder / "params.yaml").read_text()
    (folder / "params.yaml").write_text(text.replace("\nmodels:\n", f"\nmodels:\n  {line}\n", 1))
    monkeypatch.setenv("PYTHONPATH", str(folder / "src"))
    return folder


def quick(tree) -> None:
    """Less of everything, for the test's sake; the new line stays as it is."""
    tree["models"] = {name: tree["models"][name] for name in (NAME, "pca")}
    tree["stacks"], tree["unrolled"] = {}, {}
    tree["prepare"]["limit"] = 100
    tree["corrupt"]["noises"] = ["masking 0.25"]
    tree["baselines"] |= FEW_IMAGES
    tree["capacity"] |= {"depths": [1], "latent_dims": [2], "hidden": 8, "max_steps": 4, "num_seeds": 1}
    tree["noise_transfer"] |= {"max_steps": 4, "num_seeds": 1}
    tree["train"] |= {**in_epochs(1), "num_seeds": 1}


def test_it_is_trained_measured_and_drawn(copy):
    path, yaml = copy / "params.yaml", YAML(typ="rt")
    tree = yaml.load(path)
    quick(tree)
    yaml.dump(tree, path)
    stages = Spawner()  # of the copy's code
    before = ("download", "prepare", "corrupt", "baselines", "capacity", "noise_transfer")
    of_models = [f"{stage}{name}" for name in (NAME, "pca") for stage in ("train ", "evaluate train/")]
    for words in (*before, *of_models, "compare"):
        stages.works(SimpleNamespace(folder=copy), words)
    stages.close()
    with (copy / "metrics/comparison.csv").open() as file:
        assert NAME in {row[0] for row in csv.reader(file)}
    pictures = {path.stem: Image.open(path).info.get("Models", "") for path in (copy / "metrics/figures").glob("*.png")}
    assert {"reconstructions", "noise-map", "quality", "cost", "curves"} <= set(pictures)
    assert {name for name, models in pictures.items() if NAME in models.split()} >= {"codes", "grids"}
