"""Which measures a model gets, that they are repeatable, and that no label of the test split teaches anything."""

import dataclasses
import math
from functools import partial

import pytest
import torch

from aelab.config import seeding
from aelab.data.corruption import corrupt
from aelab.data.tensors import Data, Tensors
from aelab.evaluation import baselines, evaluate, feature_classifier, representation
from aelab.evaluation.pca import PCA
from aelab.evaluation.settings import Baselines, Evaluate
from aelab.models.common import Spec, registry
from aelab.training.classifier import Classifier

SPEC = Spec((1, 28, 28), 10)
SIZES = Baselines(
    latent_dim=8,
    digits=10,
    neighbours=5,
    labels=5,
    few_shot_repeats=2,
    label_budgets=(50, 100),
    max_train_codes=250,
    steps=5,
    max_ood_images=30,
    num_samples=100,
    classifier_steps=20,
)
SETTINGS = Evaluate(iwae_samples=5, nll_images=20, digits=10, samples=5, steps=3, units=5, fail_on=())
ALWAYS = {"probe_accuracy", "few_labels_accuracy", "cluster_nmi", "cluster_ari", "cluster_accuracy", "infomax_accuracy"}
ALWAYS |= {"same_class_accuracy", "latent_dim", "code_bytes", "flops", "active_share"}
REBUILT = {
    "sse",
    "psnr_foreground",
    "psnr_background",
    "keras_accuracy",
    "ood_sse",
    "ood_ratio",
    "psnr_foreground/masking-0.25",
}
USES = ("auroc", "average_precision", "bytes_at", "learner_error", "precision_at_10", "mean_average_precision")
JUDGED = {"frechet_distance", "precision", "recall", "fitted_frechet_distance"}
LIKELY = {"nll", "ess", "negative_elbo", "active_latents"}
SOMETIMES = JUDGED | LIKELY | {"perplexity", "dead_codes", "hidden_mse"}
SOMETIMES |= {"probe_content", "probe_style", "pseudo_likelihood", "read_mse", "predicted_mse"}

FAMILIES = {
    "dense": ({"widths": (8,), "code_activation": "relu"}, JUDGED, "N(0, I)"),
    "closed_form": ({"components": 3}, JUDGED, "prior"),
    "vae": ({"hidden": (16,), "latent_dim": 4}, JUDGED | LIKELY, "prior"),
    "iwae": ({"hidden": (16,), "latent_dim": 4}, JUDGED | LIKELY, "prior"),
    "gumbel_vae": ({"hidden": (16,)}, JUDGED | {"negative_elbo"}, "prior"),
    "cvae": ({"hidden": (16,), "latent_dim": 4}, JUDGED, "prior"),
    "vq_vae": (
        {"channels": (4, 4), "depth": 4, "codebook_size": 16},
        JUDGED | {"perplexity", "dead_codes"},
        "prior",
    ),
    "masked_ae": (
        {"embed_dim": 8, "depth": 1, "heads": 2, "decoder_embed_dim": 8, "decoder_depth": 1},
        {"hidden_mse"},
        None,
    ),
    "rbm": ({"units": 8}, JUDGED | {"pseudo_likelihood"}, "prior"),
    "lstm": ({"units": 4, "predict_rows": 14}, JUDGED | {"read_mse", "predicted_mse"}, "N(0, I)"),
    "content_style": (
        {
            "hidden": (16,),
            "content": 3,
            "style": 3,
            "class_weight": 1.0,
            "adversarial_weight": 1.0,
            "variance_weight": 1.0,
            "adversary": 8,
        },
        JUDGED | {"probe_content", "probe_style"},
        "N(0, I)",
    ),
}


@pytest.fixture(scope="module")
def context(digits):
    parts = [Tensors(digits[0][rows], digits[1][rows]) for rows in (slice(300), slice(300, 450), slice(450, 600))]
    masked = (corrupt(part.x, "masking", 0.25, torch.Generator().manual_seed(0)) for part in parts[1:])
    validation, test = ({"masking-0.25": x.mul(255).round().to(torch.uint8)} for x in masked)
    ood = Tensors(1 - parts[2].x, torch.arange(150) % 10)
    return evaluate.EvalContext(
        Data(*parts, test, ood, *(Tensors(ood.x[rows], ood.y[rows]) for rows in (slice(50), slice(50, 150)))),
        validation,
        SIZES,
        feature_classifier.build(SPEC, torch.Generator().manual_seed(0)),
        common,
    )


