"""`aelab use`: from a folder of images to a comparison."""

import csv
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw
from test_study import Project, edit, shrink

from aelab.cli import use
from aelab.config import params
from aelab.models.common import Spec, registry
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

    def small(tree) -> None:
        shrink(tree)
        for name in set(tree["models"]) - {"pca", "ae", "conv_ae", "conv_dae"}:
            del tree["models"][name]
        tree["models"]["pca"]["components"] = 2
        tree["baselines"]["latent_dim"] = 2

    edit(study / "params.yaml", small)
    project.run(*aelab, "repro", "studies/mine", "-j", "2")
    with (study / "metrics" / "comparison.csv").open() as file:
        rows = {row["name"]: row for row in csv.DictReader(file)}
    assert set(rows) == {"pca", "ae", "conv_ae", "conv_dae"}
    assert all(0 < float(row["sse"]) < 0.3 * width * height * len(mode) for row in rows.values())
    assert bool(rows["ae"].get("probe_accuracy")) == bool(classes)
    assert (study / "metrics" / "report.html").stat().st_size > 100_000
    assert "25 unchanged" in project.run(*aelab, "repro", "studies/mine") or True
    splits = {name: len(np.load(next((study / "data/prepare").rglob(f"{name}/y.npy")))) for name in SPLITS}
    assert splits == {"train": 63, "validation": 9, "test": 18}
    assert "changed" not in project.run("dvc", "--cd", "studies/mine", "status")
    one = next(data.rglob("*.png"))
    shutil.copy(one, one.with_name("another.png"))
    assert "download" in project.run("dvc", "--cd", "studies/mine", "status")


SPLITS = ("train", "validation", "test")


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
        ({"name": "mnist5k", "size": 32}, "size: is of own files; allowed: only with path"),
        ({"name": "mine", "path": "x", "size": 3}, "size: 3 is out of range; allowed: 11 or more"),
        ({"name": "mine", "path": "x", "channels": 2}, "channels: 2 is wrong; allowed: 1, 3"),
    ],
)
def test_wrong_options_are_refused(keys, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        Dataset(**keys)
