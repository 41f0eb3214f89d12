"""`aelab use`: from a folder of images to a comparison."""

import csv
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as parquet
import pytest
from PIL import Image, ImageDraw
from test_study import Project, edit, shrink

from aelab.cli import use
from aelab.config import params
from aelab.data.columns import Column
from aelab.models.common import Spec, registry
from aelab.sources.published import SOURCES
from aelab.sources.settings import Dataset

ROOT = Path(__file__).parents[2]


def photographs(folder: Path, mode: str, size: tuple[int, int], classes: tuple[str, ...]) -> None:
    """90 images: discs, or squares, of random colours at random places."""
    rng = np.random.default_rng(0)
    width, height = size
    for i in range(90):
        image = Image.new("RGB", size, tuple(rng.integers(0, 60, 3).tolist()))
        x, y, r = rng.uniform(0.3, 0.7) * width, rng.uniform(0.3, 0.7) * height, rng.uniform(2, 5)
        draw, colour = ImageDraw.Draw(image), tuple(rng.integers(100, 256, 3).tolist())
        kind = classes[i % len(classes)] if classes else ""
        (draw.rectangle if kind == "square" else draw.ellipse)([x - r, y - r, x + r, y + r], fill=colour)
        (folder / kind).mkdir(parents=True, exist_ok=True)
        image.convert(mode).save(folder / kind / f"{i:02}.png")


def compared(project: Project, entries: set[str]) -> dict[str, dict[str, str]]:
    """Run the study "mine", cut down to some entries and a few steps: the rows of its comparison.csv."""

    def small(tree) -> None:
        shrink(tree)
        for other in set(tree["models"]) - entries:
            del tree["models"][other]
        tree["models"]["pca"]["components"] = 2
        tree["baselines"]["latent_dim"] = 2

    study = project.folder / "studies" / "mine"
    edit(study / "params.yaml", small)
    project.run(sys.executable, "-m", "aelab.cli", "repro", "studies/mine", "-j", "2")
    with (study / "metrics" / "comparison.csv").open() as file:
        return {row["name"]: row for row in csv.DictReader(file)}


FORMS = {
    "colour with classes": ("RGB", (24, 24), ("disc", "square")),
    "grey of an odd size, without classes": ("L", (19, 23), ()),
}


@pytest.mark.parametrize("form", FORMS)
def test_from_a_folder_to_a_comparison(tmp_path, form):
    mode, size, classes = FORMS[form]
    data = tmp_path / "Bücher und Bilder"
    photographs(data, mode, size, classes)
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    project.env["AELAB_TRACKING"] = "off"
    aelab = (sys.executable, "-m", "aelab.cli")
    said = project.run(*aelab, "use", str(data), "mine").splitlines()
    width, height = size
    assert said[0] == f"90 {'colour' if mode == 'RGB' else 'grey'} images, {width} x {height} pixels"
    assert said[1] == ("2 classes: disc 45, square 45" if classes else "no classes")
    study = project.folder / "studies" / "mine"
    rows = compared(project, {"pca", "ae", "conv_ae", "conv_dae"})
    assert set(rows) == {"pca", "ae", "conv_ae", "conv_dae"}
    assert all(0 < float(row["sse"]) < 0.3 * width * height * len(mode) for row in rows.values())
    assert bool(rows["ae"].get("probe_accuracy")) == bool(classes)
    assert (study / "metrics" / "report.html").stat().st_size > 100_000
    splits = {name: len(np.load(next((study / "data/prepare").rglob(f"{name}/y.npy")))) for name in SPLITS}
    assert splits == {"train": 63, "validation": 9, "test": 18}
    assert "changed" not in project.run("dvc", "--cd", "studies/mine", "status")
    if classes:  # once is enough
        applied(project, width * height * len(mode))
    one = next(data.rglob("*.png"))
    shutil.copy(one, one.with_name("another.png"))
    assert "download" in project.run("dvc", "--cd", "studies/mine", "status")


