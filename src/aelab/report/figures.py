"""All figures, by file name."""

from __future__ import annotations

from pathlib import Path

from aelab.report import charts, heatmap, pictures, quality
from aelab.report.results import Results
from aelab.report.settings import Compare
from aelab.report.style import save

FIGURES = {
    "reconstructions": pictures.reconstructions,
    "denoising": pictures.denoising,
    "noise-map": heatmap.noise_map,
    "quality": quality.quality,
    "codes": charts.codes,
    "samples": pictures.samples,
    "interpolations": pictures.interpolations,
    "filters": pictures.filters,
    "units": pictures.units,
    "epochs": pictures.epochs,
    "curves": charts.curves,
    "stack-curves": charts.stack_curves,
    "stacks": charts.stacks,
}


def draw(results: Results, settings: Compare, folder: Path) -> None:
    """Draw every figure that the results allow into `folder`, as PNG."""
    folder.mkdir()
    for name, make in FIGURES.items():
        figure = make(results, settings)
        if figure is not None:
            save(figure, folder / f"{name}.png")
