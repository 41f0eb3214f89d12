"""Which measures a model gets, that they are repeatable, and that no label of the test split teaches anything."""

import dataclasses
import math
from functools import partial

import pytest
import torch

from aelab.core import runtime
from aelab.core.corruption import corrupt
from aelab.data.tensors import Data, Tensors
from aelab.learning.classifier import Classifier
from aelab.metrics import evaluation, floors, judge, representation
from aelab.metrics.pca import PCA
from aelab.metrics.settings import Evaluate, Floors
from aelab.models.base import Spec, registry

SPEC = Spec((1, 28, 28), 10)
SIZES = Floors(
    code=8, digits=10, neighbours=5, labels=5, subsets=2, codes=250, steps=5, strange=30, generated=100, epochs=1
)
SETTINGS = Evaluate(draws=5, likelihoods=20, digits=10, samples=5, steps=3, units=5, fail_on=())
ALWAYS = {"probe_accuracy", "few_labels_accuracy", "cluster_nmi", "cluster_ari", "cluster_accuracy", "pair_accuracy"}
ALWAYS |= {"same_class_accuracy", "code_numbers", "code_bytes", "flops", "active_share"}
REBUILT = {"sse", "psnr_stroke", "psnr_blank", "keras_accuracy", "shift_sse", "shift_ratio", "psnr_stroke/masking-0.25"}
JUDGED = {"frechet", "precision", "recall"}
LIKELY = {"nll", "nll_draws", "negative_elbo", "active_latents"}
SOMETIMES = JUDGED | LIKELY | {"perplexity", "dead_codes", "hidden_mse"}
SOMETIMES |= {"probe_content", "probe_style", "pseudo_likelihood", "read_mse", "predicted_mse"}

FAMILIES = {
    "dense": ({"widths": (8,), "code": "relu"}, JUDGED, "random codes"),
    "linear": ({"components": 3}, JUDGED, "prior"),
    "variational": ({"hidden": (16,), "latent": 4}, JUDGED | LIKELY, "prior"),
    "importance": ({"hidden": (16,), "latent": 4}, JUDGED | LIKELY, "prior"),
    "categorical": ({"hidden": (16,)}, JUDGED | {"negative_elbo"}, "prior"),
    "conditional": ({"hidden": (16,), "latent": 4}, JUDGED, "prior"),
    "vector_quantised": (
        {"channels": (4, 4), "depth": 4, "codes": 16},
        JUDGED | {"perplexity", "dead_codes"},
        "prior",
    ),
    "masked": (
        {"width": 8, "depth": 1, "heads": 2, "decoder_width": 8, "decoder_depth": 1},
        {"hidden_mse"},
        None,
    ),
    "rbm": ({"units": 8}, JUDGED | {"pseudo_likelihood"}, "prior"),
    "recurrent": ({"units": 4, "predicted": 14}, JUDGED | {"read_mse", "predicted_mse"}, "random codes"),
    "split": (
        {"hidden": (16,), "content": 3, "style": 3, "classify": 1.0, "blind": 1.0, "alike": 1.0, "adversary": 8},
        JUDGED | {"probe_content", "probe_style"},
        "random codes",
    ),
}


@pytest.fixture(scope="module")
def bench(digits):
    parts = [Tensors(digits[0][rows], digits[1][rows]) for rows in (slice(300), slice(300, 450), slice(450, 600))]
    masked = (corrupt(part.x, "masking", 0.25, torch.Generator().manual_seed(0)) for part in parts[1:])
    validation, test = ({"masking-0.25": x.mul(255).round().to(torch.uint8)} for x in masked)
    strange = Tensors(1 - parts[2].x, torch.arange(150) % 10)
    return evaluation.Bench(
        Data(*parts, test, strange), validation, SIZES, judge.build(SPEC, torch.Generator().manual_seed(0)), common
    )


def common(use):
    return runtime.generator(0, "floors", use)


def own(use):
    return runtime.generator(0, "evaluate", use)


