"""The CSV files, the headlines and the Markdown tables."""

import io
import json
import math

import pandas as pd
import pytest
from test_results import first_wrong, made_up

from aelab.report import markdown, table
from aelab.report.results import Results
from aelab.report.statistics import paired


@pytest.fixture
def results() -> Results:
    return made_up()


def lines(results, start: str) -> list[str]:
    return [line for line in markdown.markdown(results).splitlines() if line.startswith(start)]


def test_the_frame_has_a_row_per_item(results):
    frame = pd.read_csv(io.StringIO(table.csv(table.frame(results))), index_col="name")
    assert list(frame.index) == list(results.items)
    assert frame.loc["two", "sse"] == 9
    assert frame.loc["two", "sse_std"] == pytest.approx(math.sqrt(2), rel=1e-5)
    assert math.isnan(frame.loc["vae", "sse_std"])
    assert frame.loc["two", "parameters"] == 1234567, "counts are not rounded"
    assert frame.loc["vae", "warnings"] == "sse 20.00, PCA of dimension 3 has 15.25, the mean image 16.00"
    assert math.isnan(frame.loc["stack_ae", "sse"])


def test_curves_are_means_over_the_seeds_still_learning(results):
    frame = table.curves(results)
    two = frame[frame.name == "two"]
    assert two.validation.tolist() == [10.0, 6.0, 7.0]
    assert two.seeds.tolist() == [2, 2, 2]
    last = frame[frame.name == "stack_ae"].iloc[-1]
    assert (last.step, last.seeds, last.term, last.train) == (4, 1, "error", 0.125)
    assert math.isnan(last.validation_std)
    assert "pca" not in set(frame.name)


def test_headlines_are_small_and_hold_no_nan(results):
    summary = table.summary(results)
    assert summary["two"] == {"sse": 9.0, "psnr": 20.0, "probe_accuracy": 0.95}
    assert summary["vae"]["negative_elbo"] == 95.0
    assert summary["stack_ae"] == {"test_error/10": 0.2, "test_error/all": 0.1}
    json.dumps(summary, allow_nan=False)


def test_errors_are_ranked_among_codes_of_like_size(results):
    assert lines(results, "| two ") == [
        "| two | 2 | 15.50 | **9.00 ± 1.41** | n/a | **20.00 ± 0.00** | **0.500 ± 0.000** |",
        "| two | **15.00 ± 0.00** | **15.00 ± 0.00** |",
        "| two | 2 | **95.0 ± 0.0** | **90.0 ± 0.0** | n/a | 1.00 ± 0.00 | 0.0 ± 0.0 |",
        "| two | 1,234,567 | 2,000,000 | 8 | 3 | 2 | yes |",
    ]
    assert lines(results, "| noisy ")[0] == "| noisy | 64 | 0.00 | 5.00 | n/a | 20.00 | 0.500 |", "alone of its size"


def test_baselines_are_among_the_rows(results):
    assert lines(results, "| *non-local-means filter* ") == ["| *non-local-means filter* | 14.00 | 14.00 |"]
    assert lines(results, "| *raw pixels* ") == ["| *raw pixels* |  | 90.0 | 90.0 |  |  |  |"]
    assert lines(results, "| *pca* ")[0].startswith("| *pca* | 4 | 15.00 | 10.00 |")


def test_a_stack_is_held_against_the_control_with_every_budget(results):
    few, every = lines(results, "| stack_ae ")[:2]
    # 20 of 100 images: t = 1.984 with 99 degrees of freedom; 1.984 sqrt(0.2 * 0.8 / 99) = 0.0798
    against = "stack_random | -20.00 (-27.98 to -12.02) | 99.0 | better |"
    assert every == f"| stack_ae | **10.00 ± 0.00** | 5.52 to 17.44 | {against}"
    # 40 of them: 1.984 sqrt(0.4 * 0.6 / 99) = 0.0977
    against = "stack_random | -40.00 (-49.77 to -30.23) | 99.0 | better |"
    assert few == f"| stack_ae | **20.00 ± 0.00** | 13.34 to 28.88 | {against}"
    assert lines(results, "### 10 labels") == ["### 10 labels"]
    assert lines(results, "### 80 labels") == ["### 80 labels (all)"]
    assert lines(results, "| stack_random¹ ")[1].endswith("| 21.89 to 39.58 | stack_random | n/a | n/a | the control |")
    results.items["stack_ae"].metrics["test_error/all"][:] = [0.28, 0.28]
    results.items["stack_ae"].per_image["test_error/all"] = first_wrong([0.28, 0.28])
    assert lines(results, "| stack_ae¹ ")[1].endswith("| -2.00 (-4.79 to +0.79) | 99.0 | not decided |")


def test_support_vector_machines_stand_beside_the_stacks(results):
    assert "SVM" not in markdown.markdown(results)
    found = {"test_error": 0.12, "validation_error": 0.1, "chosen": "gamma 0.1, C 3", "tried": {"a": 0.1, "b": 0.2}}
    results.baselines["svm"] = {"rbf": found | {"rows": 1200, "support_vectors": 1034}}
    assert table.summary(results)["svm_rbf"] == {"test_error/all": 0.12}
    text = markdown.markdown(results)
    row = "| *SVM, rbf kernel* | 12.00 | 7.00 to 19.81 | n/a | n/a | n/a | n/a |"
    assert text.count(row) == 1, "only with all labels"
    assert "SVM, rbf kernel: gamma 0.1, C 3, of 2 tried, with an error of 10.00% on validation images" in text
    assert "fitted anew to training and validation images, 1,200, of which it keeps 1,034." in text


def test_three_seeds_of_a_stack_that_differ_leave_few_degrees_of_freedom(results):
    # differences of -1, -5 and -9 points: the seeds' t of 2 degrees of freedom is 4.30 sqrt(0.0016 / 3) = 0.0994
    for name, shares in (("stack_ae", [0.29, 0.25, 0.21]), ("stack_random", [0.30, 0.30, 0.30])):
        results.items[name].per_image["test_error/all"] = first_wrong(shares)
    difference = paired(*(results.items[name].per_image["test_error/all"] for name in ("stack_ae", "stack_random")))
    assert difference.value == pytest.approx(-0.05)
    assert 2 < difference.df < 6
    assert difference.margin > 0.06
    assert "| not decided |" in lines(results, "| stack_ae ")[1]


def test_a_stack_with_one_seed_is_not_decided(results):
    results.items["stack_ae"].metrics["test_error/all"] = [0.01]
    results.items["stack_ae"].per_image["test_error/all"] = first_wrong([0.01])
    assert "| -29.00 | n/a | not decided |" in lines(results, "| stack_ae ")[1]


def test_without_a_control_there_is_no_verdict(results):
    del results.items["stack_random"]
    assert lines(results, "| stack_ae ")[0].endswith("| n/a | n/a | n/a | n/a |")
