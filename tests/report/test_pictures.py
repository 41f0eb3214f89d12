"""What each figure of pictures and trade-offs shows is what it was given, and without it there is no figure."""

from dataclasses import replace

import numpy as np
import pytest
from test_results import DIGITS, SETTINGS, SIDE, made_up, model

from aelab.report.figures import catalogue
from aelab.report.figures.style import tile
from aelab.report.figures.tradeoffs import front
from aelab.report.results import Results


@pytest.fixture
def results() -> Results:
    return made_up()


def drawn(results, name):
    return catalogue.FIGURES[name](results, SETTINGS)


def words(figure) -> list[str]:
    """Everything that is written anywhere in a figure, except ticks."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [axes.get_title(), axes.get_xlabel(), axes.get_ylabel(), *(text.get_text() for text in axes.texts)]
    return found


def pixels(figure) -> list[np.ndarray]:
    return [np.asarray(axes.images[0].get_array()) for axes in figure.axes if axes.images]


NEEDS = {
    "noisy-epochs": ("two", "preview/noisy-step-00001", "preview/noisy-step-00003"),
    "codes-3d": ("vae", "codes"),
    "grids": ("two", "grid"),
    "chosen": ("vae", "chosen"),
    "by-class": ("vae", "by_class"),
    "clusters": ("vae", "prototypes"),
    "swaps": ("vae", "swaps"),
    "masked": ("vae", "hidden"),
}


@pytest.mark.parametrize("name", NEEDS)
def test_without_its_entry_or_its_array_there_is_no_figure(results, name):
    item, *arrays = NEEDS[name]
    assert drawn(results, name) is not None
    without = replace(results, items={key: value for key, value in results.items.items() if key != item})
    assert drawn(without, name) is None
    for array in arrays:
        del results.items[item].arrays[array]
    assert drawn(results, name) is None


def test_noisy_digits_come_with_their_psnr(results):
    arrays = results.items["two"].arrays
    arrays["preview/input"] = np.zeros((DIGITS, SIDE, SIDE), np.uint8)
    arrays["preview/noisy-input"] = np.full((DIGITS, SIDE, SIDE), 255, np.uint8)
    arrays["preview/noisy-step-00001"] = np.where(np.arange(SIDE) < 4, 0, arrays["preview/noisy-input"])
    arrays["preview/noisy-step-00003"] = arrays["preview/input"]
    figure = drawn(results, "noisy-epochs")
    assert {"0.0", "3.0", "inf", "two, step 1", "step 2 (kept)"} <= set(words(figure))
    np.testing.assert_array_equal(pixels(figure)[2], tile(arrays["preview/noisy-step-00001"]))


def test_swaps_have_their_content_above_and_their_style_beside(results):
    above, beside, inner = pixels(drawn(results, "swaps"))
    clean, swaps = results.pictures["clean"], results.items["vae"].arrays["swaps"]
    np.testing.assert_array_equal(above, tile(clean))
    np.testing.assert_array_equal(beside, tile(clean, 1))
    np.testing.assert_array_equal(inner, tile(swaps, DIGITS))


def test_errors_by_class_are_means_over_seeds(results):
    figure = drawn(results, "class-errors")
    cells = [text.get_text() for text in figure.axes[0].texts]
    assert cells == 2 * ["0.0", "0.0", "0.0", "90.0", *6 * ["0.0"]]


def test_the_front_is_what_no_cheaper_model_beats():
    cost, error = np.array([4, 1, 2, 3, 2]), np.array([1.0, 9.0, 5.0, 6.0, 4.0])
    assert front(cost, error) == [1, 4, 0]
    assert front(np.array([1, 1]), np.array([2.0, 2.0])) == [0], "of twins, one"


def test_cost_names_the_front_and_leaves_out_whoever_is_shown_the_answer(results):
    results.items["cheap"] = model("cheap", "dense", 2, [40.0], flops=[10.0], parameters=[5], config={"widths": [2]})
    del results.items["vae"].metrics["sse"]  # as of a masked model
    figure = drawn(results, "cost")
    for axes in figure.axes:
        assert [text.get_text() for text in axes.texts] == ["cheap", "noisy"]


def test_rate_and_distortion_are_where_they_are_said_to_be(results):
    (axes,) = drawn(results, "rate").axes
    (bar,) = axes.containers
    assert bar.lines[0].get_xydata().tolist() == [[5.0, 90.0]]
    assert "vae" in [text.get_text() for text in axes.texts]
    sums = [line.get_xydata().sum(1) for line in axes.lines if line.get_linestyle() == ":" and len(line.get_xdata())]
    assert any(np.allclose(each, 100) for each in sums)


def test_power_is_error_against_size_and_against_depth_as_a_share_of_pca_s(results):
    sizes, depths, probes = drawn(results, "capacity").axes
    lines = {line.get_label(): line.get_xydata() for line in sizes.lines}
    np.testing.assert_allclose(lines["PCA of every size"][:2], [[1, 15.75], [2, 15.5]])
    shown = {bars.get_label(): bars.lines[0].get_xydata().tolist() for bars in (*sizes.containers, *depths.containers)}
    assert shown["1 layer to the code"] == [[2.0, 9.0], [4.0, 6.0]]
    assert shown["2 layers to the code"] == [[2.0, 5.0], [4.0, 7.0]]
    np.testing.assert_allclose(shown["latent dimension 4"], [[1, 6 / 15], [2, 7 / 15]])
    assert {tuple(bars.lines[0].get_ydata()) for bars in probes.containers} == {(55.0, 55.0)}
    assert drawn(replace(results, capacity=()), "capacity") is None


def test_transfer_says_which_training_is_best_for_each_noise(results):
    axes = drawn(results, "noise-transfer").axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["clean", "masking 0.25"]
    assert [text.get_text() for text in axes.texts] == ["20.0", "15.0", "18.0", "19.0"]
    assert [text.get_fontweight() == "bold" for text in axes.texts] == [True, False, False, True]
    assert drawn(replace(results, noise_transfer={}), "noise-transfer") is None


def test_toys_are_drawn_where_they_lie(results):
    curves = drawn(results, "manifolds").axes[1]
    np.testing.assert_array_equal(curves.lines[0].get_xydata(), results.pictures["toy/bent_ae"])
    assert "PCA 0.5000, autoencoder 0.2500" in curves.get_title()
    (arrows,) = drawn(results, "field").axes[0].collections
    np.testing.assert_array_equal(np.stack([arrows.U, arrows.V], 1), results.pictures["toy/field_moves"])


def test_hidden_patches_of_colour_images_are_grey_in_all_colours(results):
    colours = np.stack([results.pictures["clean"]] * 3, -1)
    results.pictures["clean"] = results.items["vae"].arrays["reconstructions"] = colours
    seen = pixels(drawn(results, "masked"))[1]
    assert seen.shape[-1] == 3
    assert (seen[1:4, 1:SIDE] == 128).all()
