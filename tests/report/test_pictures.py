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
    "noisy-epochs": ("two", "preview/noisy-epoch-001", "preview/noisy-epoch-003"),
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


@pytest.mark.parametrize(("name", "keys"), [("manifolds", ("toy/straight_points", "toy/bent_points")), ("field", ())])
def test_without_the_toy_s_arrays_there_is_no_figure(results, name, keys):
    for key in keys or ("toy/field_moves",):
        del results.pictures[key]
    assert drawn(results, name) is None


@pytest.mark.parametrize("name", ["cost", "rate", "pca"])
def test_without_models_there_is_nothing_to_weigh(results, name):
    assert drawn(replace(results, items={item.name: item for item in results.stacks}), name) is None


def test_noisy_digits_come_with_their_psnr(results):
    arrays = results.items["two"].arrays
    arrays["preview/input"] = np.zeros((DIGITS, SIDE, SIDE), np.uint8)
    arrays["preview/noisy-input"] = np.full((DIGITS, SIDE, SIDE), 255, np.uint8)
    arrays["preview/noisy-epoch-001"] = np.where(np.arange(SIDE) < 4, 0, arrays["preview/noisy-input"])
    arrays["preview/noisy-epoch-003"] = arrays["preview/input"]
    figure = drawn(results, "noisy-epochs")
    assert {"0.0", "3.0", "inf", "two, epoch 1", "epoch 2 (kept)"} <= set(words(figure))
    np.testing.assert_array_equal(pixels(figure)[2], tile(arrays["preview/noisy-epoch-001"]))


def test_codes_in_space_and_from_three_sides_are_the_given_ones(results):
    figure = drawn(results, "codes-3d")
    codes = results.items["vae"].arrays["codes"]
    space, *sides = figure.axes
    assert space.name == "3d"
    for axes, pair in zip(sides, ([0, 1], [0, 2], [1, 2]), strict=True):
        points = np.concatenate([each.get_offsets() for each in axes.collections])
        np.testing.assert_allclose(np.sort(points, 0), np.sort(codes[:, pair], 0), rtol=1e-6)


def test_classes_with_names_get_a_legend_in_space_too(results):
    assert not drawn(results, "codes-3d").legends
    named = replace(results, data=results.data | {"classes": [f"coat {i}" for i in range(10)]})
    (legend,) = drawn(named, "codes-3d").legends
    assert [text.get_text() for text in legend.get_texts()] == named.data["classes"]


def test_a_grid_s_axes_say_the_codes(results):
    (axes,) = drawn(results, "grids").axes
    across, up = (
        [(t, w.get_text()) for t, w in zip(a.get_ticklocs(), a.get_ticklabels(), strict=True)]
        for a in (axes.xaxis, axes.yaxis)
    )
    assert across == [(3.5, "-1.0"), (11.5, "0.0"), (19.5, "1.0")]
    assert up == [(19.5, "-2.0"), (11.5, "0.0"), (3.5, "2.0")], "the second number grows upwards"
    assert axes.images[0].get_array()[:SIDE, :SIDE].tolist() == results.items["two"].arrays["grid"][0].tolist()


def test_a_chosen_code_outside_the_range_is_said_to_be(results):
    arrays = results.items["vae"].arrays
    high, low = arrays["codes"][:, 1].max(), arrays["codes"][:, 1].min()
    text = " ".join(words(drawn(results, "chosen")))
    assert f"outside: 2.00 not in {low:.1f} to {high:.1f}" in text
    assert "inside" not in text
    arrays["chosen_codes"][2] = arrays["codes"][7]
    text = " ".join(words(drawn(results, "chosen")))
    assert "inside the range of each number" in text
    assert "nearest test image: 0.00 away" in text


def test_categories_are_sorted_and_their_images_counted(results):
    figure = drawn(results, "clusters")
    prototypes, cells = figure.axes
    counts = [int(text.get_text()) for text in cells.texts]
    assert np.reshape(counts, (10, 3)).sum(0).tolist() == [40, 40, 20]
    assert prototypes.get_title().startswith("vae: 30.0% of the test images")  # the commonest of 4, 4 and 2 classes
    order = [int(tick.get_text()) for tick in cells.get_xticklabels()]
    expected = tile(results.items["vae"].arrays["prototypes"][order])
    np.testing.assert_array_equal(prototypes.images[0].get_array(), expected)


