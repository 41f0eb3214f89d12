"""Verdicts on made-up numbers, and the further sections of the comparison."""

import math
from dataclasses import replace

import pytest
from test_results import RAW, made_up, model, stack

from aelab.report import claims, markdown
from aelab.report.claims import CLAIMS, Claim
from aelab.report.metric_specs import spec


@pytest.fixture
def results():
    made = made_up()
    made.items.clear()
    return made


def row(results, monkeypatch, claim) -> str:
    monkeypatch.setattr(claims, "CLAIMS", (claim,))
    parts = claims.section(results)
    return parts[-1].splitlines()[-1] if parts else ""


@pytest.mark.parametrize(
    ("better", "worse", "verdict"),
    [
        ([9.0, 10.0, 11.0], [19.0, 20.0, 21.0], "**holds**"),
        ([19.0, 20.0, 21.0], [9.0, 10.0, 11.0], "**does not hold**"),
        # standard errors of 1 / sqrt(3) each: the margin is 2.78 sqrt(2 / 3) = 2.27
        ([9.0, 10.0, 11.0], [11.2, 12.2, 13.2], "not decided"),
        ([9.0, 10.0, 11.0], [11.3, 12.3, 13.3], "**holds**"),
        # one side without spread leaves 2 degrees of freedom: the margin is 4.30 / sqrt(3) = 2.48, not 2.78 / sqrt(3)
        ([10.0, 10.01, 10.02], [11.0, 12.0, 13.0], "not decided"),
        ([9.0], [19.0, 20.0, 21.0], "not decided: one seed of a"),
        ([9.0], [19.0], "not decided: one seed of a and b"),
    ],
)
def test_verdicts(results, monkeypatch, better, worse, verdict):
    results.items.update({"a": model("a", "dense", 2, better), "b": model("b", "dense", 2, worse)})
    assert row(results, monkeypatch, Claim("a beats b", "sse", "a", "b")).endswith(f"| {verdict} |")


def test_a_verdict_shows_the_difference_its_interval_and_degrees_of_freedom(results, monkeypatch):
    results.items.update(
        {"a": model("a", "dense", 2, [9.0, 10.0, 11.0]), "b": model("b", "dense", 2, [19.0, 20.0, 21.0])}
    )
    text = row(results, monkeypatch, Claim("a beats b", "sse", "a", "b"))
    sides = "a 10.00 ± 0.58 | b 20.00 ± 0.58"
    assert text == f"| a beats b | squared error per image ↓ | {sides} | -10.00 (-12.27 to -7.73) | 4.0 | **holds** |"


def test_against_a_baseline_there_is_one_set_of_seeds(results, monkeypatch):
    # t = 4.30 with 2 degrees of freedom: the margin is 4.30 / sqrt(3) = 2.48; PCA has 15.5
    for mean, verdict in ((13.0, "**holds**"), (13.05, "not decided")):
        results.items["a"] = model("a", "dense", 2, [mean - 1, mean, mean + 1])
        text = row(results, monkeypatch, Claim("a beats PCA", "sse", "a", claims.PCA))
        assert text.endswith(f"| 2.0 | {verdict} |")


def test_one_seed_is_not_enough_against_a_baseline_either(results, monkeypatch):
    results.items["a"] = model("a", "dense", 2, [1.0])
    text = row(results, monkeypatch, Claim("a beats PCA", "sse", "a", claims.PCA))
    assert text.endswith("| -14.50 | n/a | not decided: one seed of a |")


def test_every_claim_is_about_a_metric_that_has_a_better_side():
    assert {spec(claim.metric).direction for claim in CLAIMS} <= {"higher", "lower"}


def test_more_is_better_where_it_is(results, monkeypatch):
    results.items.update(
        {
            name: model(name, "dense", 2, [1.0, 1.0], probe_accuracy=values)
            for name, values in (("a", [0.9, 0.9]), ("b", [0.8, 0.8]))
        }
    )
    text = row(results, monkeypatch, Claim("a beats b", "probe_accuracy", "a", "b"))
    assert text == "| a beats b | linear probe, % ↑ | a 90.0 | b 80.0 | +10.0 (+10.0 to +10.0) | n/a | **holds** |"


def test_baselines_have_no_spread(results, monkeypatch):
    results.items["a"] = model("a", "dense", 2, [15.0, 15.0])
    text = row(results, monkeypatch, Claim("a beats PCA", "sse", "a", claims.PCA))
    sides = "a 15.00 | PCA 15.50"
    assert text == f"| a beats PCA | squared error per image ↓ | {sides} | -0.50 (-0.50 to -0.50) | n/a | **holds** |"
    results.items["pca"] = model("pca", "closed_form", 2, [20.0])
    assert "| pca 20.00 | -5.00 " in row(results, monkeypatch, Claim("a beats pca", "sse", "a", "pca"))


def test_a_denoiser_is_held_against_the_best_filter_of_every_noise(results, monkeypatch):
    results.items["a"] = model("a", "dense", 2, [1.0, 1.0], **{"psnr/masking-0.25": [13.0, 13.0]})
    text = row(results, monkeypatch, Claim("a denoises", claims.ALL_NOISES, "a", claims.FILTERS))
    assert text.startswith("| a denoises | psnr, all noises, dB ↑ | a 14.00 | the best filters 14.00 | +0.00 ")
    assert text.endswith("| not decided |")


def test_errors_also_vary_with_the_test_images(results, monkeypatch):
    results.items.update({name: stack(name, "x", [error] * 2) for name, error in (("a", 0.10), ("b", 0.18))})
    claim = Claim("a beats b", "test_error/all", "a", "b")
    assert row(results, monkeypatch, claim).endswith("| -8.00 (-17.66 to +1.66) | 187.0 | not decided |"), "100 images"
    many = replace(results, baselines=results.baselines | {"test_images": 10_000})
    assert row(many, monkeypatch, claim).endswith("| **holds** |")


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
    results.items["m"] = model("m", "dense", 2, [5.0], **NEW | {"frechet_distance": [0.6], "ood_sse": [99.0]})
    results.items["m"].about["samples"] = "prior"
    assert lines(results, "### Samples")[-1].startswith("| m¹ | prior |")
    assert lines(results, "## Out-of-distribution images")[0].startswith("| m¹ |")
    assert lines(results, "## Health")[0].startswith("| m |")
    assert not math.isnan(results.items["m"].mean("frechet_distance"))
