"""The classical filters do what their names say, and their parameters come from validation."""

import pytest
import torch

from aelab.data.corruption import corrupt
from aelab.evaluation import filters
from aelab.evaluation.reconstruction import psnr


def mean_psnr(x, x_hat):
    return psnr(x, x_hat).mean().item()


@pytest.mark.parametrize("name", filters.FILTERS)
def test_a_filter_keeps_a_flat_image_and_touches_no_neighbour(name):
    x = torch.full((3, 1, 28, 28), 0.5)
    x[1] = 0.2
    found = filters.FILTERS[name].apply(x, filters.FILTERS[name].grid[0])
    assert found.shape == x.shape
    torch.testing.assert_close(found, x)


def test_the_median_removes_a_lone_pixel_and_the_gaussian_spreads_it():
    x = torch.zeros(1, 1, 28, 28)
    x[0, 0, 14, 14] = 1
    assert filters.median(x, 3).sum() == 0
    spread = filters.gaussian(x, 1.0)
    assert spread.sum().item() == pytest.approx(1, rel=1e-3)
    assert spread.max() < 0.2


@pytest.mark.parametrize("name", filters.FILTERS)
def test_the_choice_is_the_best_on_validation(name, digits):
    clean = digits[0][:40]
    noisy = corrupt(clean, "gaussian", 0.25, torch.Generator().manual_seed(0))
    chosen = filters.choose(filters.FILTERS[name], noisy, clean, mean_psnr)
    tried = filters.FILTERS[name]
    quality = {value: psnr(clean, tried.apply(noisy, value)).mean().item() for value in tried.grid}
    assert chosen == max(quality, key=quality.__getitem__)
    assert quality[chosen] > psnr(clean, noisy).mean().item()


@pytest.mark.parametrize(("kind", "level"), [("gaussian", 0.25), ("salt_pepper", 0.25), ("masking", 0.5)])
def test_a_finer_search_of_non_local_means_gains_little(kind, level, digits):
    clean = digits[0][:40]
    noisy = corrupt(clean, kind, level, torch.Generator().manual_seed(0))

    def quality(h: float) -> float:
        return psnr(clean, filters.non_local_means(noisy, h)).mean().item()

    chosen = filters.choose(filters.FILTERS["non_local_means"], noisy, clean, mean_psnr)
    assert quality(chosen) > max(map(quality, (0.05, 0.125, 0.175, 0.225, 0.275, 0.35, 0.5, 1))) - 0.3