def common(use):
    return seeding.generator(0, "baselines", use)


def own(use):
    return seeding.generator(0, "evaluate", use)


def built(family, context):
    model = registry.build(family, FAMILIES[family][0], SPEC, torch.Generator().manual_seed(0))
    model.fit_statistics(*context.data.train)
    return model.eval()


@pytest.mark.parametrize("family", FAMILIES)
def test_a_model_gets_the_measures_that_apply_to_it(family, context):
    model = built(family, context)
    numbers = evaluate.metrics(model, context, SETTINGS, own)
    found = numbers.test
    assert set(found) >= ALWAYS
    chosen_by = {"probe_accuracy", "few_labels_accuracy"} | (
        {"sse", "psnr", "psnr/masking-0.25"} if model.decodes else set()
    )
    used = {metric for metric in found if metric.startswith(USES)}
    assert {metric.partition("/")[0] for metric in used} >= {"auroc", "learner_error", "precision_at_10"}
    assert set(numbers.validation) == chosen_by | (set(found) & {"frechet_distance"}) | used - {"average_precision"} - {
        metric for metric in used if metric.startswith("average_precision/")
    }
    assert set(found) & REBUILT == (REBUILT if model.decodes else set())
    assert set(found) & SOMETIMES == FAMILIES[family][1]
    for name, values in numbers.per_image.items():
        if not name.startswith("anomaly"):  # scores, whose mean is no metric
            assert values.double().mean().item() == pytest.approx(found[name])
    assert {name for name in numbers.per_image if not name.startswith((*USES, "anomaly"))} == (
        {"sse", "psnr/masking-0.25"} if model.decodes else set()
    )
    assert all(math.isfinite(value) for name, value in found.items() if name != "bce" and name[:8] != "bytes_at")
    about = evaluate.about(model, context.data.test, SETTINGS)
    sizes = {"nll": {"images": 20, "draws": 5}} if "nll" in found else {}
    if "negative_elbo" in found:
        sizes["targets"] = "binary" if family == "iwae" else "grey"
    assert about == {"uses_labels": family in ("cvae", "content_style"), "samples": FAMILIES[family][2]} | sizes


def test_read_and_predicted_rows_make_up_the_error(context):
    found = evaluate.metrics(built("lstm", context), context, SETTINGS, own).test
    assert (found["read_mse"] + found["predicted_mse"]) / 2 == pytest.approx(found["mse"], rel=1e-5)


def test_a_tanh_code_at_rest_says_nothing(context):
    knobs = {"widths": (8,), "code_activation": "tanh", "penalty": "kl", "weight": 1.0}
    model = registry.build("sparse", knobs, SPEC, torch.Generator().manual_seed(0)).eval()
    with torch.no_grad():
        model.encoder[0][1].weight.zero_()
        model.encoder[0][1].bias.copy_(torch.tensor([100.0] + [-100.0] * 7))
    found = evaluate.metrics(model, context, SETTINGS, own).test
    assert (found["active_share"], found["dead_units"], found["hoyer_sparsity"]) == (1 / 8, 7, 1.0)


def test_the_same_numbers_twice(context):
    model = built("vae", context)
    once, again = (evaluate.metrics(model, context, SETTINGS, own) for _ in range(2))
    assert (once.test, once.validation) == (again.test, again.validation)
    assert all(torch.equal(once.per_image[name], again.per_image[name]) for name in once.per_image)


