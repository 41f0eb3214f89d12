"""Verdicts on made-up numbers, and the further sections of the comparison."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ruamel.yaml import YAML
from test_results import RAW, made_up, model, stack

from aelab.cli import use
from aelab.report import claims, markdown, verdicts
from aelab.report.claims import CLAIMS, Claim, Pair
from aelab.report.figures import catalogue
from aelab.report.metric_specs import spec


@pytest.fixture
def results():
    made = made_up()
    made.items.clear()
    return made


def row(results, *tests) -> str:
    """The row of one claim with these tests; "" if none applies."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(verdicts, "CLAIMS", (Claim("a beats b", "someone", "curves", tests),))
        parts = verdicts.section(results)
    return parts[-1].splitlines()[-1] if parts else ""


@pytest.mark.parametrize(
    ("first", "second", "verdict"),
    [
        ([9.0, 10.0, 11.0], [19.0, 20.0, 21.0], "holds"),
        ([19.0, 20.0, 21.0], [9.0, 10.0, 11.0], "does not hold"),
        # standard errors of 1 / sqrt(3) each: the margin is 2.78 sqrt(2 / 3) = 2.27
        ([9.0, 10.0, 11.0], [11.2, 12.2, 13.2], "not decided"),
        ([9.0, 10.0, 11.0], [11.3, 12.3, 13.3], "holds"),
        # one side without spread leaves 2 degrees of freedom: the margin is 4.30 / sqrt(3) = 2.48, not 2.78 / sqrt(3)
        ([10.0, 10.01, 10.02], [11.0, 12.0, 13.0], "not decided"),
        ([9.0], [19.0, 20.0, 21.0], "not decided"),
        ([9.0], [19.0], "not decided"),
    ],
)
def test_verdicts(results, first, second, verdict):
    results.items.update({"a": model("a", "dense", 2, first), "b": model("b", "dense", 2, second)})
    text = row(results, Pair("sse", "a", "b"))
    assert f"| **{verdict}** |" in text
    assert (" (one seed of a" in text) == (len(first) == 1)


def test_a_verdict_shows_the_difference_its_interval_and_degrees_of_freedom(results):
    results.items.update(
        {"a": model("a", "dense", 2, [9.0, 10.0, 11.0]), "b": model("b", "dense", 2, [19.0, 20.0, 21.0])}
    )
    found = "✓ a 10.00 ± 0.58 against b 20.00 ± 0.58, squared error per image ↓: -10.00 (-12.27 to -7.73), df 4.0"
    assert row(results, Pair("sse", "a", "b")) == f"| a beats b | someone | **holds** | {found} |"


def test_against_a_baseline_there_is_one_set_of_seeds(results):
    # t = 4.30 with 2 degrees of freedom: the margin is 4.30 / sqrt(3) = 2.48; PCA has 15.5
    for mean, verdict in ((13.0, "**holds**"), (13.05, "**not decided**")):
        results.items["a"] = model("a", "dense", 2, [mean - 1, mean, mean + 1])
        text = row(results, Pair("sse", "a", claims.PCA))
        assert verdict in text
        assert text.endswith(", df 2.0 |")


@pytest.mark.parametrize(
    ("first", "verdict"),
    [([9.9, 10.0, 10.1], "holds"), ([12.9, 13.0, 13.1], "does not hold"), ([9, 10, 11], "not decided")],
)
def test_two_are_alike_if_the_interval_lies_within_a_share(results, first, verdict):
    results.items.update({"a": model("a", "dense", 2, first), "b": model("b", "closed_form", 2, [10.0])})
    assert f"**{verdict}**" in row(results, Pair("sse", "a", "b", within=0.05))


def test_a_claim_holds_if_all_its_comparisons_do_and_one_against_it_refutes_it(results):
    for name, sse in (("a", 10.0), ("b", 20.0), ("c", 5.0), ("d", 10.0)):
        results.items[name] = model(name, "dense", 2, [sse, sse + 0.1])
    holds, fails, open_ = (Pair("sse", "a", other) for other in "bcd")
    assert "**holds**, 2 of 2" in row(results, holds, holds)
    assert "**not decided**, 1 of 2" in row(results, holds, open_)
    assert "**does not hold**, 1 of 3" in row(results, holds, open_, fails)
    assert "**holds** |" in row(results, holds, Pair("sse", "a", "absent")), "entries that do not exist are left out"
    assert row(results, Pair("sse", "a", "absent")) == ""


def test_every_claim_is_about_a_metric_that_has_a_better_side():
    tests = [test for claim in CLAIMS for test in claim.tests if isinstance(test, Pair)]
    assert all(spec(test.metric).direction in ("higher", "lower") or test.higher for test in tests)
    assert len({claim.words for claim in CLAIMS}) == len(CLAIMS)


def sides(test):
    return (test.first, test.second) if isinstance(test, Pair) else (test.entry,)


def test_every_claim_names_figures_and_entries_that_exist():
    tree = YAML(typ="safe").load(Path("params.yaml").read_text())
    entries = {name for group in ("models", "unrolled", "stacks") for name in tree[group]}
    entries |= {name.partition(":")[0] for text in (use.IMAGE, use.TABLE, use.SERIES) for name in text.split("\n")}
    entries |= {claims.FILTERS, claims.PCA, claims.RAW, claims.DETECTOR, claims.CODEC}
    for claim in CLAIMS:
        assert claim.figure in catalogue.FIGURES
        assert {name for test in claim.tests for name in sides(test)} <= entries


