"""The rows of the report's table: models, stacks and baselines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aelab.report import warnings
from aelab.report.formatting import FEATURES, cell, ranked
from aelab.report.formatting import kind as kind_of
from aelab.report.html.table_columns import Column
from aelab.report.metric_specs import number, spec
from aelab.report.results import Item, Results, spoken
from aelab.report.table import DIGITS
from aelab.report.warnings import ResultWarning


@dataclass(frozen=True)
class Cell:
    """text: as shown, empty if the metric does not apply; value: to sort by, as in comparison.csv; best: of the trained
    models that stand together."""

    text: str
    value: str
    groups: tuple[str, ...]
    best: bool = False


@dataclass(frozen=True)
class Entry:
    """A row. kind: model, stack or baseline; `listed`: whether it is an entry of comparison.csv."""

    name: str
    kind: str
    family: str
    device: str
    replicates: str
    uses_labels: bool
    warnings: list[ResultWarning]
    cells: list[Cell]
    listed: bool

    @property
    def groups(self) -> list[str]:
        """The groups of columns in which it has a value."""
        return list(dict.fromkeys(group for item in self.cells if item.text for group in item.groups))


def rows(results: Results, columns: Sequence[Column]) -> dict[str, list[Entry]]:
    """The rows by the size of the code, each group with its title: models as in comparison.csv, stacks, baselines."""
    groups = results.by_size(results.models)
    if results.stacks:
        groups["Stacks, fine-tuned as classifiers"] = results.stacks
    result = {title: _group(results, items, columns) for title, items in groups.items()}
    result["Further baselines"] = [_baseline(name, values, columns) for name, values in baselines(results).items()]
    return result


def _group(results: Results, items: Sequence[Item], columns: Sequence[Column]) -> list[Entry]:
    trained = [item for item in items if not item.is_baseline]
    metrics = [column.metric for column in columns if column.metric != "pca"]
    marked = {
        item.name: dict(zip(metrics, cells, strict=True))
        for item, cells in zip(trained, ranked(trained, metrics), strict=True)
    }
    return [_entry(results, item, columns, marked.get(item.name, {})) for item in items]


def _entry(results: Results, item: Item, columns: Sequence[Column], marked: Mapping[str, str]) -> Entry:
    """marked: the cells of the item among those that it stands with, the best in asterisks."""

    def made(column: Column) -> Cell:
        pca = column.metric == "pca"
        value = (results.pca(item) if "sse" in item.metrics else math.nan) if pca else item.mean(column.metric)
        if math.isnan(value) or (column.within and column.within != kind_of(item, column.metric)):
            return Cell("", "", column.groups)
        text = number(value, column.metric) if pca else cell(item, column.metric)
        best = marked.get(column.metric, "").startswith("**")
        return Cell(text, plain(value, column.metric), column.groups, best)

    role = "stack" if item.is_stack else "baseline" if item.is_baseline else "model"
    about = item.about["family"], item.about["device"], str(item.about["num_seeds"])
    cells = [made(column) for column in columns]
    return Entry(item.name, role, *about, item.uses_labels, warnings.of(results, item), cells, listed=True)


def _baseline(name: str, values: Mapping[str, float], columns: Sequence[Column]) -> Entry:
    def made(column: Column) -> Cell:
        if (value := values.get(column.metric)) is None:
            return Cell("", "", column.groups)
        return Cell(number(value, column.metric), plain(value, column.metric), column.groups)

    cells = [made(column) for column in columns]
    return Entry(name, "baseline", "", "", "", False, [], cells, listed=False)


def plain(value: float, metric: str) -> str:
    """A value as in comparison.csv."""
    return f"{value:.0f}" if spec(metric).count else f"{value:.{DIGITS}g}"


def baselines(results: Results) -> dict[str, dict[str, float]]:
    """Baselines that are not in comparison.csv: name -> metric -> value."""
    names = {"noisy": "the noisy image"} | {name: spoken(name) for name in results.filters}
    result = {
        text: {
            f"{metric}/{noise}": measured[name][metric]
            for noise, measured in results.baselines["denoising"].items()
            for metric in ("psnr", "ssim", "restored_mse", "restored_error")
            if metric in measured[name]
        }
        for name, text in names.items()
    }
    if "keras_accuracy" in results.baselines:
        result["a black image"] = {"keras_accuracy": results.baselines["keras_accuracy"]}
    result |= {name: {"next_step_mse": value} for name, value in results.baselines.get("next_step", {}).items()}
    for name, measured in results.baselines.get("anomaly", {}).items():
        result[name] = {metric: value for metric, value in measured.items() if metric != "validation"}
    for kernel, found in results.machines.items():
        result[spoken(kernel)] = {"test_error/all": found["test_error"]}
    for name, curve in results.baselines.get("compression", {}).items():
        known = {metric: value for metric, value in curve.items() if metric != "points" and not math.isnan(value)}
        result |= {name: result.get(name, {}) | known} if known else {}
    for kind in ("raw", "pca"):
        errors = results.baselines.get("learners", {}).get("test", {}).items()
        alike = {f"{metric.rpartition('/')[0]}/code": value for metric, value in errors if metric.endswith(f"/{kind}")}
        result |= {FEATURES[kind]: alike} if alike else {}
    for group in ("probes", "generation"):
        for name, values in results.baselines[group].items():
            result[name] = result.get(name, {}) | values
    return result
