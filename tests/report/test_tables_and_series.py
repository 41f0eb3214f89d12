"""Reports of tables and series: their words, errors by column, figures."""

import numpy as np
import pytest
import torch
from matplotlib.text import Text
from test_results import RAW, model, row

from aelab.data.columns import Column
from aelab.data.corruption import corrupt
from aelab.data.layout import Layout
from aelab.evaluation.cells import CellMeasures
from aelab.report import columns, markdown, wording
from aelab.report.figures import catalogue
from aelab.report.figures.style import save
from aelab.report.results import Results
from aelab.report.settings import Compare

LINE = ((0.0, 0.0), (1.0, 1.0))
TABLE = (Column("age", knots=LINE), Column("town", ("Milano", "Roma")), Column("income", knots=LINE))
SERIES = (Column("first", knots=LINE), Column("second", knots=LINE))
NOISES = ("masking-0.3", "swap-0.15")
ROWS = torch.arange(4)


def rows(n: int = 80) -> torch.Tensor:
    draw = torch.Generator().manual_seed(0)
    x = torch.zeros(n, 5)
    x[:, 0] = torch.randn(n, generator=draw)
    x[torch.arange(n), 1 + (x[:, 0] > 0).long()] = 1
    x[:, 4] = x[:, 0] + 0.1 * torch.randn(n, generator=draw)
    return x


def waves(n: int = 80) -> torch.Tensor:
    return torch.sin(torch.arange(30)[None, :, None] * 0.3 + torch.linspace(0, 6, n)[:, None, None] + torch.arange(2))


def results(kind: str) -> Results:
    """Two models that rebuild with small and with large errors; baselines with the largest."""
    described, x = (TABLE, rows()) if kind == "table" else (SERIES, waves())
    measures = CellMeasures(Layout.of(described))
    noises = NOISES if kind == "table" else ("span-0.2", "gaussian-0.3")
    draw = torch.Generator().manual_seed(1)
    noisy = {n: corrupt(x, n.partition("-")[0], float(n.partition("-")[2]), draw, measures.layout) for n in noises}

    def arrays(name: str, error: float) -> dict[str, np.ndarray]:
        made = {name: (None, x + error * torch.randn(x.shape, generator=draw))} if name == "reconstructions" else {}
        made |= {f"{name}/{n}": (given, x + error * torch.randn(x.shape, generator=draw)) for n, given in noisy.items()}
        return {
            key: part
            for k, (given, x_hat) in made.items()
            for key, part in measures.arrays(k, x, given, x_hat, ROWS).items()
        }

    items = {}
    for name, error in (("good", 0.1), ("bad", 0.5)):
        kept = arrays("reconstructions", error)
        kept = {key: value for key, value in kept.items() if f"/{noises[0]}" not in key and f"/{noises[1]}" not in key}
        kept |= arrays("denoised", error)
        changed = {f"psnr/{n}": [10 - 10 * error] for n in noises}
        changed |= {f"restored_mse/{n}": [error] for n in noises} | {"category_error": [error]}
        if kind == "series":
            kept |= {"predicted": x[ROWS, 1:].numpy(), "band/predicted": np.full((29, 2), error)}
            changed |= {"next_step_mse": [error]}
        items[name] = model(name, "dense", 2, [error], arrays=kept, noise=[noises[0].replace("-", " ")], **changed)
        for gone in ("interpolation", "random_codes", "fitted_codes", "preview"):
            items[name].arrays.pop(gone, None)
    fillers = ("mean", "neighbours") if kind == "table" else ("interpolation", "median")
    denoising = {n: {who: {"psnr": 1.0, "restored_mse": 1.0} for who in ("noisy", "pca", *fillers)} for n in noises}
    pictures = measures.arrays("clean", x, None, x, ROWS) | {"labels": np.arange(4) % 2}
    for who in ("noisy", "pca", *fillers):
        pictures |= arrays(who, 1.0)
    pictures |= {"pca_codes": x.flatten(1)[:, :2].numpy(), "pca_labels": np.arange(80) % 2}
    baselines = {
        "test_images": 80,
        "denoising": denoising,
        "probes": {"raw pixels": RAW},
        "sizes": {"latent_dim": 2, "labels": 10, "few_shot_repeats": 3, "num_samples": 50},
        "feature_classifier_accuracy": None,
        "generation": {},
        "pca_sse": [3.0 - k / 2 for k in range(6)],
        "pca_validation_sse": [3.0 - k / 2 for k in range(6)],
        "pca_ood_sse": [3.0 - k / 2 for k in range(6)],
    }
    if kind == "series":
        baselines["next_step"] = {"last value": 0.3, "ridge AR(8)": 0.2}
    data = {
        "name": "made_up",
        "title": "Made-up rows",
        "shape": list(x.shape[1:]),
        "ood": "shuffled rows",
        "classes": ["no", "yes"],
        "columns": [{"name": one.name, "categories": list(one.categories)} for one in described],
    }
    return Results(data, items, baselines, pictures)