def test_more_is_better_where_it_is(results):
    for name, values in (("a", [0.9, 0.9]), ("b", [0.8, 0.8])):
        results.items[name] = model(name, "dense", 2, [1.0, 1.0], probe_accuracy=values)
    text = row(results, Pair("probe_accuracy", "a", "b"))
    assert text.endswith("✓ a 90.0 against b 80.0, linear probe, % ↑: +10.0 (+10.0 to +10.0) |")
    ratios = {"a": [1.1, 1.2], "b": [3.0, 3.1]}
    for name, values in ratios.items():
        results.items[name] = model(name, "dense", 2, [1.0, 1.0], ood_ratio=values)
    assert "**does not hold**" in row(results, Pair("ood_ratio", "a", "b", higher=True))


def test_the_second_may_have_another_metric(results):
    results.items["a"] = model("a", "dense", 2, [1.0, 1.0], frechet_distance=[0.2, 0.2])
    results.items["b"] = model(
        "b", "dense", 2, [1.0, 1.0], frechet_distance=[0.1, 0.1], fitted_frechet_distance=[0.3, 0.3]
    )
    assert "**holds**" in row(results, Pair("frechet_distance", "a", "b", second_metric="fitted_frechet_distance"))


def test_baselines_have_no_spread(results):
    results.items["a"] = model("a", "dense", 2, [15.0, 15.0])
    text = row(results, Pair("sse", "a", claims.PCA))
    assert text.endswith("✓ a 15.00 against PCA 15.50, squared error per image ↓: -0.50 (-0.50 to -0.50) |")
    results.items["pca"] = model("pca", "closed_form", 2, [20.0])
    assert "against pca 20.00, squared error per image ↓: -5.00 " in row(results, Pair("sse", "a", "pca"))


def test_a_denoiser_is_held_against_the_best_filter_of_every_noise(results):
    results.items["a"] = model("a", "dense", 2, [1.0, 1.0], **{"psnr/masking-0.25": [13.0, 13.0]})
    text = row(results, Pair(claims.ALL_NOISES, "a", claims.FILTERS))
    assert "a 14.00 against the best filters 14.00, psnr, all noises, dB ↑: +0.00 " in text
    assert "**not decided**" in text
    assert row(results, Pair(claims.EACH_NOISE, "a", claims.FILTERS)).count("against the best filters") == 2


def test_a_net_that_removes_noise_better_late_than_early(results):
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 256, (10, 8, 8), np.uint8)

    def off(by):
        by = np.resize(by, (10, 1, 1))
        return (clean.astype(int) + rng.integers(-by, by + 1, clean.shape)).clip(0, 255).astype(np.uint8)

    previews = {"preview/input": clean, "preview/noisy-step-00050": off(3), "preview/noisy-step-00900": off(20)}
    for name, by, verdict in (("a", 10, "holds"), ("b", 60, "does not hold"), ("c", [10, 40], "not decided")):
        arrays = previews | {"preview/noisy-step-04000": off(by)}
        results.items[name] = model(name, "dense", 2, [1.0, 1.0], arrays=arrays)
        text = row(results, claims.Longer(name))
        assert f"| **{verdict}** |" in text
        assert "after 900 steps" in text
        assert "df 9.0 (10 validation images, first seed)" in text
    results.items["a"].arrays.pop("preview/noisy-step-00900")
    assert row(results, claims.Longer("a")) == "", "50 steps are too early to compare with"


def test_errors_are_paired_by_seed_and_test_image(results):
    wrong = np.zeros((2, 100))
    wrong[:, :20] = 1
    better = wrong.copy()
    better[:, :6] = 0
    for name, found in (("a", better), ("b", wrong)):
        made = stack(name, "x", found.mean(1).tolist())
        results.items[name] = replace(made, per_image={"test_error/all": found})
    text = row(results, Pair("test_error/all", "a", "b"))
    # 6 of 100 images: a standard deviation of 0.2387 and 99 degrees of freedom; seeds do not differ
    assert "-6.00 (-10.74 to -1.26), df 99.0" in text
    assert "**holds**" in text


NEW = {metric: [value] for metric, value in RAW.items()}
NEW |= {
    "psnr_foreground": [10.0],
    "psnr_background": [20.0],
    "keras_accuracy": [0.81],
    "ood_sse": [7.0],
    "ood_ratio": [1.4],
}
NEW |= {"frechet_distance": [0.2], "precision": [0.5], "recall": [0.25], "hidden_units": [8], "dead_hidden": [1.0]}


def lines(results, heading: str) -> list[str]:
    """The rows of the section that begins with `heading`."""
    text = markdown.markdown(results)
    section = text.partition(f"{heading}\n")[2].partition("\n#")[0]
    return [line for line in section.splitlines() if line.startswith("| ")][1:]


def test_a_warning_of_a_group_marks_its_table(results):
    results.items["m"] = model("m", "dense", 2, [5.0], **NEW | {"frechet_distance": [0.6]})
    results.items["m"].about["samples"] = "prior"
    assert lines(results, "### Samples")[-1].startswith("| m¹ | prior |")
    assert lines(results, "## Health")[0].startswith("| m |")
    assert not math.isnan(results.items["m"].mean("frechet_distance"))
