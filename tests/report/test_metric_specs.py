"""The one table of metrics: it has a line for every number that is measured, and says which way is better."""

import subprocess
from pathlib import Path

import pytest
from test_results import made_up, model

from aelab.report import markdown, table
from aelab.report.html.rows import rows
from aelab.report.html.table_columns import GROUPS, table_columns
from aelab.report.metric_specs import SPECS, TABLE, spec

ROOT = Path(__file__).parents[2]
ABOUT = {"name", "family", "device", "num_seeds", "warnings"}

HIGHER = {"psnr", "ssim", "psnr_foreground", "psnr_background", "probe_accuracy", "knn_accuracy", "few_labels_accuracy"}
HIGHER |= {"cluster_nmi", "cluster_ari", "cluster_accuracy", "infomax_accuracy", "same_class_accuracy", "probe_content"}
HIGHER |= {"precision", "recall", "ess", "pseudo_likelihood"}
LOWER = {"sse", "mse", "bce", "ood_sse", "hidden_mse", "read_mse", "predicted_mse", "probe_style", "frechet_distance"}
LOWER |= {
    "next_step_mse",
    "restored_mse",
    "restored_error",
    "category_error",
    "negative_elbo",
    "nll",
    "test_error",
    "class_error",
}
NEITHER = {"latent_dim", "pca", "keras_accuracy", "ood_ratio", "hoyer_sparsity", "active_share", "dead_units", "rate"}
NEITHER |= {"distortion", "active_latents", "parameters", "flops", "code_bytes", "hidden_units", "dead_hidden"}
NEITHER |= {"codes", "dead_codes", "perplexity"}


def test_every_metric_of_the_comparison_has_a_line():
    command = ["git", "show", "HEAD:metrics/comparison.csv"]  # what this machine made may be of other parameters
    committed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = [name for name in committed.splitlines()[0].split(",") if not name.endswith("_std")]
    metrics = [name for name in names if name not in ABOUT]
    assert len(metrics) > 80
    assert {spec(metric).name for metric in metrics} <= {*SPECS}
    assert all(row.group in GROUPS and row.noise_group in (*GROUPS, "") for row in TABLE)


def test_a_metric_is_looked_up_by_its_whole_name():
    assert spec("psnr/gaussian-0.5") is SPECS["psnr"]
    assert spec("psnr_foreground/gaussian-0.5") is SPECS["psnr_foreground"]
    assert spec("ess") is not spec("nll")
    for unknown in ("nll_something", "cluster_", "ps", ""):
        with pytest.raises(ValueError, match=r"no line .* in the table of aelab/report/metric_specs\.py"):
            spec(unknown)


@pytest.fixture
def results():
    """Two models of grey targets, two of binary ones whose negative ELBO is smaller."""
    made = made_up()
    made.items.clear()
    for name, targets, value in (("g", "grey", 105), ("h", "grey", 107), ("b", "binary", 95.0), ("c", "binary", 93.0)):
        likely = {"rate": [5.0], "distortion": [value - 5.0], "negative_elbo": [value], "active_latents": [3]}
        made.items[name] = model(name, "vae", 3, [20.0], **likely, nll=[90.0], ess=[value])
        made.items[name].about["targets"] = targets
    return made


def test_likelihoods_of_different_targets_are_not_ranked_together(results):
    text = markdown.markdown(results).partition("## Generation")[2].partition("\n##")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("| ")]
    assert rows[0][:3] == ["model", "targets", "negative ELBO"]
    found = {row[0].rstrip("¹"): row[1:3] for row in rows[1:]}
    assert found == {
        "g": ["grey", "**105.00**"],
        "h": ["grey", "107.00"],
        "b": ["binary", "95.00"],
        "c": ["binary", "**93.00**"],
    }


def test_more_effective_draws_are_better(results):
    text = markdown.markdown(results)
    assert "**107.0**" in next(line for line in text.splitlines() if line.startswith("| h | grey"))


def test_precision_and_recall_are_ranked(results):
    for name, value in (("g", 0.5), ("h", 0.75)):
        results.items[name].metrics.update(frechet_distance=[0.1], precision=[value], recall=[value])
        results.items[name].about["samples"] = "prior"
    rows = [line for line in markdown.markdown(results).splitlines() if line.startswith("| h")]
    assert any(line.endswith("| prior | **0.100** | **0.75** | **0.75** | n/a |") for line in rows)


def test_the_page_sorts_likelihoods_of_one_kind_of_targets(results):
    shown = table_columns(results)
    split = [(column.metric, column.within, column.title) for column in shown if column.within]
    assert split == [
        ("negative_elbo", "binary", "negative ELBO, binary targets, nats"),
        ("negative_elbo", "grey", "negative ELBO, grey targets, nats"),
        ("distortion", "binary", "distortion, binary targets, nats"),
        ("distortion", "grey", "distortion, grey targets, nats"),
    ]
    texts = {
        entry.name: [
            cell.text for cell, column in zip(entry.cells, shown, strict=True) if column.metric == "negative_elbo"
        ]
        for entries in rows(results, shown).values()
        for entry in entries
    }
    assert (texts["g"], texts["b"]) == (["", "105.00"], ["95.00", ""])


def test_an_unknown_metric_is_refused_with_its_name(results):
    results.items["g"].metrics["surprise"] = [1.0]
    with pytest.raises(ValueError, match="metric 'surprise': no line"):
        table.frame(results)
