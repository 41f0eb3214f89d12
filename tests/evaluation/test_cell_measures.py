"""Measures of tables and series against their definitions."""

import math

import numpy as np
import pytest
import torch

from aelab.data.columns import Column
from aelab.data.corruption import corrupt
from aelab.data.layout import Layout
from aelab.data.tensors import Data, Tensors
from aelab.evaluation import forecasts
from aelab.evaluation.cells import CellMeasures, interpolated
from aelab.evaluation.pca import PCA

LINE = ((0.0, 0.0), (1.0, 1.0))
TABLE = CellMeasures(Layout.of([Column("n", knots=LINE), Column("c", ("a", "b")), Column("m", flag=True, knots=LINE)]))
X = torch.tensor([[0.5, 1, 0, 0, 2.0, 1], [-1.0, 0, 1, 0, 0, 0], [0.2, 0, 0, 0, 1.0, 1]])  # m, then c are missing
X_HAT = torch.tensor([[0.0, 0.6, 0.4, 0, 2.5, 1], [-1.0, 0.9, 0.1, 0, 7.0, 1], [0.2, 1, 0, 0, 0.0, 1]])
SERIES = CellMeasures(Layout.of([Column("a", knots=LINE), Column("b", knots=LINE)]))


def test_errors_count_known_cells_alone():
    expected = [0.25 + 2 * 0.16 + 0.25, 2 * 0.81, 1.0]
    np.testing.assert_allclose(TABLE.squared_errors(X, X_HAT), expected, rtol=1e-6)
    found = TABLE.reconstruction(X, X_HAT, bounded=False)
    assert found["sse"] == pytest.approx(sum(expected) / 3)
    assert found["mse"] == pytest.approx((0.25 + 0.25 + 1.0) / 5)  # five known numbers
    assert found["category_error"] == 0.5
    assert found["psnr"] == pytest.approx(-10 * math.log10(sum(expected) / 7))
    assert TABLE.psnr(X, X) == 100


def test_restored_are_the_cells_that_noise_changed():
    noisy = X.clone()
    noisy[0, 1:4] = 0
    noisy[2, 4:] = 0
    noisy[1, 0] = 5
    assert TABLE.changed(X, noisy).tolist() == [[False, True, False], [True, False, False], [False, False, True]]
    assert TABLE.denoised(X, noisy, X_HAT) == {"restored_mse": pytest.approx(0.5), "restored_error": 0.0}
    assert TABLE.denoised(X, X, X_HAT) == {}


def test_where_noise_hides_the_others_stay():
    noisy = corrupt(X, "masking", 0.5, torch.Generator().manual_seed(0), TABLE.layout)
    filled = TABLE.completed("masking-0.5", noisy, X_HAT)
    empty = TABLE.layout.spread(TABLE.empty(noisy))
    assert torch.equal(filled, torch.where(empty, X_HAT, noisy))
    assert torch.equal(TABLE.completed("swap-0.5", noisy, X_HAT), X_HAT)


def rows(n: int, seed: int) -> torch.Tensor:
    """m is n again, c tells its sign: each cell follows from the others."""
    x = torch.zeros(n, 6)
    x[:, 0] = torch.randn(n, generator=torch.Generator().manual_seed(seed))
    x[torch.arange(n), 1 + (x[:, 0] > 0).long()] = 1
    x[:, 4], x[:, 5] = x[:, 0], 1
    return x


def table_data() -> Data:
    parts = [Tensors(rows(n, seed), torch.zeros(n)) for seed, n in enumerate((600, 100, 200))]
    return Data(*parts, {}, parts[2], parts[2], parts[1])


