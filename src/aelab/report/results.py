"""What `evaluate` and `floors` saved, as one object, and the flags that follow from the numbers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

FILTERS = ("median", "gaussian", "non_local_means")


@dataclass(frozen=True)
class Item:
    """One model or stack: its metrics.json and its arrays."""

    name: str
    about: dict[str, Any]
    arrays: dict[str, np.ndarray]

    @property
    def metrics(self) -> dict[str, list[float]]:
        """Metric -> one value per replicate."""
        return self.about["metrics"]

    @property
    def is_stack(self) -> bool:
        return self.about["kind"] == "classifier"

    def mean(self, metric: str) -> float:
        """Mean over replicates; NaN where the metric does not apply."""
        return float(np.mean(self.metrics[metric])) if metric in self.metrics else math.nan

    def spread(self, metric: str) -> float:
        """Sample standard deviation over replicates; NaN for a single one."""
        values = self.metrics.get(metric, [])
        return float(np.std(values, ddof=1)) if len(values) > 1 else math.nan


@dataclass(frozen=True)
class Results:
    """Everything that the table and the figures are made from."""

    data: dict[str, Any]  # the data set's meta.json
    items: dict[str, Item]
    floors: dict[str, Any]
    pictures: dict[str, np.ndarray]  # of the floors

    @property
    def models(self) -> list[Item]:
        return [item for item in self.items.values() if not item.is_stack]

    @property
    def stacks(self) -> list[Item]:
        return [item for item in self.items.values() if item.is_stack]

    @property
    def noises(self) -> list[str]:
        return list(self.floors["denoising"])

    def pick(self, names: tuple[str, ...]) -> list[Item]:
        """The items of these names, those that there are."""
        return [self.items[name] for name in names if name in self.items]

    def best_filter(self, noise: str) -> tuple[str, float]:
        """The filter with the highest PSNR (dB) under a noise, and that PSNR."""
        found = self.floors["denoising"][noise]
        name = max(FILTERS, key=lambda each: found[each]["psnr"])
        return name, found[name]["psnr"]

    def flags(self, item: Item) -> dict[str, str]:
        """Where a model is beaten by its floor: group of measures -> in words."""
        found: dict[str, list[str]] = {"reconstruction": [], "denoising": [], "representation": [], "likelihood": []}
        if item.is_stack:
            return {}
        numbers, sse = int(item.mean("code_numbers")), item.mean("sse")
        pca = self.floors["pca_sse"]
        # a thousandth of slack: PCA itself, rounded to float32, is no failure
        if numbers < len(pca) - 1 and item.about["family"] != "linear" and sse > 1.001 * pca[numbers]:
            found["reconstruction"].append(
                f"PCA with {numbers} numbers rebuilds better: {pca[numbers]:.2f} against {sse:.2f}"
            )
        for words in item.about["noise"]:
            noise = words.replace(" ", "-")
            if noise in self.floors["denoising"]:
                psnr, (name, floor) = item.mean(f"psnr/{noise}"), self.best_filter(noise)
                if psnr < self.floors["denoising"][noise]["noisy"]["psnr"]:
                    found["denoising"].append(f"worse than the noisy input at {words}")
                elif psnr < floor:
                    found["denoising"].append(f"worse than the {name.replace('_', ' ')} filter at {words}")
        if item.mean("probe_accuracy") < self.floors["probes"]["raw pixels"]["probe_accuracy"]:
            found["representation"].append("a linear probe does better on raw pixels")
        if item.mean("active_latents") < numbers / 2:
            found["likelihood"].append(f"only {item.mean('active_latents'):.1f} of {numbers} latents are active")
        return {group: "; ".join(words) for group, words in found.items() if words}
