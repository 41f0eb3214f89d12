"""All figures, by file name."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.text import Text

from aelab.report.figures import (
    charts,
    codes,
    columns,
    decoded,
    heatmap,
    one_class,
    overview,
    pictures,
    quality,
    series,
    toys,
    tradeoffs,
    uses,
    weights,
)
from aelab.report.figures.selection import shown
from aelab.report.figures.style import save, title
from aelab.report.results import Kind, Results
from aelab.report.settings import Compare
from aelab.report.wording import said
from aelab.runner.parallel import run

FIGURES = {
    "overview": overview.overview,
    "reconstructions": pictures.reconstructions,
    "pca": pictures.pca,
    "denoising": pictures.denoising,
    "noise-map": heatmap.noise_map,
    "noise-transfer": heatmap.noise_transfer,
    "quality": quality.quality,
    "capacity": tradeoffs.capacity,
    "cost": tradeoffs.cost,
    "rate": tradeoffs.rate,
    "codes": codes.codes,
    "codes-3d": codes.codes_3d,
    "grids": decoded.grids,
    "chosen": decoded.chosen,
    "samples": pictures.samples,
    "by-class": decoded.by_class,
    "clusters": decoded.clusters,
    "swaps": decoded.swaps,
    "masked": decoded.masked,
    "interpolations": pictures.interpolations,
    "filters": weights.filters,
    "units": weights.units,
    "epochs": pictures.epochs,
    "noisy-epochs": pictures.noisy_epochs,
    "curves": charts.curves,
    "accuracy": charts.accuracy,
    "batches": charts.batches,
    "stack-curves": charts.stack_curves,
    "stacks": charts.stacks,
    "labels": charts.labels,
    "class-errors": heatmap.class_errors,
    "manifolds": toys.manifolds,
    "sheet": toys.sheet,
    "directions": toys.directions,
    "field": toys.field,
    "columns": columns.by_column,
    "confused": columns.confused,
    "anomalies": uses.anomalies,
    "most-anomalous": uses.most_anomalous,
    "neighbours": uses.neighbours,
    "compression": uses.compression,
    "learners": uses.learners,
    "one-class": one_class.one_class,
    "series": series.rebuilt,
    "series-noise": series.denoised,
}
CELLS = {"columns", "confused", "series", "series-noise"}  # figures of tables and series
# figures that show images
PICTURES = {"overview", "reconstructions", "pca", "denoising", "grids", "chosen", "samples", "by-class", "clusters"}
PICTURES |= {"accuracy", "swaps", "masked", "interpolations", "filters", "units", "epochs", "noisy-epochs"}


def draw(results: Results, settings: Compare, folder: Path) -> dict[str, str]:
    """Draw every figure that the results allow as PNG into `folder`, several at once; returns the titles by name."""
    names = [name for name in FIGURES if results.kind == "image" or name not in PICTURES]
    if settings.figures:
        if unknown := [name for name in settings.figures if name not in FIGURES]:
            raise ValueError(f"compare.figures: no figure {unknown[0]!r}; there are: {', '.join(FIGURES)}")
        names = [name for name in names if name in settings.figures]
    folder.mkdir()

    def one(number: int, _: object) -> str | None:
        figure = FIGURES[names[number]](results, settings)
        if figure is None:
            return None
        reword(figure, results.kind)
        save(figure, folder / f"{names[number]}.png", shown(results, settings, names[number]))
        return title(figure)

    return {name: result for name, result in zip(names, run(one, len(names)), strict=True) if result is not None}


def reword(figure: Figure, kind: Kind) -> None:
    """Put all texts of a figure in the words of `kind`."""
    if kind == "image":
        return
    for axes in figure.axes:
        for axis in (axes.xaxis, axes.yaxis):
            labels = axis.get_ticklabels()
            words = [said(label.get_text(), kind) for label in labels]
            if words != [label.get_text() for label in labels]:  # set anew, as they are made again when drawn
                axis.set_ticks(axis.get_majorticklocs(), words, fontsize=labels[0].get_fontsize())
    for text in figure.findobj(Text):
        text.set_text(said(text.get_text(), kind))