def built(family, bench):
    model = registry.build(family, FAMILIES[family][0], SPEC, torch.Generator().manual_seed(0))
    model.observe(*bench.data.train)
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_gets_the_measures_that_apply_to_it(family, bench):
    model = built(family, bench)
    numbers = evaluation.numbers(model, bench, SETTINGS, own)
    found = numbers.test
    assert set(found) >= ALWAYS
    chosen_by = {"probe_accuracy"} | ({"sse", "psnr", "psnr/masking-0.25"} if model.decodes else set())
    assert set(numbers.validation) == chosen_by | (set(found) & {"frechet"})
    assert set(found) & REBUILT == (REBUILT if model.decodes else set())
    assert set(found) & SOMETIMES == FAMILIES[family][1]
    assert all(math.isfinite(value) for name, value in found.items() if name != "bce")
    about = evaluation.about(model, bench.data.test, SETTINGS)
    sizes = {"nll": {"images": 20, "draws": 5}} if "nll" in found else {}
    if "negative_elbo" in found:
        sizes["targets"] = "binary" if family == "importance" else "grey"
    assert about == {"saw_labels": family in ("conditional", "split"), "samples": FAMILIES[family][2]} | sizes


def test_read_and_predicted_rows_make_up_the_error(bench):
    found = evaluation.numbers(built("recurrent", bench), bench, SETTINGS, own).test
    assert (found["read_mse"] + found["predicted_mse"]) / 2 == pytest.approx(found["mse"], rel=1e-5)


