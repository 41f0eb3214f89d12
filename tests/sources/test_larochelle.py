"""The sets of Larochelle & others 2007 are drawn as their authors describe them."""

import numpy as np
import pytest

from aelab.sources import photographs, plane_sets, published, variations
from aelab.sources.settings import Dataset
from aelab.sources.variations import Variation

SIDE = plane_sets.SIDE


@pytest.fixture(autouse=True)
def few(monkeypatch):
    for module in (variations, plane_sets):
        monkeypatch.setattr(module, "TEST", 200)


@pytest.fixture(scope="module")
def digits():
    x, y = published.fetch("mnist5k", ())["train"]
    return {"train": (x[:4000], y[:4000]), "test": (x[4000:], y[4000:])}


def test_a_set_has_the_sizes_of_the_original():
    sizes = {name: sum(published.SOURCES[name].sizes.values()) for name in published.SOURCES if name not in OTHERS}
    assert sizes == dict.fromkeys(SETS, 12_000) | {"rectangles": 1200, "convex": 8000}


SETS = ["mnist_basic", "mnist_rot", "mnist_bg_rand", "mnist_bg_img", "mnist_rot_bg_img", "rectangles", "rectangles_img"]
SETS.append("convex")
OTHERS = {name for name in published.SOURCES if name not in SETS}


def test_digits_of_both_parts_of_mnist_are_drawn_anew_and_none_twice(digits):
    found = variations.draw(Variation(), digits, 300, seed=0)
    assert {part: (x.shape, x.dtype, y.dtype) for part, (x, y) in found.items()} == {
        "train": ((300, 1, 28, 28), np.uint8, np.int64),
        "test": ((200, 1, 28, 28), np.uint8, np.int64),
    }
    pool = {image.tobytes(): label for x, y in digits.values() for image, label in zip(x[:, 0], y, strict=True)}
    drawn = [(image.tobytes(), label) for x, y in found.values() for image, label in zip(x[:, 0], y, strict=True)]
    assert len({image for image, _ in drawn}) == 500
    assert all(pool[image] == label for image, label in drawn)
    again, other = (variations.draw(Variation(), digits, 300, seed)["train"][0] for seed in (0, 1))
    assert (again == found["train"][0]).all()
    assert (other != found["train"][0]).any()


def test_a_turned_digit_has_as_much_ink_and_is_turned():
    image = np.zeros((28, 28), np.uint8)
    image[8:20, 13:15] = 200  # a bar, centred
    quarter = variations.turned(image, 90)
    np.testing.assert_array_equal(quarter, image.T)
    assert variations.turned(image, 37).sum() == pytest.approx(int(image.sum()), rel=0.02)


@pytest.mark.parametrize("background", ["noise", "photographs"])
def test_a_digit_is_as_bright_before_a_background_as_without(digits, background):
    plain = variations.draw(Variation(), digits, 300, seed=0)["train"][0]
    found = variations.draw(Variation(background=background), digits, 300, seed=0)["train"][0]
    assert (found >= plain).all()
    behind = found[plain == 0]
    assert behind.mean() == pytest.approx(127.5, abs=1 if background == "noise" else 30)
    assert np.unique(behind).size == 256


def test_patches_are_of_photographs_and_have_texture():
    found = photographs.patches(200, (28, 28), np.random.default_rng(0))
    assert found.std(axis=(1, 2)).min() >= photographs.LEAST
    grey = photographs.grey()
    assert len(grey) == 11
    assert {image.dtype for image in grey} == {np.dtype(np.uint8)}
    patch = found[0]
    assert any((np.lib.stride_tricks.sliding_window_view(image, (28, 28)) == patch).all((2, 3)).any() for image in grey)


