"""The comparison as numbers: comparison.csv, curves.csv, and the headline metrics of summary.json."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
import pandas as pd

from aelab.report import warnings as result_warnings
from aelab.report.metric_specs import TABLE, headline, spec
from aelab.report.results import Results

DIGITS = 6  # significant digits in the CSV files


def frame(results: Results) -> pd.DataFrame:
    """One row per model and stack.

    Name, family, device, num_seeds, warnings, changes of the net for this data set; then each metric's mean over
    replicates and, as `<metric>_std`, its sample standard deviation (empty with one replicate).
    """
    rows = []
    for item in results.items.values():
        about = {key: item.about[key] for key in ("family", "device", "num_seeds")}
        row: dict[str, Any] = {
            "name": item.name,
            **about,
            "warnings": "; ".join(f.words for f in result_warnings.of(results, item)),
        }
        for metric in item.metrics:
            row[metric] = item.mean(metric)
            if not spec(metric).count:
                row[f"{metric}_std"] = item.spread(metric)
        rows.append(row)
    table = pd.DataFrame(rows)
    whole = {row.name: "Int64" for row in TABLE if row.count and row.name in table}
    return table.astype(whole)


def curves(results: Results) -> pd.DataFrame:
    """One row per item, phase and evaluation: the monitored `term` in training and validation, mean over the `seeds`
    replicates that were still training, and the standard deviation in validation."""
    rows = []
    for item in results.items.values():
        for phase in item.curves():
            with warnings.catch_warnings():
                # the standard deviation of a single seed: NaN, left empty
                warnings.simplefilter("ignore", RuntimeWarning)
                columns = {
                    "seeds": np.isfinite(phase.validation).sum(0),
                    "train": np.nanmean(phase.train, 0),
                    "validation": np.nanmean(phase.validation, 0),
                    "validation_std": np.nanstd(phase.validation, 0, ddof=1),
                }
            keys = {"name": item.name, "phase": phase.phase, "step": phase.steps, "term": phase.term}
            rows.append(pd.DataFrame({**keys, **columns}))
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=["name", "phase", "step", "term"])


def csv(table: pd.DataFrame) -> str:
    """The text of a CSV file, the same on every system."""
    return table.to_csv(index=False, float_format=f"%.{DIGITS}g", lineterminator="\n")


def summary(results: Results) -> dict[str, dict[str, float]]:
    """The headline metrics of each item, means over replicates; those that do not apply are absent. With the errors of
    support vector machines."""
    machines = {f"svm_{kernel}": {"test_error/all": found["test_error"]} for kernel, found in results.machines.items()}
    return machines | {
        item.name: {
            metric: round(item.mean(metric), 4)
            for metric in item.metrics
            if headline(metric)
            if not math.isnan(item.mean(metric))
        }
        for item in results.items.values()
    }
