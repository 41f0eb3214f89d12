"""The best model per task, by the numbers of the comparison: what the model registry offers by name."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from aelab.report.results import Item, Results


@dataclass(frozen=True)
class Champion:
    """task: denoiser, encoder or generator."""

    task: str
    item: Item
    why: str


def champions(results: Results) -> list[Champion]:
    """denoiser: highest PSNR, mean over the test noises; encoder: best linear probe among those that saw no labels;
    generator: smallest Frechet distance of samples from a prior. A task that no model does is left out."""
    learned = [item for item in results.models if not item.is_floor]

    def denoising(item: Item) -> float:
        return float(np.mean([item.mean(f"psnr/{noise}") for noise in results.noises]))

    def probe(item: Item) -> float:
        return math.nan if item.saw_labels else item.mean("probe_accuracy")

    def frechet(item: Item) -> float:
        return -item.mean("frechet") if item.about.get("samples") == "prior" else math.nan

    tasks = {
        "denoiser": (denoising, lambda best: f"{best:.2f} dB, mean over {len(results.noises)} test noises"),
        "encoder": (probe, lambda best: f"a linear probe on its codes is right on {100 * best:.1f}%"),
        "generator": (frechet, lambda best: f"Frechet distance {-best:.3f} of its samples"),
    }
    found = []
    for task, (score, words) in tasks.items():
        scored = {item.name: score(item) for item in learned if not math.isnan(score(item))}
        if scored:
            best = max(scored, key=scored.__getitem__)
            found.append(Champion(task, results.items[best], words(scored[best])))
    return found
