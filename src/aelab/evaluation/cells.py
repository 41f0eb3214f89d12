"""What is measured on tables and series: errors of cells, and the baselines that fill or smooth them.

x and x_hat are float32 rows [N, D] or series [N, T, D]; their columns (see data/columns.py) have C cells, [N, C] or [N,
T, C]. Numbers are scaled to standard deviation 1: predicting the training mean has a squared error of 1. A category's
squared error is that of its one-hot inputs (Brier 1950). Missing cells count nothing.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from aelab.data.layout import Layout, on, squared_errors
from aelab.data.tensors import CHUNK, Data
from aelab.evaluation.filters import Filter
from aelab.evaluation.pca import PCA
from aelab.evaluation.reconstruction import CAP

HIDING = ("masking", "span")  # noises that hide cells: what is known stays as it is
DONORS = 5000  # training rows at most, among which neighbours are sought


@dataclass(frozen=True)
class CellMeasures:
    """The measures of tables and series; those of images are in measures.py."""

    layout: Layout

    def squared_errors(self, x: Tensor, x_hat: Tensor) -> Tensor:
        """The sum over known inputs of (x - x_hat)^2 per row or series, float64 [N]."""
        parts = zip(x.split(CHUNK), x_hat.split(CHUNK), strict=True)
        return torch.cat([squared_errors(a, b, self.layout) for a, b in parts])

    def psnr(self, x: Tensor, x_hat: Tensor) -> float:
        """The signal-to-noise ratio -10 log10(mean squared error of all known cells), in dB, at most CAP: not a mean
        over rows, of which many have no error at all where noise leaves them alone."""
        known = sum(self.layout.known_cells(part).sum().item() for part in x.split(CHUNK))
        mse = self.squared_errors(x, x_hat).sum().item() / max(1, known)
        return min(CAP, -10 * math.log10(mse)) if mse else CAP

    def of_items(self, x: Tensor, x_hat: Tensor) -> dict[str, Tensor]:
        return {}

    def reconstruction(self, x: Tensor, x_hat: Tensor, bounded: bool) -> dict[str, float]:
        """mse (per known number), category_error (share of wrong categories, if there are any), sse (per row or
        series), psnr (dB)."""
        found = self.by_column(x, x_hat, self.layout.known_cells(x))
        errors = self.squared_errors(x, x_hat)
        return self.means(found, "mse", "category_error") | {
            "sse": errors.mean().item(),
            "psnr": self.psnr(x, x_hat),
        }

    def denoised(self, x: Tensor, noisy: Tensor, x_hat: Tensor) -> dict[str, float]:
        """restored_mse, restored_error: as mse and category_error, over the cells that the noise changed."""
        return self.means(self.by_column(x, x_hat, self.changed(x, noisy)), "restored_mse", "restored_error")

    def completed(self, noise: str, noisy: Tensor, x_hat: Tensor) -> Tensor:
        """x_hat; of a noise that hides cells the noisy x with x_hat in the cells that look missing."""
        if noise.rpartition("-")[0] not in HIDING:
            return x_hat
        return torch.where(self.layout.spread(self.empty(noisy)), x_hat, noisy)

    def arrays(self, name: str, x: Tensor, noisy: Tensor | None, x_hat: Tensor, rows: Tensor) -> dict[str, np.ndarray]:
        """`columns/<name>` [2, C], see by_column, over the cells that the noise changed, else over all known ones;
        `confused/<name>/<c>` int64 [K, K] for the c-th category column: true and rebuilt category of these cells; some
        series [n, T, D], and `band/<name>` [T, D]."""
        counts = self.layout.known_cells(x) if noisy is None else self.changed(x, noisy)
        result = {f"columns/{name}": self.by_column(x, x_hat, counts).cpu().numpy()}
        for c, (start, stop) in enumerate(self.layout.blocks):
            chosen = counts[..., self.layout.cells[start]]
            truth, found = (part[..., start:stop][chosen].argmax(-1) for part in (x, x_hat))
            size = stop - start
            pairs = torch.bincount(truth * size + found, minlength=size * size)
            result[f"confused/{name}/{c}"] = pairs.view(size, size).cpu().numpy()
        if x.dim() > 2:
            result |= {name: x_hat[rows].cpu().numpy(), f"band/{name}": self.band(x, x_hat)}
        return result

    def band(self, x: Tensor, x_hat: Tensor) -> np.ndarray:
        """The root of the mean squared error of each step and feature, over series [N, T, D]: [T, D]."""
        known = self.layout.known(x)
        return ((known * (x - x_hat).square()).sum(0) / known.sum(0).clamp_min(1)).sqrt().cpu().numpy()

    def changed(self, x: Tensor, noisy: Tensor) -> Tensor:
        """Which known cells a noise has changed: bool [N, ..., C]."""
        firsts = torch.zeros(*x.shape[:-1], self.layout.count, dtype=torch.int32, device=x.device)
        differs = firsts.index_add(-1, on(self.layout.cells, x.device), (x != noisy).int())
        return (differs > 0) & self.layout.known_cells(x)

    def by_column(self, x: Tensor, x_hat: Tensor, counts: Tensor) -> Tensor:
        """The error of every column over the cells that count [N, ..., C], and their number: float64 [2, C].

        Squared for numbers, 1 for a wrong category. NaN where none counts.
        """
        total = torch.zeros(2, self.layout.count, dtype=torch.float64, device=x.device)
        for a, b, counting in zip(x.split(CHUNK), x_hat.split(CHUNK), counts.split(CHUNK), strict=True):
            errors = torch.zeros_like(counting, dtype=torch.float64)
            cells = on(tuple(self.layout.cells[i] for i in self.layout.numbers), x.device)
            numbers = on(self.layout.numbers, x.device)
            squares = (a - b).index_select(-1, numbers).double().square()
            errors.index_copy_(-1, cells, squares)
            for start, stop in self.layout.blocks:
                wrong = a[..., start:stop].argmax(-1) != b[..., start:stop].argmax(-1)
                errors[..., self.layout.cells[start]] = wrong.double()
            total[0] += (errors * counting).flatten(0, -2).sum(0)
            total[1] += counting.flatten(0, -2).sum(0)
        total[0] /= total[1]
        return total

    def means(self, by_column: Tensor, number: str, category: str) -> dict[str, float]:
        """The means over all cells of numbers, and over all cells of categories; absent without any."""
        categories = {self.layout.cells[start] for start, _ in self.layout.blocks}
        result = {}
        for name, chosen in ((number, False), (category, True)):
            columns = [i for i in range(self.layout.count) if (i in categories) == chosen and by_column[1, i] > 0]
            if columns:
                errors, counts = by_column[:, columns]
                result[name] = ((errors * counts).sum() / counts.sum()).item()
        return result

    def filters(self, data: Data, pca: PCA) -> dict[str, Filter]:
        """The baselines of denoising: what fills hidden cells or smooths, by name."""
        steps = data.train.x.dim() > 2
        sizes = [k for k in (1, 2, 4, 8, 16, 32, 64) if k < pca.directions.shape[1]] or [1]
        result = {"pca": Filter(tuple(sizes), lambda x, k: pca.decode(pca.encode(x.flatten(1), int(k))).view_as(x))}
        if steps:
            result["interpolation"] = Filter((0,), lambda x, _: interpolated(self.empty(x), self.layout, x))
            result["median"] = Filter((3, 5, 9), lambda x, size: _median(x, int(size)))
            result["gaussian"] = Filter((0.5, 1.0, 2.0, 4.0), _gaussian)
        else:
            mean = data.train.x.mean(0)
            result["mean"] = Filter((0,), lambda x, _: torch.where(self.layout.spread(self.empty(x)), mean, x))
            donors = data.train.x[:DONORS]
            result["neighbours"] = Filter((3, 10, 30), lambda x, k: self.from_neighbours(donors, x, int(k)))
        return result

    def empty(self, x: Tensor) -> Tensor:
        """Which cells look missing, all inputs 0: bool [N, ..., C]."""
        filled = torch.zeros(*x.shape[:-1], self.layout.count, dtype=torch.int32, device=x.device)
        return filled.index_add(-1, on(self.layout.cells, x.device), (x != 0).int()) == 0

    def from_neighbours(self, donors: Tensor, x: Tensor, k: int) -> Tensor:
        """Rows [N, D] whose empty cells have the mean of the k nearest donors that know them (scikit-learn's
        KNNImputer, distances over the known inputs)."""
        from sklearn.impute import KNNImputer

        given, wanted = (
            torch.where(self.layout.spread(self.empty(part)), torch.nan, part).cpu().numpy() for part in (donors, x)
        )
        model = KNNImputer(n_neighbors=min(k, len(given)), keep_empty_features=True).fit(given)
        found = [np.asarray(model.transform(wanted[i : i + CHUNK])) for i in range(0, len(wanted), CHUNK)]
        return torch.from_numpy(np.concatenate(found).astype(np.float32)).to(x.device)


def interpolated(empty: Tensor, layout: Layout, x: Tensor) -> Tensor:
    """Series [N, T, D] whose empty cells [N, T, C] of numbers are on a line between the known ones before and after."""
    result, gone = x.cpu().numpy().copy(), empty.cpu().numpy()
    steps = np.arange(x.shape[1])
    for number in layout.numbers:
        missing = gone[..., layout.cells[number]]
        for row in np.flatnonzero(missing.any(1) & ~missing.all(1)):
            there = ~missing[row]
            result[row, ~there, number] = np.interp(steps[~there], steps[there], result[row, there, number])
    return torch.from_numpy(result).to(x.device)


def _median(x: Tensor, size: int) -> Tensor:
    from scipy.ndimage import median_filter

    return torch.from_numpy(median_filter(x.cpu().numpy(), size=(1, size, 1))).to(x.device)


def _gaussian(x: Tensor, sigma: float) -> Tensor:
    from scipy.ndimage import gaussian_filter1d

    return torch.from_numpy(gaussian_filter1d(x.cpu().numpy(), sigma, axis=1)).to(x.device)
