"""The best models: selected on validation images, reported with their numbers on test images."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from test_results import made_up, model

from aelab.report.best_models import best_models, section


@pytest.fixture
def results():
    made = made_up()
    made.baselines["probes"] |= {"PCA 4": {"probe_accuracy": 0.6}, "random 4": {"probe_accuracy": 0.4}}
    return replace(made, items={"pca": made.items["pca"]})


def add(results, name: str, numbers: int = 3, validation: dict | None = None, **changes) -> None:
    """A model; its validation numbers are those of test but for `validation`."""
    made = model(name, "dense", numbers, changes.pop("sse", [5.0, 6.0]), **changes)
    made.about["validation"] |= validation or {}
    made.about["samples"] = "prior"
    results.items[name] = made


def best(results) -> dict[str, str]:
    """Registered name -> model."""
    return {f"{each.task.name}@{alias}": each.item.name for each in best_models(results) for alias in each.task.aliases}


def test_chosen_on_validation_reported_on_test(results):
    add(results, "lucky", validation={"probe_accuracy": [0.80, 0.80]}, probe_accuracy=[0.99, 0.99])
    add(results, "sound", validation={"probe_accuracy": [0.90, 0.90]}, probe_accuracy=[0.87, 0.89])
    encoder = next(each for each in best_models(results) if each.task.name == "encoder")
    assert encoder.item.name == "sound"
    assert (encoder.chosen_by, encoder.shown) == ("90.0", "88.0 ± 1.4")
    low, high = stats.ttest_1samp([87, 89], 0).confidence_interval(0.95)
    assert encoder.interval == f"{low:.1f} to {min(high, 100):.1f}", "no more than all are right"
    for words in ("linear probe, % ↑", "selected on validation images (90.0)", "88.0 ± 1.4 on test images"):
        assert words in encoder.why


def test_no_validation_numbers_no_choice(results):
    add(results, "a")
    assert "denoiser@champion" in best(results)
    results.items["a"].about.pop("validation")
    assert best_models(results) == []
    assert section(results) == []


def test_a_denoiser_is_the_best_over_all_noises(results):
    noises = {"psnr/masking-0.25": [18.0, 18.0], "psnr/salt_pepper-0.1": [10.0, 10.0]}
    add(results, "one-sided", validation=noises)
    add(results, "even", validation={noise: [15.0, 15.0] for noise in noises})
    add(results, "untried", validation={"psnr/masking-0.25": [99.0, 99.0]})
    del results.items["untried"].about["validation"]["psnr/salt_pepper-0.1"]
    assert best(results)["denoiser@champion"] == "even"
    denoiser = next(each for each in best_models(results) if each.task.name == "denoiser")
    assert denoiser.baselines == "the best filter of each noise 14.00"


def test_a_generator_draws_from_a_prior_and_is_near(results):
    for name, value, samples in (("near", 0.1, "prior"), ("far", 0.4, "prior"), ("plain", 0.01, "random codes")):
        add(results, name, frechet_distance=[value, value])
        results.items[name].about["samples"] = samples
    assert best(results)["generator@champion"] == "near"
    assert best_models(results)[-1].baselines == "PCA 4 gaussian 0.500"


def test_encoders_by_size_of_code(results):
    for name, numbers, value in (("tiny", 4, 0.5), ("small", 32, 0.7), ("large", 63, 0.8), ("copy", 64, 0.99)):
        add(results, name, numbers, probe_accuracy=[value, value])
    add(results, "told", 3, probe_accuracy=[0.95, 0.95])
    results.items["told"].about["uses_labels"] = True
    found = {alias: name for alias, name in best(results).items() if alias.startswith("encoder")}
    assert found == {
        "encoder@up-to-4": "tiny",
        "encoder@up-to-32": "small",
        "encoder@champion": "small",
        "encoder@up-to-63": "large",
    }
    baselines = [each.baselines for each in best_models(results) if each.task.name == "encoder"]
    assert baselines == ["PCA 4 60.0, raw pixels (64 numbers) 90.0"] * 3
    results.baselines["sizes"]["latent_dim"] = 32
    baselines = [each.baselines for each in best_models(results) if each.task.name == "encoder"]
    assert baselines[0] == "raw pixels (64 numbers) 90.0", "no baseline has as few numbers"


def test_baselines_and_nan_are_not_chosen(results):
    add(results, "a", validation={"probe_accuracy": [np.nan, 0.9]})
    assert not any(name.startswith("encoder") for name in best(results))


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """A store in which the best models of two comparisons are logged, one after the other; the function to do so."""
    from aelab.tracking import models, store

    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.chdir(tmp_path)
    client, experiment = store.connect("models")
    run = client.create_run(experiment).info.run_id

    def log(results) -> None:
        for each in [each for each in best_models(results) if each.registered]:
            about = each.item.described | {"source": f"data/train/{each.item.name}"}
            about["weights"] = {f"{about['source']}/weights-0.safetensors": each.item.name}
            card = models.Card(about, each.item.metrics, each.task.name, each.why, each.task.aliases)
            models.register(client, models.log(client, experiment, run, card), run, card)

    return client, log


def test_the_registry_knows_encoders_by_size(results, registry):
    client, log = registry
    for name, numbers, value in (("tiny", 4, 0.5), ("small", 32, 0.7), ("large", 63, 0.8)):
        add(results, name, numbers, probe_accuracy=[value, value])
    log(results)

    def holds(alias: str) -> str:
        return client.get_model_version_by_alias("encoder", alias).tags["model"]

    assert {alias: holds(alias) for alias in ("up-to-4", "up-to-32", "champion", "up-to-63")} == {
        "up-to-4": "tiny",
        "up-to-32": "small",
        "champion": "small",
        "up-to-63": "large",
    }
    card = client.get_model_version_by_alias("encoder", "up-to-4").description
    assert "selected on validation images (50.0), 50.0 ± 0.0 on test images" in card
    assert "flattered" not in card
    assert "models:/encoder@up-to-4" in card
    add(results, "better", 4, probe_accuracy=[0.75, 0.75])
    log(results)
    assert {holds(alias) for alias in ("up-to-4", "up-to-32", "champion")} == {"better"}
    assert holds("up-to-63") == "large"


def test_ties_are_named_where_seeds_say_how_far_they_differ(results):
    values = {"near": [0.85, 0.91], "best": [0.88, 0.90], "far": [0.50, 0.51]}
    for name, found in values.items():
        add(results, name, validation={"probe_accuracy": [np.mean(found)] * 2}, probe_accuracy=found)
    encoder = next(each for each in best_models(results) if each.task.name == "encoder")
    assert (encoder.item.name, encoder.ties) == ("best", "near")
    for item in results.items.values():
        item.metrics["probe_accuracy"] = item.metrics["probe_accuracy"][:1]
        item.about["validation"]["probe_accuracy"] = item.metrics["probe_accuracy"]
    encoder = next(each for each in best_models(results) if each.task.name == "encoder")
    assert encoder.ties == "unknown: one seed"
