"""Which entries are not the nets of their papers on a data set."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_page import PARAMETERS, Tree
from test_results import made_up

from aelab.config import params
from aelab.report import markdown, table
from aelab.report.changed import SECTIONS, changed
from aelab.report.html.page import page
from aelab.report.results import Item

ROOT = Path(__file__).parents[2]


@pytest.fixture
def parameters(monkeypatch) -> dict:
    """What the project's params.yaml says."""
    monkeypatch.chdir(ROOT)
    return params.written(*SECTIONS)


def items(parameters) -> list[Item]:
    """Every entry, with the settings that params.yaml gives its family here."""
    models, stacks = ([(name, f"{group}.{name}") for name in parameters[group]] for group in ("models", "stacks"))
    unrolled = [(name, f"narrow_stacks.{block['stack']}") for name, block in parameters["unrolled"].items()]
    entries = params.load(*(where for _, where in [*models, *stacks, *unrolled]))
    names = [name for name, _ in [*models, *stacks, *unrolled]]
    return [Item(name, {"config": entry.config}, {}) for name, entry in zip(names, entries, strict=True)]


def test_what_params_yaml_changes_for_one_data_set(parameters):
    found = changed("mnist5k", items(parameters), parameters)
    deep = "widths 500, 250, 125, 30 instead of 1000, 500, 250, 30"
    for name in ("hinton_ae", "hinton_ae_best", "tied_ae", "unrolled_rbm", "unrolled_ae", "unrolled_random"):
        assert found[name] == deep
    assert found["lstm"] == found["lstm_predict"] == "units 64 instead of 128"
    assert found["rbm"] == "units 250 instead of 500"
    assert found["stack_dae"] == "widths 500, 500, 250 instead of 1000, 1000, 500"
    assert not {"ae", "vae", "overcomplete_ae", "stack_conv"} & set(found), "other epochs alone are the same net"
    assert changed("mnist", items(parameters), parameters) == {}


def test_a_setting_that_is_elsewhere_its_default_and_one_that_is_the_same():
    parameters = {"models": {"a": {"k": 1, "on": {"x": {"units": 5, "k": 1, "lr": 2}}}}}
    parameters |= {"stacks": {}, "narrow_stacks": {}, "unrolled": {}}
    assert changed("x", [Item("a", {"config": {"units": 5, "k": 1}}, {})], parameters) == {"a": "units 5"}
    assert changed("y", [Item("a", {"config": {"units": 5, "k": 1}}, {})], parameters) == {}


def test_the_tables_say_so(tmp_path):
    results = replace(made_up(), changed={"two": "widths 2 instead of 4", "stack_ae": "widths 2 instead of 4"})
    text = markdown.markdown(results)
    assert "³: net changed for this data set, see [Cost](#cost)." in text
    assert "| two³ | 2 | 15.50 |" in text
    assert "- two, stack_ae: widths 2 instead of 4" in text
    frame = table.frame(results).set_index("name")
    assert frame.loc["two", "changed"] == "widths 2 instead of 4"
    assert frame.loc["noisy", "changed"] == ""
    rows = {
        cells[0][0].get("data-value"): cells[0][1] for _, cells in Tree(page(results, {}, tmp_path, PARAMETERS)).rows()
    }
    assert "changed net" in rows["two"]
    assert "changed net" not in rows["noisy"]
    assert "³" not in markdown.markdown(made_up())
