"""Few numbers by which states of the pipeline are compared: selected on validation images, measured on test images."""

from dataclasses import replace

import pytest
from test_results import made_up, model

from aelab.report.headlines import headlines
from aelab.tracking.recorder import NAME


@pytest.fixture
def results():
    made = made_up()
    made.baselines["probes"] |= {"PCA 4": {"probe_accuracy": 0.6}}
    return made


def test_few_numbers_whose_names_mlflow_takes(results):
    found = headlines(results)
    assert 0 < len(found) < 15
    assert all(NAME.fullmatch(name) for name in found)


def test_a_size_of_code_counts_those_that_are_not_larger(results):
    results = replace(results, items={})
    for name, numbers, sse in (("tiny", 3, 40.0), ("small", 4, 30.0), ("large", 5, 10.0)):
        results.items[name] = model(name, "dense", numbers, [sse, sse])
    found = headlines(results)
    assert found["best/up-to-4 sse"] == 30.0
    assert [value for name, value in found.items() if name.endswith("sse")] == [30.0, 10.0, 10.0]


def test_chosen_on_validation_reported_on_test(results):
    results = replace(results, items={})
    for name, validation in (("lucky", 20.0), ("sound", 10.0)):
        results.items[name] = model(name, "dense", 3, [5.0, 7.0] if name == "lucky" else [15.0, 17.0])
        results.items[name].about["validation"]["sse"] = [validation, validation]
    assert headlines(results)["best/up-to-4 sse"] == 16.0