def applied(project: Project, pixels: int) -> None:
    """Scores as evaluated, neighbours, an archive there and back; from the test split of the study "mine"."""
    study = project.folder / "studies" / "mine"

    def aelab(*words: str) -> str:
        program = f"import os, sys; os.chdir({str(study)!r}); from aelab.cli.app import app; app()"
        return project.run(sys.executable, "-c", program, *words)

    said = aelab("score", "data/prepare/test", "-m", "ae", "--by", "error", "--false-alarms", "0.2", "-o", "s.csv")
    assert "18 images" in said
    assert "20% false alarms; score error, by ae" in said
    with (study / "s.csv").open() as file:
        scores = [float(row["score"]) for row in csv.DictReader(file)]
    with np.load(study / "data/evaluate/ae/per_image.npz") as evaluated:
        assert scores == pytest.approx(evaluated["anomaly/error"][0, :18].tolist(), rel=1e-5)
    aelab("search", "data/prepare/test", "-m", "ae", "-k", "3", "-o", "found.parquet")
    found = parquet.read_table(study / "found.parquet").to_pydict()
    assert len(found["row"]) == 54
    assert found["distance"][:3] == sorted(found["distance"][:3])
    aelab("search", "data/prepare/test", "-m", "ae", "-k", "3", "-o", "found.png")
    said = aelab("compress", "data/prepare/test", "-m", "ae", "--level", "1", "-o", "a.aelc")
    assert f"{(study / 'a.aelc').stat().st_size:,} bytes" in said
    aelab("compress", "data/prepare/test", "-m", "ae", "--level", "1", "-o", "b.aelc")
    assert (study / "a.aelc").read_bytes() == (study / "b.aelc").read_bytes()
    aelab("decompress", "a.aelc", "-o", "back.npz")
    aelab("denoise", "data/prepare/test", "-m", "ae", "-o", "rebuilt.npz")
    with np.load(study / "back.npz") as back, np.load(study / "rebuilt.npz") as rebuilt:
        error = ((back["images"] - rebuilt["images"]) ** 2).mean() * pixels
    with np.load(study / "data/evaluate/ae/per_image.npz") as evaluated:
        assert error < 0.1 * evaluated["sse"].mean(), "rounding costs a 64th of the model's own error, about"


SPLITS = ("train", "validation", "test")


def customers(path: Path) -> None:
    """120 rows: a number with gaps, one that follows from it, a category that follows too, a class."""
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["age", "income", "città", "class"])
        for i in range(120):
            age = rng.normal(40, 10)
            income = 1000 * age + rng.normal(0, 500)
            rows.writerow([f"{age:.1f}" if i % 9 else "", round(income), "Roma" if age < 38 else "Milano", "ab"[i % 2]])


def waves(path: Path) -> None:
    """90 series of 16 to 20 steps in a .ts file: sines of two frequencies."""
    rng = np.random.default_rng(0)
    path.parent.mkdir(parents=True)
    lines = ["@problemName waves", "@classLabel true slow fast", "@data"]
    for i in range(90):
        steps = np.arange(16 + i % 5)
        x = np.sin(steps * (0.3 if i % 2 else 0.6) + rng.uniform(0, 6)) + rng.normal(0, 0.05, len(steps))
        lines.append(",".join(f"{value:.3f}" for value in x) + f":{'slow' if i % 2 else 'fast'}")
    path.write_text("\n".join(lines), encoding="utf-8")


