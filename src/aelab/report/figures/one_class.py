"""The figure of models that have learned some classes only."""

from __future__ import annotations

from matplotlib.figure import Figure

from aelab.report.figures.style import COLOURS, MARKERS, chart
from aelab.report.formatting import SCORES
from aelab.report.one_class import groups
from aelab.report.results import Results
from aelab.report.settings import Compare


def one_class(results: Results, settings: Compare) -> Figure | None:
    """AUROC by class, a column of panels per net, a marker per score."""
    found = groups(results)
    if not found:
        return None
    title = "Which classes are told from the others by a net that has learned one, or all but one"
    tall = 0.7 + 0.26 * max(len(group.items) for group in found)
    columns = min(3, len(found))
    rows = -(-len(found) // columns)
    figure, axes = chart(rows, columns, size=(3.1 * columns, tall * rows + 0.9), title=title)
    scores = [name for name in SCORES if any(name in group.scores for group in found)]
    values = [item.mean(f"auroc/{name}") for group in found for item in group.items.values() for name in group.scores]
    low = min([0.5, *values])
    for place, group in zip(axes.flat, found, strict=False):
        for number, score in enumerate(scores):
            if score in group.scores:
                values = [item.mean(f"auroc/{score}") for item in group.items.values()]
                place.plot(
                    values,
                    range(len(values)),
                    MARKERS[number],
                    color=COLOURS[number],
                    ms=5,
                    alpha=0.8,
                    label=SCORES[score],
                )
        place.set_xlim(low - 0.02, 1.01)
        place.axvline(0.5, color="#BBBBBB", lw=1, ls=":")
        place.set_yticks(range(len(group.items)), list(group.items), fontsize=8)
        place.invert_yaxis()
        place.set_title(f"{group.name}: {'one class is normal' if group.alone else 'one class is the anomaly'}")
        place.set(xlabel="AUROC; 0.5 is chance", ylabel="the class")
    for place in list(axes.flat)[len(found) :]:
        place.axis("off")
    handles = {
        label: handle for place in axes.flat for handle, label in zip(*place.get_legend_handles_labels(), strict=True)
    }
    figure.legend(handles.values(), handles, loc="outside lower center", ncols=3, fontsize=8)
    return figure
