import pytest
import torch

from aelab.training.augmentation import augment, parse


def seeded():
    return torch.Generator().manual_seed(0)


@pytest.fixture
def x():
    """Bright blots away from the border."""
    x = torch.zeros(6, 1, 20, 16)
    x[:, :, 8:12, 6:10] = torch.rand(6, 1, 4, 4, generator=seeded()) + 0.1
    return x


def test_every_other_image_moves_and_nothing_else_changes(x):
    before = x.clone()
    moved = augment(x, parse(["rotate 10", "scale 0.1", "shift 2"]), seeded())
    assert torch.equal(x, before)
    assert torch.equal(moved[1::2], x[1::2])
    assert all(not torch.equal(a, b) for a, b in zip(moved[::2], x[::2], strict=True))
    assert moved.min() >= 0
    assert moved.max() <= x.max()
    assert torch.equal(moved, augment(x, parse(["rotate 10", "scale 0.1", "shift 2"]), seeded()))
    assert augment(x, {}, seeded()) is x


def centre(image):
    weight = image[0] / image.sum()
    rows, columns = torch.arange(image.shape[1]), torch.arange(image.shape[2])
    return torch.stack([(weight.sum(1) * rows).sum(), (weight.sum(0) * columns).sum()])


def test_a_shift_is_in_pixels_along_both_axes(x):
    moved = augment(x, {"shift": 3.0}, seeded())
    _, _, right, down = torch.rand(4, 3, generator=seeded()) * 2 - 1
    for number in range(3):
        went = centre(moved[2 * number]) - centre(x[2 * number])
        torch.testing.assert_close(went, -3 * torch.stack([down[number], right[number]]), rtol=0, atol=0.05)
    torch.testing.assert_close(moved.sum(), x.sum(), rtol=1e-3, atol=0)


def test_a_turn_keeps_distances_in_images_that_are_not_square():
    x = torch.zeros(2, 1, 41, 21)
    x[:, :, 20, 14:17] = 1  # five pixels to the right of the centre
    angles = [torch.Generator().manual_seed(seed) for seed in range(20)]
    for generator in angles:
        row, column = centre(augment(x, {"rotate": 90.0}, generator)[0])
        assert float(torch.hypot(row - 20, column - 10)) == pytest.approx(5, abs=0.1)


def test_scale_changes_the_size(x):
    areas = augment(x.repeat(50, 1, 1, 1).gt(0).float(), {"scale": 0.5}, seeded())[::2].sum((1, 2, 3)) / 16
    assert areas.min() < 0.6  # 1 / 1.5^2 = 0.44
    assert areas.max() > 2.5  # 1 / 0.5^2 = 4


@pytest.mark.parametrize("words", ["turn 3", "rotate", "rotate x", "rotate 0", "rotate 181", "shift -1", "scale 1"])
def test_a_wrong_word_is_named_with_what_is_allowed(words):
    with pytest.raises(ValueError, match=rf"^augment: '{words}' is .*; allowed: "):
        parse([words])


def test_a_kind_stands_once():
    with pytest.raises(ValueError, match=r"^augment: 'shift 2' is wrong"):
        parse(["shift 1", "shift 2"])