def test_a_tanh_code_at_rest_says_nothing(bench):
    knobs = {"widths": (8,), "code": "tanh", "penalty": "kl", "weight": 1.0}
    model = registry.build("sparse", knobs, SPEC, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        model.encoder[0][1].weight.zero_()
        model.encoder[0][1].bias.copy_(torch.tensor([100.0] + [-100.0] * 7))
    found = evaluation.numbers(model, bench, SETTINGS, own).test
    assert (found["active_share"], found["dead_units"], found["hoyer"]) == (1 / 8, 7, 1.0)


def test_the_same_numbers_twice(bench):
    model = built("variational", bench)
    assert evaluation.numbers(model, bench, SETTINGS, own) == evaluation.numbers(model, bench, SETTINGS, own)


def test_the_best_model_is_chosen_by_what_is_measured_of_validation_images(bench):
    """As they would be measured if they were the test images."""
    data = bench.data
    swapped = dataclasses.replace(
        bench,
        data=dataclasses.replace(data, validation=data.test, test=data.validation, noisy=bench.noisy_validation),
        noisy_validation=data.noisy,
    )
    for family in ("variational", "recurrent"):
        model = built(family, bench)
        found, other = (evaluation.numbers(model, each, SETTINGS, own) for each in (bench, swapped))
        for metric in set(found.validation) - {"probe_accuracy"}:
            assert found.validation[metric] == other.test[metric] != found.test[metric]
    train, validation, test = (
        (part.x.flatten(1)[:, 200:600:8], part.y) for part in (data.train, data.validation, data.test)
    )
    expected = representation.linear_probe(train, validation, validation).test
    assert evaluation.worth(bench, [train, validation, test]).validation == {"probe_accuracy": expected}


def test_labels_of_the_test_split_teach_nothing(bench):
    """With other test labels all that was learnt is the same: right and wrong change places."""
    data = bench.data
    coded = [(split.x.flatten(1)[:, 200:600:8], split.y) for split in (data.train, data.validation, data.test)]
    true = evaluation.worth(bench, coded).test
    wrong = evaluation.worth(bench, [*coded[:2], (coded[2][0], (coded[2][1] + 1) % 10)]).test
    assert wrong["pair_accuracy"] == true["pair_accuracy"]
    assert wrong["same_class_accuracy"] == true["same_class_accuracy"], "the same pairs are of one class"
    assert wrong["cluster_nmi"] == pytest.approx(true["cluster_nmi"])
    for metric in ("probe_accuracy", "few_labels_accuracy", "knn_accuracy"):
        assert wrong[metric] < 0.3 < true[metric]


def test_errors_by_class_add_up(bench):
    model = Classifier(
        registry.build("dense", FAMILIES["dense"][0], SPEC, torch.Generator().manual_seed(0)), SPEC
    ).eval()
    numbers = evaluation.numbers(model, bench, SETTINGS, own)
    found = numbers.test
    counts = bench.data.test.y.bincount(minlength=10).double()
    by_class = torch.tensor([found[f"class_error/{label}"] for label in range(10)], dtype=torch.float64)
    assert (by_class @ counts / counts.sum()).item() == pytest.approx(found["test_error/all"])
    assert by_class.tolist() == [0.0] + [1.0] * 9, "a top layer of zeros says class 0"
    assert numbers.validation == {"error/all": (bench.data.validation.y != 0).double().mean().item()}
    assert evaluation.about(model, bench.data.test, SETTINGS) == {}


def test_so_many_strange_images_are_measured_and_a_copier_has_no_error(bench):
    assert torch.equal(bench.strange.x, bench.data.strange.x[:30])
    assert bench.strange.y.tolist() == [i % 10 for i in range(30)]
    many = dataclasses.replace(bench, sizes=dataclasses.replace(SIZES, strange=1000))
    assert len(many.strange.x) == 150, "all there are"
    model = registry.build("linear", {"components": 784}, SPEC, torch.Generator())
    model.directions.copy_(torch.eye(784))
    found = evaluation.shift(model, bench.strange, sse=2.0)
    assert found == {"shift_sse": pytest.approx(0, abs=1e-6), "shift_ratio": pytest.approx(0, abs=1e-6)}


def test_shift_is_the_error_of_the_strange_images(bench):
    """The mean image's error, by hand."""
    model = registry.build("linear", {"components": 0}, SPEC, torch.Generator())
    model.observe(*bench.data.train)
    expected = (bench.data.strange.x[:30] - bench.data.train.x.mean(0)).square().flatten(1).sum(1).mean().item()
    found = evaluation.shift(model, bench.strange, sse=2.0)
    assert found == {"shift_sse": pytest.approx(expected), "shift_ratio": pytest.approx(expected / 2)}
    pca = PCA(bench.data.train.x.flatten(1))
    assert pca.errors(bench.strange.x.flatten(1))[0] == pytest.approx(expected)


def test_floors_are_measured_as_models_are(bench):
    found = floors.probes(bench, PCA(bench.data.train.x.flatten(1)), common("random codes"))
    assert set(found) == {"raw pixels", "PCA 8", "random 8"}
    model = registry.build("linear", {"components": 8}, SPEC, torch.Generator())
    model.observe(*bench.data.train)
    measured = evaluation.numbers(model, bench, SETTINGS, own).test
    for metric in ("probe_accuracy", "knn_accuracy", "few_labels_accuracy"):  # signs of PCA may differ
        assert found["PCA 8"][metric] == pytest.approx(measured[metric], abs=0.03)


def test_training_images_are_nearer_to_test_images_than_a_gaussian(bench):
    trained = judge.train(bench.data, SPEC, 4, partial(runtime.generator, 0))
    found = floors.generation(
        dataclasses.replace(bench, judge=trained), PCA(bench.data.train.x.flatten(1)), common("generated")
    )
    assert found["training images"]["frechet"] < found["PCA 8 gaussian"]["frechet"]
    assert found["training images"]["recall"] > found["PCA 8 gaussian"]["recall"]


def test_a_black_image_scores_as_many_pixels_as_are_black(bench):
    x = bench.data.test.x
    assert floors.black_accuracy(bench.data.test) == pytest.approx((x == 0).double().mean().item())


def test_floors_are_tracked_by_metric_and_floor():
    filters = {"noisy": {"psnr": 1.0, "ssim": 0.1}, "median": {"psnr": 2.0, "ssim": 0.2, "parameter": 3}}
    found = {"denoising": {"salt-0.1": filters}, "probes": {"raw pixels": {"probe_accuracy": 0.9}}}
    assert floors.flat(found | {"generation": {"training images": {"frechet": 0.0}}}) == {
        "psnr/salt-0.1/noisy": 1.0,
        "ssim/salt-0.1/noisy": 0.1,
        "psnr/salt-0.1/median": 2.0,
        "ssim/salt-0.1/median": 0.2,
        "probe_accuracy/raw pixels": 0.9,
        "frechet/training images": 0.0,
    }