def test_neighbours_fill_what_the_mean_cannot():
    data = table_data()
    x = data.test.x
    filters = TABLE.filters(data, PCA(data.train.x))
    noisy = corrupt(x, "masking", 0.2, torch.Generator().manual_seed(0), TABLE.layout)
    results = {name: TABLE.denoised(x, noisy, one.apply(noisy, one.grid[0])) for name, one in filters.items()}
    assert results["mean"]["restored_mse"] == pytest.approx(1, abs=0.25)
    assert results["neighbours"]["restored_mse"] < 0.3 * results["mean"]["restored_mse"]
    assert results["neighbours"]["restored_error"] < 0.25 < results["mean"]["restored_error"]
    kept = filters["neighbours"].apply(noisy, 3)
    known = ~TABLE.layout.spread(TABLE.empty(noisy))
    assert torch.equal(kept[known], noisy[known])


def test_arrays_tell_errors_and_confusions_by_column():
    noisy = corrupt(X, "masking", 1.0, torch.Generator().manual_seed(0), TABLE.layout)
    found = TABLE.arrays("denoised/masking-1", X, noisy, X_HAT, torch.arange(2))
    np.testing.assert_allclose(found["columns/denoised/masking-1"], [[0.25 / 3, 0.5, 0.625], [3, 2, 2]], rtol=1e-6)
    assert found["confused/denoised/masking-1/0"].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert "denoised/masking-1" not in found, "a row is no picture"


def waves(n: int, seed: int, steps: int = 40) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    phase = 6.28 * torch.rand(n, 1, 2, generator=draw)
    return torch.sin(0.4 * torch.arange(steps)[None, :, None] + phase) + 0.05 * torch.randn(n, steps, 2, generator=draw)


def test_a_gap_is_filled_along_a_line():
    x = torch.arange(1.0, 11)[None, :, None].repeat(2, 1, 2)
    noisy = x.clone()
    noisy[0, 3:6] = 0
    noisy[1, :2] = 0
    found = interpolated(SERIES.empty(noisy), SERIES.layout, noisy)
    assert torch.equal(found[0], x[0])
    assert found[1, :3, 0].tolist() == [3, 3, 3]


def test_series_are_smoothed_and_shown():
    x = waves(30, 0)
    data = Data(*(Tensors(waves(n, n), torch.zeros(n)) for n in (60, 20, 30)), {}, *[Tensors(x, torch.zeros(30))] * 3)
    filters = SERIES.filters(data, PCA(data.train.x.flatten(1)))
    noisy = corrupt(x, "gaussian", 0.5, torch.Generator().manual_seed(0), SERIES.layout)
    for name in ("median", "gaussian", "pca"):
        best = max(SERIES.psnr(x, filters[name].apply(noisy, value)) for value in filters[name].grid)
        assert best > SERIES.psnr(x, noisy) + 2, name
    found = SERIES.arrays("noisy/gaussian-0.5", x, noisy, noisy, torch.arange(3))
    assert found["noisy/gaussian-0.5"].shape == (3, 40, 2)
    np.testing.assert_allclose(found["band/noisy/gaussian-0.5"].mean(), 0.5, atol=0.05)


def test_forecasts_of_waves():
    parts = [Tensors(waves(n, n), torch.zeros(n)) for n in (60, 20, 30)]
    data = Data(*parts, {}, parts[2], parts[2], parts[1])
    found = forecasts.baselines(data, SERIES)
    x = parts[2].x
    expected = (x[:, 8:] - x[:, 7:-1]).square().mean().item()
    assert found["last value"] == pytest.approx(expected, rel=1e-5)
    assert found["ridge AR(8)"] < 0.02 < 0.05 < found["last value"]  # a sine is linear in its last two values
    perfect = x[:, 1:]
    assert forecasts.error(x, perfect, SERIES) == 0


def test_lags_come_before_their_step():
    x = torch.arange(24.0).view(1, 12, 2)
    inputs, targets = forecasts.lagged(x)
    assert inputs.shape == (4, 16)
    assert targets.tolist() == [[16, 17], [18, 19], [20, 21], [22, 23]]
    assert sorted(inputs[0].tolist()) == list(range(16))
