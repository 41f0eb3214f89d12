"""All figures, by file name."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from aelab.report import charts, pictures
from aelab.report.results import Results
from aelab.report.settings import Compare
from aelab.report.style import save

FIGURES = {
    "reconstructions": pictures.reconstructions,
    "epochs": pictures.epochs,
    "interpolations": pictures.interpolations,
    "samples": pictures.samples,
    "filters": pictures.filters,
    "units": pictures.units,
    "curves": charts.curves,
    "stack-curves": charts.stack_curves,
    "codes": charts.codes,
    "quality": charts.quality,
    "noise-map": charts.noise_map,
    "filters-by-noise": charts.filters_bars,
    "stacks": charts.stacks,
}


def draw(results: Results, settings: Compare, folder: Path) -> None:
    """Draw every figure that the results allow into `folder`, as PNG."""
    folder.mkdir()
    makers = FIGURES | {f"denoising-{noise}": partial(pictures.denoising, noise) for noise in results.noises}
    for name, make in makers.items():
        figure = make(results, settings)
        if figure is not None:
            save(figure, folder / f"{name}.png")