def test_the_best_filler_is_chosen_on_validation_and_told_column_by_column():
    found = columns.columns(results("table"))
    assert [one.name for one in found] == ["age", "town", "income"]
    assert [list(one.errors) for one in found] == [["mean or most frequent value", "nearest rows", "good"]] * 3
    assert all(one.errors["good"] < one.errors["nearest rows"] for one in found)
    text = "\n".join(columns.section(results("table")))
    assert "| town | 2 categories |" in text
    assert "masking 0.3 hides" in text


def test_images_have_no_columns():
    from test_results import made_up

    assert columns.columns(made_up()) == []


@pytest.mark.parametrize(
    ("kind", "names"), [("table", {"columns", "confused"}), ("series", {"series", "series-noise"})]
)
def test_figures_of_their_kind_are_drawn_in_their_words(kind, names, tmp_path):
    found, drawn = results(kind), {}
    for name in set(catalogue.FIGURES) - catalogue.PICTURES:
        if figure := catalogue.FIGURES[name](found, Compare()):
            catalogue.reword(figure, found.kind)
            save(figure, tmp_path / f"{name}.png")
            drawn[name] = figure
    assert names | {"noise-map", "quality"} <= set(drawn)
    words = [text.get_text() for figure in drawn.values() for text in figure.findobj(Text)]
    assert "image" not in " ".join(words)
    for name in names:
        figure = drawn[name]
        axes = [one for one in figure.axes if one.axison]
        assert figure.get_suptitle()
        assert figure.get_supylabel() or all(one.get_ylabel() for one in axes)
        assert any(one.get_xlabel() for one in axes)


def test_missing_steps_are_not_drawn_and_flags_are_no_features():
    found = results("series")
    found.data["columns"] = [{"name": "only", "categories": [], "flag": True}]
    for arrays in (found.pictures, *(item.arrays for item in found.items.values())):
        for name, array in arrays.items():
            if array.ndim == 3:
                arrays[name] = array.copy()
                arrays[name][:, :, 1] = 1
                arrays[name][:, 20:] = 0
    figures = [catalogue.FIGURES[name](found, Compare()) for name in ("series", "series-noise")]
    for figure in figures:
        assert figure
        for axes in (one for one in figure.axes if one.axison):
            clean, *others = (np.asarray(line.get_ydata()) for line in axes.lines)
            assert others
            assert len(np.unique(clean[:20])) > 5, "values, not flags"
            assert np.isnan(clean[20:]).all()
            assert all(np.isnan(made[-10:]).all() for made in others)


@pytest.mark.parametrize("kind", ["table", "series"])
def test_the_tables_are_in_their_words(kind):
    text = markdown.markdown(results(kind))
    assert "image" not in text
    assert "pixel" not in text
    assert ("test rows" if kind == "table" else "test series") in text
    assert "### Cells that the noise changed" in text
    if kind == "series":
        assert "| *ridge AR(8)* | 0.2000 |" in text


def test_a_page_is_reworded_outside_its_markup():
    html = '<img alt="Images of vae" class="image"><script>let image = 1</script><p>test images, psnr/x, psnr</p>'
    assert wording.page(html, "table") == (
        '<img alt="Rows of vae" class="image"><script>let image = 1</script><p>test rows, psnr/x, snr</p>'
    )
    assert wording.page(html, "image") == html
    assert row(1, 2.0)["step"] == 1
