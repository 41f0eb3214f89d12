"""The CSV files, the headlines and the Markdown tables."""

import io
import json
import math

import pandas as pd
import pytest
from test_results import made_up

from aelab.report import markdown, table
from aelab.report.results import Results


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
    assert (last.epoch, last.seeds, last.term, last.train) == (4, 1, "error", 0.125)
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
        "| two | 1,234,567 | 2,000,000 | 8 | 3 | 2 |",
    ]
    assert lines(results, "| noisy ")[0] == "| noisy | 64 | 0.00 | 5.00 | n/a | 20.00 | 0.500 |", "alone of its size"


def test_baselines_are_among_the_rows(results):
    assert lines(results, "| *non-local-means filter* ") == ["| *non-local-means filter* | 14.00 | 14.00 |"]
    assert lines(results, "| *raw pixels* ") == ["| *raw pixels* |  | 90.0 | 90.0 |  |  |  |"]
    assert lines(results, "| *pca* ")[0].startswith("| *pca* | 4 | 15.00 | 10.00 |")


def test_a_stack_is_held_against_the_control_with_every_budget(results):
    few, every = lines(results, "| stack_ae ")[:2]
    # t = 1.974 with 170.7 degrees of freedom; 1.974 sqrt(0.1 * 0.9 / 99 + 0.3 * 0.7 / 99) = 0.1087
    against = "stack_random | -20.00 (-30.87 to -9.13) | 170.7 | better |"
    assert every == f"| stack_ae | **10.00 ± 0.00** | 5.52 to 17.44 | {against}"
    # t = 1.973 with 190.4 degrees of freedom; 1.973 sqrt(0.2 * 0.8 / 99 + 0.6 * 0.4 / 99) = 0.1254
    against = "stack_random | -40.00 (-52.54 to -27.46) | 190.4 | better |"
    assert few == f"| stack_ae | **20.00 ± 0.00** | 13.34 to 28.88 | {against}"
    assert lines(results, "### 10 labels") == ["### 10 labels"]
    assert lines(results, "### 80 labels") == ["### 80 labels (all)"]
    assert lines(results, "| stack_random¹ ")[1].endswith("| 21.89 to 39.58 | stack_random | n/a | n/a | the control |")
    results.items["stack_ae"].metrics["test_error/all"][:] = [0.28, 0.28]
    assert lines(results, "| stack_ae¹ ")[1].endswith("| 197.9 | not decided |")


def test_three_seeds_of_a_stack_that_differ_leave_few_degrees_of_freedom(results):
    # of so many images the seeds' spread alone counts: t = 2.78; with 1.96 the margin was 1.60 points: better
    results.baselines["test_images"] = 10**9
    results.items["stack_ae"].metrics["test_error/all"] = [0.07, 0.08, 0.09]
    results.items["stack_random"].metrics["test_error/all"] = [0.09, 0.10, 0.11]
    assert "| -2.00 (-4.27 to +0.27) | 4.0 | not decided |" in lines(results, "| stack_ae ")[1]


def test_a_stack_with_one_seed_is_not_decided(results):
    results.items["stack_ae"].metrics["test_error/all"] = [0.01]
    assert "| -29.00 | n/a | not decided |" in lines(results, "| stack_ae ")[1]


def test_without_a_control_there_is_no_verdict(results):
    del results.items["stack_random"]
    assert lines(results, "| stack_ae ")[0].endswith("| n/a | n/a | n/a | n/a |")
