"""Figures find their models by what these can show; the reader's lists come first, and no figure draws too many."""

from dataclasses import replace

import pytest
from test_results import SETTINGS, made_up, model

from aelab.cli import commands
from aelab.config import params
from aelab.config.validation import ParamsError, check
from aelab.report.figures import catalogue, style
from aelab.report.figures.selection import HOLDS, select, shown
from aelab.report.settings import LIMITS, Compare

NOBODY = Compare()


@pytest.fixture
def results():
    return made_up()


def names(items) -> list[str]:
    return [item.name for item in items]


def with_new(results, *items):
    return replace(results, items=results.items | {item.name: item for item in items})


@pytest.mark.parametrize("figure", HOLDS)
def test_a_new_model_is_in_every_figure_that_can_show_it_and_named_in_none(results, figure):
    """A twin, of a family of its own, of whichever model is in the figure."""
    (old, *_) = select(results, NOBODY, figure)
    new = replace(old, name="new", about=old.about | {"family": "of its own"})
    if figure == "plain":
        results = replace(results, items={})
    assert "new" in names(select(with_new(results, new), NOBODY, figure))


def test_what_a_reader_names_is_drawn_in_that_order_and_nothing_else(results):
    assert names(select(results, Compare(filters=("noisy", "no such model", "vae", "two")), "filters")) == [
        "noisy",
        "two",
    ]
    assert names(select(results, NOBODY, "filters")) == ["two", "noisy"]


def test_too_many_are_cut_to_the_first_of_every_family_and_then_the_others(results):
    limit = LIMITS["filters"]
    arrays = {"filters": results.items["two"].arrays["filters"]}
    many = [model(f"dense_{i}", "dense", 2, [1.0], arrays=arrays, config={"widths": [i]}) for i in range(3, 3 + limit)]
    other = model("other", "sparse", 2, [1.0], arrays=arrays, config={"widths": [1]})
    found = names(select(with_new(results, *many, other), NOBODY, "filters"))
    assert found == ["two", "noisy", *(f"dense_{i}" for i in range(3, limit)), "other"]


def test_baselines_and_models_that_met_no_noise_are_drawn_only_where_they_are_named(results):
    assert names(select(results, NOBODY, "denoising")) == ["noisy"]
    assert "pca" not in names(select(results, NOBODY, "interpolations"))
    assert names(select(results, Compare(interpolations=("pca", "two")), "interpolations")) == ["pca", "two"]


def test_filters_set_the_same_net_without_and_with_noise_side_by_side_and_units_with_and_without_a_penalty(results):
    arrays = {"filters": results.items["two"].arrays["filters"]}
    nets = {
        "clean": {"config": {"widths": [5]}},
        "masked": {"config": {"widths": [5]}, "noise": ["masking 0.5"]},
        "wider": {"config": {"widths": [6]}},
        "free": {"config": {"widths": [7], "weight": 0}},
        "sparse": {"config": {"widths": [7], "weight": 5}},
    }
    more = with_new(results, *(model(name, "sparse", 2, [1.0], arrays=arrays, **net) for name, net in nets.items()))
    assert names(select(more, NOBODY, "filters")) == ["clean", "masked"]
    assert names(select(more, NOBODY, "units")) == ["free", "sparse"]


def test_the_lists_of_params_yaml_may_be_left_out_and_end_somewhere():
    assert check(Compare, {}, "compare") == check(Compare, {"filters": None, "plain": None}, "compare") == NOBODY
    with pytest.raises(ParamsError, match=r"compare\.filters: 7 names; allowed: up to 6"):
        check(Compare, {"filters": list("abcdefg")}, "compare")
    with pytest.raises(ParamsError, match=r"compare\.codes: unknown key"):
        check(Compare, {"codes": ["ae_2d"]}, "compare")
    assert params.load("compare") is not None


def test_a_figure_says_in_its_file_whom_it_shows_and_aelab_show_finds_it(results, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "metrics/figures"
    folder.mkdir(parents=True)
    for name in ("codes", "samples", "quality"):
        style.save(catalogue.FIGURES[name](results, SETTINGS), folder / f"{name}.png", shown(results, SETTINGS, name))
    found = {name: {path.stem for path in commands.pictures(name, "autoencoder")} for name in ("two", "vae", "tw")}
    everywhere = set(commands.EVERY_MODEL)
    assert found == {"two": everywhere | {"codes", "samples"}, "vae": everywhere | {"samples"}, "tw": everywhere}
