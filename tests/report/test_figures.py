"""Every figure is drawn, again with the same bytes, and does without entries that are gone."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_results import SETTINGS
from test_uses_section import used

from aelab.report import markdown
from aelab.report.figures import catalogue
from aelab.report.figures.style import round_ticks
from aelab.report.html import gallery, page
from aelab.report.results import Results
from aelab.report.settings import Compare


@pytest.fixture
def results() -> Results:
    return used()


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
    "curves": ("step", "loss"),
    "accuracy": ("step", "loss", "round(output) = input, %"),
    "batches": ("step", "training loss per image"),
    "one-class": ("AUROC", "class"),
    "stack-curves": ("step", "wrong labels, %"),
    "stacks": ("test error, %",),
    "labels": ("labelled training images", "test error, %"),
    "class-errors": ("test error, %",),
    "manifolds": ("first coordinate", "second coordinate"),
    "field": ("first coordinate", "second coordinate"),
}


def in_sight(figure):
    """The axes that are more than the frame of a picture."""
    return [axes for axes in figure.axes if axes.axison]


@pytest.mark.parametrize("name", [name for name in catalogue.FIGURES if name not in catalogue.CELLS])
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


def test_without_noises_the_rest_is_there(results, settings):
    baselines = results.baselines | {"denoising": {}}
    quiet = replace(results, baselines=baselines, noise_transfer={})
    assert made(results, settings) - made(quiet, settings) == {"denoising", "noise-map", "noise-transfer"}
    assert "## Denoising" not in markdown.markdown(quiet)
    assert "## Reconstruction" in markdown.markdown(quiet)
    assert gallery.noise(quiet) is None
    assert "Made-up digits" in page.page(quiet, {}, Path(), {})


def test_a_list_of_figures_draws_these_alone(results, settings, tmp_path):
    drawn = catalogue.draw(results, replace(settings, figures=("one-class", "accuracy")), tmp_path / "figures")
    assert set(drawn) == {"one-class", "accuracy"} == {path.stem for path in (tmp_path / "figures").iterdir()}
    with pytest.raises(ValueError, match=r"compare.figures: no figure 'acuracy'; there are: overview, "):
        catalogue.draw(results, replace(settings, figures=("acuracy",)), tmp_path / "none")


def test_names_of_points_at_one_place_do_not_hide_each_other(results, settings):
    results.items["twin"] = replace(results.items["vae"], name="twin")
    figure = catalogue.FIGURES["rate"](results, settings)
    boxes = [text.get_window_extent() for text in figure.axes[0].texts if text.get_text() in results.items]
    assert len(boxes) == 2
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_round_ticks():
    assert round_ticks(3, 60) == [5, 10, 20, 50]
    assert round_ticks(0.15, 0.5) == pytest.approx([0.2, 0.5])
