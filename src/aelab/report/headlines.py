"""The few metrics by which states of the pipeline are compared in MLflow."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from aelab.report.best_models import best_models
from aelab.report.results import Item, Results
from aelab.report.tasks import sizes


def headlines(results: Results) -> dict[str, float]:
    """Test metrics, means over replicates, of models selected on validation images.

    They are the best of each task (see best_models), the smallest squared error up to each latent dimension, and the
    smallest error of a stack per label budget.
    """
    result = {}
    for best in best_models(results):
        if not best.registered:
            continue
        who = " ".join([best.task.name, *(alias for alias in best.task.aliases[:1] if alias != "champion")])
        result[f"best/{who} {best.task.metric}"] = float(np.mean(best.test))
    for size in sizes(results):
        small = [item for item in results.rebuilding if item.mean("latent_dim") <= size and not item.is_baseline]
        result |= _smallest(f"best/up-to-{size} sse", small, "sse", "sse")
    for budget in results.budgets:
        result |= _smallest(f"best/{budget} test_error", results.stacks, f"error/{budget}", f"test_error/{budget}")
    return result


def _smallest(name: str, items: Iterable[Item], validation: str, test: str) -> dict[str, float]:
    """{name: the test value} of the item with the smallest validation value; {} without any."""
    chosen = {item.name: item for item in items if validation in item.validation and test in item.metrics}
    best = min(chosen.values(), key=lambda item: float(np.mean(item.validation[validation])), default=None)
    return {name: best.mean(test)} if best else {}