OTHERS = {  # file -> what makes it, what is said, entries to keep, columns of comparison.csv
    "Große Tabelle.csv": (
        customers,
        "120 rows, 3 columns: 2 numbers, 1 categories",
        {"pca", "ae", "dae_masking", "table_dae"},
        {"sse", "mse", "category_error", "restored_mse/masking-0.25", "restored_error/masking-0.25", "probe_accuracy"},
        {"columns", "confused", "noise-map"},
    ),
    "Große Wellen.ts": (
        waves,
        "90 series of 20 steps, 1 feature",
        {"pca", "ae", "conv1d", "lstm"},
        {"sse", "mse", "restored_mse/masking-0.25", "next_step_mse", "probe_accuracy"},
        {"series", "series-noise", "noise-map"},
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_from_a_table_or_series_to_a_comparison(tmp_path, name):
    make, line, entries, metrics, figures = OTHERS[name]
    data = tmp_path / "meine Daten" / name
    make(data)
    before = data.read_bytes()
    (tmp_path / "project").mkdir()
    project = Project(tmp_path / "project")
    project.env["AELAB_TRACKING"] = "off"
    aelab = (sys.executable, "-m", "aelab.cli")
    assert project.run(*aelab, "use", str(data), "mine").splitlines()[0] == line
    study = project.folder / "studies" / "mine"
    rows = compared(project, entries)
    assert set(rows) == entries
    assert metrics <= set(rows["ae"]) | set(rows.get("lstm", {}))
    assert all(float(rows[entry]["sse"]) > 0 for entry in entries)
    assert figures <= {path.stem for path in (study / "metrics" / "figures").iterdir()}
    report = (study / "metrics" / "report.html").read_text()
    assert "test images" not in report
    assert ("test rows" if make is customers else "test series") in report
    text = (study / "metrics" / "comparison.md").read_text()
    assert "image" not in text
    assert ("### Errors by column" if make is customers else "### The next step") in text
    if make is customers:
        fills(project, data)
    assert data.read_bytes() == before
    assert "changed" not in project.run("dvc", "--cd", "studies/mine", "status")


def fills(project: Project, data: Path) -> None:
    """`aelab fill` and `encode` read the raw columns; a table without one of them is refused by its name."""
    within = ("sh", "-c", 'cd studies/mine && "$0" -m aelab.cli "$@"', sys.executable)
    said = project.run(*within, "fill", str(data), "-m", "dae_masking", "-o", "full.csv")
    assert said.splitlines()[-1] == "full.csv: 120 rows, by dae_masking"
    with data.open(encoding="utf-8") as before, (project.folder / "studies/mine/full.csv").open() as after:
        pairs = list(zip(csv.DictReader(before), csv.DictReader(after), strict=True))
    assert all(new["age"] and (not old["age"] or float(new["age"]) == float(old["age"])) for old, new in pairs)
    assert [new["città"] for _, new in pairs] == [old["città"] for old, _ in pairs]
    ages = [float(new["age"]) for old, new in pairs if not old["age"]]
    assert len(ages) == 14
    assert all(10 < age < 70 for age in ages)
    project.run(*within, "encode", str(data), "-m", "ae", "-o", "codes.npz")
    assert len(np.load(project.folder / "studies/mine/codes.npz")["codes"]) == 120
    other = data.with_name("other.csv")
    other.write_text("age,income\n" + "30,20000\n" * 60)
    command = [sys.executable, "-m", "aelab.cli", "fill", str(other), "-m", "ae"]
    done = subprocess.run(command, cwd=project.folder / "studies/mine", env=project.env, capture_output=True, text=True)
    assert done.returncode
    assert done.stderr.strip().endswith("ae: no column 'città'; it takes age, income, città")


SHAPES = {"table": [(2,), (3,), (30,), (400,)], "series": [(8, 1), (24, 1), (150, 1), (100, 6), (37, 3)]}


@pytest.mark.parametrize(("kind", "shape"), [(kind, shape) for kind, shapes in SHAPES.items() for shape in shapes])
def test_every_entry_can_be_built_for_rows_and_series(kind, shape, tmp_path, monkeypatch):
    import torch

    text = use.settings((ROOT / "params.yaml").read_text(), Dataset("mine", str(tmp_path), kind), shape)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    params.check_all()
    columns = tuple(Column(f"c{i}", knots=((0.0, 0.0), (1.0, 1.0))) for i in range(shape[-1]))
    assert 8 <= len(params.load("models")) <= 12
    for name in params.load("models"):
        entry, _ = params.load_entry("train", "models", name)
        model = registry.build(entry.family, entry.config, Spec(shape, 0, columns), torch.Generator().manual_seed(0))
        x = torch.randn(2, *shape)
        if entry.family != "closed_form":
            assert model.reconstruct(x).shape == x.shape


NORMAL = {  # classes, the column that holds them -> those that are normal
    "named so": (("normal", "spike"), "", ("normal",)),
    "MVTec": (("Good", "scratch"), "", ("Good",)),
    "a column of anomalies": (("0", "1"), "is_anomaly", ("0",)),
    "other classes of these numbers": (("0", "1"), "label", ()),
    "nothing else": (("normal",), "", ()),
    "no classes": ((), "", ()),
}


@pytest.mark.parametrize("case", NORMAL)
def test_classes_that_are_normal_are_known_by_their_names(case):
    classes, label, expected = NORMAL[case]
    assert use.named_normal(classes, label) == expected


def test_models_of_a_study_with_anomalies_learn_from_normal_rows_alone(tmp_path, monkeypatch):
    source = SOURCES["pulses"]
    known = use.named_normal(source.classes)
    text = use.settings((ROOT / "params.yaml").read_text(), Dataset("pulses"), source.shape(), known)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    assert params.load("prepare").normal == ("normal",)


def test_all_that_was_said_is_in_params_yaml(tmp_path, monkeypatch):
    said = Dataset("mine", str(tmp_path), "table", label="kind", drop=("a b", "c"), group="who", scale="standard")
    text = use.settings((ROOT / "params.yaml").read_text(), said, (30,))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    assert params.load("data") == said
    said = Dataset("mine", str(tmp_path), "series", window=20, stride=5, time="when")
    (tmp_path / "params.yaml").write_text(use.settings((ROOT / "params.yaml").read_text(), said, (20, 3)))
    assert params.load("data") == said


@pytest.mark.parametrize("example", use.EXAMPLES)
def test_every_example_is_a_study_with_its_own_entries(example, tmp_path, monkeypatch):
    name = use.EXAMPLES[example]
    text = use.settings((ROOT / "params.yaml").read_text(), Dataset(name), SOURCES[name].shape())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    params.check_all()
    assert params.load("data").name == name
    assert 8 <= len(params.load("models")) <= 12


@pytest.mark.parametrize("shape", [(1, 11, 11), (3, 28, 28), (3, 64, 48), (1, 37, 41), (3, 128, 128)])
def test_every_entry_can_be_built_for_images_of_any_size(shape, tmp_path, monkeypatch):
    import torch

    text = use.settings((ROOT / "params.yaml").read_text(), Dataset("mine", str(tmp_path)), shape)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(text)
    params.check_all()
    assert 8 <= len(params.load("models")) <= 12
    for name in params.load("models"):
        entry = params.load(f"models.{name}")
        model = registry.build(entry.family, entry.config, Spec(shape, 0), torch.Generator().manual_seed(0))
        x = torch.rand(2, *shape)
        if entry.family != "closed_form":
            assert model.reconstruct(x).shape == x.shape


def test_a_name_that_is_taken_is_refused_before_anything_is_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "studies" / "mine").mkdir(parents=True)
    with pytest.raises(ValueError, match=r"^studies/mine exists; choose another name"):
        use.use(Dataset("mine", str(tmp_path / "absent")), print)


def test_a_path_that_does_not_exist_is_one_line_and_leaves_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"^{tmp_path}/absent: does not exist$"):
        use.use(Dataset("mine", str(tmp_path / "absent")), print)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"name": "mine"}, "name: 'mine' is unknown; allowed: "),
        ({"name": "mnist5k", "size": 32}, "size: 32 does not belong here; allowed: only with path"),
        ({"name": "mine", "path": "x", "size": 3}, "size: 3 is out of range; allowed: 11 or more"),
        ({"name": "mine", "path": "x", "channels": 2}, "channels: 2 is wrong; allowed: 1, 3"),
    ],
)
def test_wrong_options_are_refused(keys, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Dataset(**keys)