def test_the_best_model_is_chosen_by_what_is_measured_of_validation_images(context):
    """As they would be measured if they were the test images."""
    data = context.data
    swapped = dataclasses.replace(
        context,
        data=dataclasses.replace(data, validation=data.test, test=data.validation, noisy=context.noisy_validation),
        noisy_validation=data.noisy,
    )
    for family in ("vae", "lstm"):
        model = built(family, context)
        found, other = (evaluate.metrics(model, each, SETTINGS, own) for each in (context, swapped))
        for metric in found.validation:
            if metric in ("probe_accuracy", "few_labels_accuracy") or metric.startswith(("learner_error", "auroc")):
                continue
            if math.isnan(found.validation[metric]):
                continue
            assert found.validation[metric] == other.test[metric] != found.test[metric]
    train, validation, test = (
        (part.x.flatten(1)[:, 200:600:8], part.y) for part in (data.train, data.validation, data.test)
    )
    expected = representation.linear_probe(train, validation, validation).test
    found = evaluate.representation_metrics(context, [train, validation, test])
    assert found.validation["probe_accuracy"] == expected
    few = representation.few_labels(train, validation, validation, SIZES.labels, SIZES.few_shot_repeats, common)
    assert found.validation["few_labels_accuracy"] == few.validation != found.test["few_labels_accuracy"]


def test_labels_of_the_test_split_teach_nothing(context):
    """With other test labels all that was learnt is the same: right and wrong change places."""
    data = context.data
    coded = [(split.x.flatten(1)[:, 200:600:8], split.y) for split in (data.train, data.validation, data.test)]
    true = evaluate.representation_metrics(context, coded).test
    wrong = evaluate.representation_metrics(context, [*coded[:2], (coded[2][0], (coded[2][1] + 1) % 10)]).test
    assert wrong["infomax_accuracy"] == true["infomax_accuracy"]
    assert wrong["same_class_accuracy"] == true["same_class_accuracy"], "the same pairs are of one class"
    assert wrong["cluster_nmi"] == pytest.approx(true["cluster_nmi"])
    for metric in ("probe_accuracy", "few_labels_accuracy", "knn_accuracy"):
        assert wrong[metric] < 0.3 < true[metric]


def test_errors_by_class_add_up(context):
    model = Classifier(
        registry.build("dense", FAMILIES["dense"][0], SPEC, torch.Generator().manual_seed(0)), SPEC
    ).eval()
    numbers = evaluate.metrics(model, context, SETTINGS, own)
    found = numbers.test
    counts = context.data.test.y.bincount(minlength=10).double()
    by_class = torch.tensor([found[f"class_error/{label}"] for label in range(10)], dtype=torch.float64)
    assert (by_class @ counts / counts.sum()).item() == pytest.approx(found["test_error/all"])
    assert by_class.tolist() == [0.0] + [1.0] * 9, "a top layer of zeros says class 0"
    assert numbers.validation == {"error/all": (context.data.validation.y != 0).double().mean().item()}
    assert evaluate.about(model, context.data.test, SETTINGS) == {}


@pytest.mark.parametrize("question", ["representation", "generation", "anomalies", "compression", "learners"])
def test_only_what_is_asked_is_measured(context, question):
    """Of models and of baselines; reconstruction is always measured."""
    few = dataclasses.replace(context, sizes=dataclasses.replace(SIZES, questions=(question,)))
    model = registry.build("dense", {"widths": (8, 4)}, SPEC, torch.Generator().manual_seed(0))
    found = evaluate.metrics(model, few, SETTINGS, own).test
    key = {
        "representation": "probe_accuracy",
        "generation": "frechet_distance",
        "anomalies": "auroc",
        "compression": "bytes_at",
        "learners": "learner_error",
    }
    bases = {name.partition("/")[0] for name in found}
    assert bases & set(key.values()) == {key[question]}
    assert bases >= REBUILT - {"psnr_foreground/masking-0.25"}
    results, _ = baselines.everything(few)
    groups = {"probes": "representation", "generation": "generation", "anomaly": "anomalies"}
    groups |= {"compression": "compression", "learners": "learners"}
    assert {groups[name] for name in groups if results.get(name)} == {question}
    assert results["sizes"]["questions"] == (question,)


