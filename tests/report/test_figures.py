"""Every figure is drawn, again with the same bytes, and does without entries that are gone."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from test_results import SETTINGS, made_up

from aelab.report.figures import catalogue
from aelab.report.figures.style import round_ticks
from aelab.report.results import Results
from aelab.report.settings import Compare

ROOT = Path(__file__).parents[2]


@pytest.fixture
def results() -> Results:
    return made_up()


@pytest.fixture
def settings() -> Compare:
    return SETTINGS


def made(results: Results, settings: Compare) -> set[str]:
    """The names of the figures that can be drawn."""
    return {name for name, make in catalogue.FIGURES.items() if make(results, settings) is not None}


# figure with axes -> what their labels say, units among it
LABELS = {
    "noise-map": ("above the best filter, dB",),
    "noise-transfer": ("noise in training", "psnr in dB", "below the best of the column, dB"),
    "quality": ("latent dimension", "squared error per test image"),
    "capacity": ("latent dimension", "squared error per validation image", "layers", "squared error / PCA's"),
    "cost": ("floating-point operations", "learned values", "squared error per test image"),
    "rate": ("p(z)), nats", "p(x|z), nats"),
    "codes": ("first code dimension", "second code dimension"),
    "codes-3d": ("first code dimension", "second code dimension", "third code dimension"),
    "grids": ("first code dimension", "second code dimension"),
    "clusters": ("category of the code", "test images"),
    "curves": ("epoch", "loss"),
    "stack-curves": ("epoch", "wrong labels, %"),
    "stacks": ("test error, %",),
    "labels": ("labelled training images", "test error, %"),
    "class-errors": ("test error, %",),
    "manifolds": ("first coordinate", "second coordinate"),
    "field": ("first coordinate", "second coordinate"),
}


def in_sight(figure):
    """The axes that are more than the frame of a picture."""
    return [axes for axes in figure.axes if axes.axison]


@pytest.mark.parametrize("name", catalogue.FIGURES)
def test_a_figure_says_what_to_see(results, settings, name):
    figure = catalogue.FIGURES[name](results, settings)
    title = figure.get_suptitle() or figure.texts[0].get_text()
    assert len(title.split()) >= 4
    labelled = {axes.get_position(original=True).y0 for axes in in_sight(figure) if axes.get_ylabel()}
    for axes in in_sight(figure):
        place, bar = axes.get_subplotspec(), axes.get_label() == "<colorbar>"
        if not bar and (place is None or place.is_last_row()):
            assert axes.get_xlabel()
        shared = not bar and axes.get_position(original=True).y0 in labelled
        assert axes.get_ylabel() or figure.get_supylabel() or shared
    labels = [figure.get_supylabel()]
    labels += [label for axes in in_sight(figure) for label in (axes.get_xlabel(), axes.get_ylabel())]
    for words in LABELS.get(name, ()):
        assert any(words in label for label in labels), words


@pytest.mark.parametrize("gone", ["two", "noisy", "vae", "pca", "stack_random"])
def test_a_missing_entry_breaks_nothing(results, settings, gone):
    items = {name: item for name, item in results.items.items() if name != gone}
    assert {"reconstructions", "denoising", "quality"} <= made(replace(results, items=items), settings)


def test_with_stacks_alone_or_models_alone_the_rest_is_drawn(results, settings):
    stacks, models = (
        made(replace(results, items={item.name: item for item in items}), settings)
        for items in (results.stacks, results.models)
    )
    assert {"stacks", "stack-curves", "labels"} <= stacks
    assert "reconstructions" not in stacks
    assert "stacks" not in models


def test_names_of_points_at_one_place_do_not_hide_each_other(results, settings):
    results.items["twin"] = replace(results.items["two"], name="twin")
    figure = catalogue.FIGURES["quality"](results, settings)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() in results.items]
    assert len(boxes) == len(results.models)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_round_ticks():
    assert round_ticks(3, 60) == [5, 10, 20, 50]
    assert round_ticks(0.15, 0.5) == pytest.approx([0.2, 0.5])


def test_the_stage_writes_everything_twice_the_same(results, settings, tmp_path):
    """From files to files, as DVC runs it, and without torch."""
    params = YAML(typ="safe").load(ROOT / "params.yaml")  # shown in the report
    params |= {"compare": {key: list(v) if isinstance(v, tuple) else v for key, v in vars(settings).items()}}
    params |= {
        "models": {item.name: {} for item in results.models},
        "stacks": {s.name: {} for s in results.stacks},
        "unrolled": {},
    }
    (tmp_path / "params.yaml").write_text(json.dumps(params))
    for item in results.items.values():
        folder = tmp_path / "data/evaluate" / item.name
        folder.mkdir(parents=True)
        (folder / "metrics.json").write_text(json.dumps(item.about))
        np.savez(folder / "arrays.npz", **item.arrays)
    for folder, name, content in (
        ("prepare/learning", "meta", results.data),
        ("baselines", "baselines", results.baselines),
    ):
        (tmp_path / "data" / folder).mkdir(parents=True)
        (tmp_path / f"data/{folder}/{name}.json").write_text(json.dumps(content))
    (tmp_path / "data/capacity").mkdir()
    (tmp_path / "data/capacity/capacity.json").write_text(json.dumps(results.capacity))
    (tmp_path / "data/noise_transfer").mkdir()
    (tmp_path / "data/noise_transfer/noise_transfer.json").write_text(json.dumps(results.noise_transfer))
    np.savez(tmp_path / "data/baselines/arrays.npz", **results.pictures)
    stages = str(ROOT / "stages")
    code = f"import sys; sys.path.insert(0, {stages!r}); sys.argv = ['compare']; import compare; "
    code += "compare.stage.main(compare.compare); assert 'torch' not in sys.modules"
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=tmp_path,
            env=os.environ | {"AELAB_TRACKING": "off"},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        found.append({p.name: p.read_bytes() for p in (tmp_path / "metrics").rglob("*") if p.is_file()})
    tables = {"comparison.csv", "comparison.md", "curves.csv", "report.html", "summary.json", "tracked.jsonl"}
    assert set(found[0]) == tables | {f"{name}.png" for name in catalogue.FIGURES}
    assert found[0] == found[1]
    assert not any(b"Software" in content for content in found[0].values())