def test_swaps_have_their_content_above_and_their_style_beside(results):
    above, beside, inner = pixels(drawn(results, "swaps"))
    clean, swaps = results.pictures["clean"], results.items["vae"].arrays["swaps"]
    np.testing.assert_array_equal(above, tile(clean))
    np.testing.assert_array_equal(beside, tile(clean, 1))
    np.testing.assert_array_equal(inner, tile(swaps, DIGITS))


def test_hidden_places_are_grey(results):
    figure = drawn(results, "masked")
    _, seen, rebuilt = pixels(figure)
    assert (seen[:4, :SIDE] == 128).all()
    np.testing.assert_array_equal(seen[4:, :SIDE], results.pictures["clean"][0][4:])
    np.testing.assert_array_equal(rebuilt, tile(results.items["vae"].arrays["reconstructions"]))
    assert "vae: 50% visible" in words(figure)


def test_pca_s_pictures_stand_above_the_models_of_their_size(results):
    figure = drawn(results, "pca")
    assert {"PCA, 2 numbers", "15.5", "two", "9.0"} <= set(words(figure))
    np.testing.assert_array_equal(pixels(figure)[1], tile(results.pictures["pca/2"]))
    del results.pictures["pca/2"]
    assert drawn(results, "pca") is None


def test_every_code_is_decoded_under_every_label(results):
    (picture,) = pixels(drawn(results, "by-class"))
    np.testing.assert_array_equal(picture, tile(results.items["vae"].arrays["by_class"], 10))


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
    sizes, depths = drawn(results, "capacity").axes
    lines = {line.get_label(): line.get_xydata() for line in sizes.lines}
    np.testing.assert_allclose(lines["PCA of every size"][:2], [[1, 15.75], [2, 15.5]])
    shown = {bars.get_label(): bars.lines[0].get_xydata().tolist() for bars in (*sizes.containers, *depths.containers)}
    assert shown["1 layer to the code"] == [[2.0, 9.0], [4.0, 6.0]]
    assert shown["2 layers to the code"] == [[2.0, 5.0], [4.0, 7.0]]
    np.testing.assert_allclose(shown["latent dimension 4"], [[1, 6 / 15], [2, 7 / 15]])
    assert drawn(replace(results, capacity=()), "capacity") is None


def test_transfer_says_which_training_is_best_for_each_noise(results):
    axes = drawn(results, "noise-transfer").axes[0]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["clean", "masking 0.25"]
    assert [text.get_text() for text in axes.texts] == ["20.0", "15.0", "18.0", "19.0"]
    assert [text.get_fontweight() == "bold" for text in axes.texts] == [True, False, False, True]
    assert drawn(replace(results, noise_transfer={}), "noise-transfer") is None


def test_units_of_patches_are_drawn_as_large_as_those_of_images_and_on_their_own_scale(results):
    rows = np.arange(2, 4, dtype=np.float32)[:, None, None]
    whole, patch = np.ones((2, SIDE, SIDE), np.float32) * rows, np.ones((2, SIDE // 2, SIDE // 2), np.float32) * rows
    results.items["two"].arrays["filters"], results.items["noisy"].arrays["filters"] = whole, patch
    images, patches = pixels(drawn(results, "units"))
    np.testing.assert_array_equal(images, patches)


def test_toys_are_drawn_where_they_lie(results):
    curves = drawn(results, "manifolds").axes[1]
    np.testing.assert_array_equal(curves.lines[0].get_xydata(), results.pictures["toy/bent_ae"])
    assert "PCA 0.5000, autoencoder 0.2500" in curves.get_title()
    (arrows,) = drawn(results, "field").axes[0].collections
    np.testing.assert_array_equal(np.stack([arrows.U, arrows.V], 1), results.pictures["toy/field_moves"])


def test_samples_say_how_they_were_drawn(results):
    results.items["vae"].about["family"] = "rbm"
    assert "vae: by Gibbs sampling" in words(drawn(results, "samples"))


def test_the_noise_map_says_what_each_model_learned_from(results):
    rows = [tick.get_text() for tick in drawn(results, "noise-map").axes[0].get_yticklabels()]
    assert {"two, clean images", "noisy, masking 0.3"} <= set(rows)


def test_a_rate_of_nothing_stays_on_the_page(results):
    results.items["vae"].metrics["rate"] = [0.0]
    (axes,) = drawn(results, "rate").axes
    (bar,) = axes.containers
    assert axes.get_xlim()[0] < bar.lines[0].get_xdata()[0] == 0.1