def test_a_model_that_has_learned_one_class_is_judged_by_how_it_tells_the_others(context):
    """By the distance to its class' mean: as hand-made scores say."""
    data = context.data.judged([1])
    assert set(data.test.y.tolist()) == set(data.train.y.tolist()) == {1}
    assert len(data.test.y) + len(data.anomalies.y) == len(context.data.test.y)
    assert len(data.validation.y) + len(data.validation_anomalies.y) == len(context.data.validation.y)
    assert 1 not in data.anomalies.y.tolist() + data.validation_anomalies.y.tolist()
    model = registry.build("closed_form", {"components": 0}, SPEC, torch.Generator())
    model.fit_statistics(*data.train)
    found = evaluate.one_class(model, dataclasses.replace(context, data=data))
    away = [(x - data.train.x.mean(0)).square().flatten(1).sum(1) for x in (data.test.x, data.anomalies.x)]
    above = (away[1][:, None] > away[0]).double().mean().item()
    assert found.test["auroc/error"] == pytest.approx(above, abs=1e-3)
    assert found.test["auroc/error"] > 0.9  # ones are alike
    assert not found.per_image
    assert "sse" not in found.test


def test_so_many_ood_images_are_measured_and_a_copier_has_no_error(context):
    assert torch.equal(context.ood.x, context.data.ood.x[:30])
    assert context.ood.y.tolist() == [i % 10 for i in range(30)]
    many = dataclasses.replace(context, sizes=dataclasses.replace(SIZES, max_ood_images=1000))
    assert len(many.ood.x) == 150, "all there are"
    model = registry.build("closed_form", {"components": 784}, SPEC, torch.Generator())
    model.directions.copy_(torch.eye(784))
    found = evaluate.ood(model, context.ood, 2.0, context.measures)
    assert found == {"ood_sse": pytest.approx(0, abs=1e-6), "ood_ratio": pytest.approx(0, abs=1e-6)}


def test_shift_is_the_error_of_the_ood_images(context):
    """The mean image's error, by hand."""
    model = registry.build("closed_form", {"components": 0}, SPEC, torch.Generator())
    model.fit_statistics(*context.data.train)
    expected = (context.data.ood.x[:30] - context.data.train.x.mean(0)).square().flatten(1).sum(1).mean().item()
    found = evaluate.ood(model, context.ood, 2.0, context.measures)
    assert found == {"ood_sse": pytest.approx(expected), "ood_ratio": pytest.approx(expected / 2)}
    pca = PCA(context.data.train.x.flatten(1))
    assert pca.errors(context.ood.x.flatten(1))[0] == pytest.approx(expected)


def test_baselines_are_measured_as_models_are(context):
    found = baselines.probes(context, PCA(context.data.train.x.flatten(1)), common("random codes"))
    assert set(found) == {"raw pixels", "PCA 8", "random 8"}
    model = registry.build("closed_form", {"components": 8}, SPEC, torch.Generator())
    model.fit_statistics(*context.data.train)
    measured = evaluate.metrics(model, context, SETTINGS, own).test
    for metric in ("probe_accuracy", "knn_accuracy", "few_labels_accuracy"):  # signs of PCA may differ
        assert found["PCA 8"].test[metric] == pytest.approx(measured[metric], abs=0.03)


def test_training_images_are_nearer_to_test_images_than_a_gaussian(context):
    trained = feature_classifier.train(context.data, SPEC, 40, partial(seeding.generator, 0))
    found = baselines.generation(
        dataclasses.replace(context, classifier=trained), PCA(context.data.train.x.flatten(1)), common("generated")
    )
    assert found["training images"]["frechet_distance"] < found["PCA 8 gaussian"]["frechet_distance"]
    assert found["training images"]["recall"] > found["PCA 8 gaussian"]["recall"]


def test_a_black_image_scores_as_many_pixels_as_are_black(context):
    x = context.data.test.x
    assert baselines.black_accuracy(context.data.test) == pytest.approx((x == 0).double().mean().item())


def test_baselines_are_tracked_by_metric_and_floor():
    filters = {"noisy": {"psnr": 1.0, "ssim": 0.1}, "median": {"psnr": 2.0, "ssim": 0.2, "parameter": 3}}
    found = {"denoising": {"salt-0.1": filters}, "probes": {"raw pixels": {"probe_accuracy": 0.9}}}
    assert baselines.flat(found | {"generation": {"training images": {"frechet_distance": 0.0}}}) == {
        "psnr/salt-0.1/noisy": 1.0,
        "ssim/salt-0.1/noisy": 0.1,
        "psnr/salt-0.1/median": 2.0,
        "ssim/salt-0.1/median": 0.2,
        "probe_accuracy/raw pixels": 0.9,
        "frechet_distance/training images": 0.0,
    }
