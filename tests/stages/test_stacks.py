"""Stacks from end to end, as real processes on real digits: pretrained, fine-tuned or unrolled, measured."""

import json
import shutil

import pytest
from conftest import Lab
from entries import in_epochs

STACKS = {
    "stack_rbm": {"family": "stacked", "widths": [30, 20], "layer": "rbm"},
    "stack_conv": {"family": "stacked_conv", "channels": [2, 3], "dropout": 0.5},
}


def shrink(tree) -> None:
    for section in ("pretrain", "finetune", "unroll"):
        tree[section] |= {**in_epochs(2), "num_seeds": 2}
    tree["finetune"]["labels"] = [20, 1000, "all"]
    tree["corrupt"]["noises"] = ["masking 0.25"]
    tree["baselines"] |= {
        "classifier_steps": 20,
        "steps": 5,
        "max_train_codes": 500,
        "max_ood_images": 50,
        "label_budgets": [20],
        "num_samples": 200,
    }
    tree["stacks"] = STACKS
    tree["narrow_stacks"] = {"narrow": STACKS["stack_rbm"] | {"code_activation": "linear"}}
    tree["unrolled"] = {"unrolled": {"stack": "narrow"}}


@pytest.fixture(scope="module")
def small(tmp_path_factory, _prepared, spawner):
    """A lab of small stacks that learn for two epochs, with all that evaluation needs."""
    lab = Lab(tmp_path_factory.mktemp("stacks") / "lab")
    shutil.copytree(_prepared, lab.folder / "data")
    lab.change(shrink)
    for stage in ("corrupt", "baselines"):
        spawner.works(lab, stage)
    return lab


def load(lab, name):
    return json.loads((lab.folder / "data" / name).read_text())


@pytest.mark.parametrize("name", STACKS)
def test_a_stack_is_pretrained_fine_tuned_and_measured_with_every_budget(small, spawner, name):
    for words in (f"pretrain {name}", f"finetune {name}", f"evaluate finetune/{name}"):
        spawner.works(small, words)
    about = load(small, f"finetune/{name}/model.json")
    assert about["budgets"] == {"20": 20, "1000": 1000, "all": 3500}
    assert {path.name for path in (small.folder / "data/finetune" / name).iterdir()} == {
        *about["budgets"],
        "model.json",
        "tracked.jsonl",
        "pretraining.json",
    }
    measured = load(small, f"evaluate/{name}/metrics.json")
    by_class = {f"class_error/{label}" for label in range(10)}
    assert set(measured["metrics"]) == {"parameters", "test_error/20", "test_error/1000", "test_error/all"} | by_class
    assert {len(values) for values in measured["metrics"].values()} == {2}
    for budget in about["budgets"]:
        assert all(0 < error < 1 for error in measured["metrics"][f"test_error/{budget}"])
    phases = [[row["phase"] for row in rows] for rows in measured["history"]]
    assert len(phases) == 2
    assert all(set(rows) == {"20 labels", "1000 labels", "all labels"} for rows in phases)
    epochs = phases[0].count("all labels"), phases[0].count("20 labels")
    assert epochs[0] == 2
    assert epochs[1] > 2


def test_a_narrow_stack_is_unrolled_into_a_model_like_any_other(small, spawner):
    for words in ("pretrain narrow_stacks/narrow", "unroll unrolled", "evaluate unroll/unrolled"):
        spawner.works(small, words)
    about = load(small, "unroll/unrolled/model.json")
    assert (about["kind"], about["family"], about["num_seeds"]) == ("autoencoder", "dense", 2)
    assert about["config"]["widths"] == [30, 20]
    assert about["config"]["code_activation"] == "linear"
    assert not about["config"]["tied"]
    metrics = load(small, "evaluate/unrolled/metrics.json")["metrics"]
    assert metrics["latent_dim"] == [20, 20]
    assert max(metrics["sse"]) < 60
    assert len(set(metrics["sse"])) == 2, "another seed, another stack"


def test_more_labels_than_images_is_one_line(small):
    small.change(lambda tree: tree["finetune"].update(labels=[9999]))
    line = small.fail("finetune", "stack_rbm")
    assert line == "finetune stack_rbm: labels: 9999 is wrong; allowed: up to the 3500 training images there are, all"