def test_rectangles_are_outlines_wider_or_taller():
    x, y = plane_sets.rectangles(300, seed=0)["train"]
    for image, tall in zip(x[:, 0] > 0, y, strict=True):
        (top, left), (bottom, right) = np.argwhere(image).min(0), np.argwhere(image).max(0)
        height, width = bottom - top + 1, right - left + 1
        assert abs(height - width) >= 3
        assert (height > width) == tall
        filled = np.zeros_like(image)
        filled[top : bottom + 1, left : right + 1] = True
        filled[top + 1 : bottom, left + 1 : right] = False
        np.testing.assert_array_equal(image, filled)
    assert y.mean() == pytest.approx(0.5, abs=0.1)


def test_rectangles_of_photographs_cover_a_quarter_to_three_quarters():
    rng = np.random.default_rng(0)
    for _ in range(300):
        inside, tall = plane_sets._rectangle(rng, photographed=True)
        height, width = np.ptp(np.argwhere(inside), 0) + 1
        assert inside.sum() == height * width
        assert 0.25 <= inside.mean() <= 0.75
        assert min(height, width) >= 10
        assert abs(height - width) >= 5
        assert tall == (height > width)
    assert plane_sets.rectangles(20, 0, photographed=True)["train"][0].shape == (20, 1, SIDE, SIDE)


def every_pair_convex(pixels):
    """Whether the segment between any two pixels crosses only pixels of the set, sampled finely."""
    points = np.argwhere(pixels)
    share = np.linspace(0, 1, 60)[:, None]
    for i, a in enumerate(points):
        for b in points[i + 1 :]:
            along = a + share * (b - a)
            close = np.abs(along - along.round()).max(1) < 1e-9  # at a pixel's centre
            on = along[close].round().astype(int)
            if not pixels[on[:, 0], on[:, 1]].all():
                return False
    return True


@pytest.mark.parametrize(
    ("rows", "convex"),
    [
        (["XX", "XX"], True),
        (["X.", ".X"], True),
        (["X.X"], False),
        (["XXX"], True),
        (["X..", "...", "..X"], False),
        (["X..", ".X.", "..X"], True),
        (["XXX", "X.X", "XXX"], False),
        (["XXX", "XX.", "X.."], True),
        (["XX.", "X..", "XXX"], False),
        (["X"], True),
    ],
)
def test_a_set_is_convex_if_its_hull_holds_no_other_pixel(rows, convex):
    pixels = np.array([[pixel == "X" for pixel in row] for row in rows])
    assert plane_sets.is_convex(pixels) is convex


def test_half_of_the_sets_are_convex_and_both_kinds_cover_as_much():
    x, y = plane_sets.convex(2000, seed=0)["train"]
    assert y.mean() == pytest.approx(0.5, abs=0.05)
    assert set(np.unique(x)) == {0, 255}
    pixels = x[:, 0] > 0
    assert [plane_sets.is_convex(image) for image in pixels[:100]] == y[:100].astype(bool).tolist()
    small = [image for image, label in zip(pixels, y, strict=True) if label and image.sum() < 60][:5]
    assert all(map(every_pair_convex, small))
    sizes = pixels.sum((1, 2))
    assert sizes[y == 1].min() >= 19
    assert sizes[y == 1].mean() == pytest.approx(sizes[y == 0].mean(), rel=0.1)


def test_draws_differ_and_only_drawn_sets_have_them():
    assert (plane_sets.convex(50, 0)["train"][0] != plane_sets.convex(50, 1)["train"][0]).any()
    first, second = (published.fetch("rectangles", (), draw)["train"][0] for draw in (0, 1))
    assert (first != second).any()
    assert Dataset("rectangles", draw=4).draw == 4
    for wrong in (
        {"name": "mnist", "draw": 1},
        {"name": "rectangles", "draw": -1},
        {"name": "own", "path": "x", "draw": 1},
    ):
        with pytest.raises(
            ValueError, match=r"^draw: -?1 does not belong here; allowed: 0, and 1 or more of sprites, "
        ):
            Dataset(**wrong)
