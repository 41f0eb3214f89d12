"""Which entries are not the nets of their papers on a data set."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_page import PARAMETERS, Tree
from test_results import made_up

from aelab.core import params
from aelab.report import markdown, table
from aelab.report.changed import changed
from aelab.report.page import page

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def test_what_params_yaml_changes_for_one_data_set():
    groups = params.load("models", "unrolled", "stacks")
    found = changed("mnist5k", *groups)
    deep = "widths 500, 250, 125, 30 instead of 1000, 500, 250, 30"
    assert {name: found[name] for name in ("hinton_ae", "hinton_ae_best", "tied_ae", "unrolled_rbm")} == dict.fromkeys(
        ("hinton_ae", "hinton_ae_best", "tied_ae", "unrolled_rbm"), deep
    )
    assert found["lstm"] == "units 64 instead of 128"
    assert found["rbm"] == "units 250 instead of 500"
    assert found["stack_dae"] == "widths 500, 500, 250 instead of 1000, 1000, 500"
    assert not {"ae", "vae", "overcomplete_ae", "stack_conv"} & set(found), "other epochs alone are the same net"
    assert changed("mnist", *groups) == {}
    assert changed("mnist5k", ["ae"], [], []) == {}


def test_the_tables_say_so(tmp_path):
    results = replace(made_up(), changed={"two": "widths 2 instead of 4", "stack_ae": "widths 2 instead of 4"})
    text = markdown.markdown(results)
    assert "³: a net changed for this data set, see [Cost](#cost)." in text
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
