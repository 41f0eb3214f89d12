"""Means, spreads, curves and flags of a small made-up comparison, against numbers worked out by hand."""

import math

import numpy as np
import pytest

from aelab.report import markdown, warnings
from aelab.report.results import Item, Results
from aelab.report.settings import Compare
from aelab.report.warnings import ResultWarning

SIDE, DIGITS, TEST = 8, 10, 100
RAW = {"probe_accuracy": 0.9, "knn_accuracy": 0.9, "few_labels_accuracy": 0.7, "cluster_accuracy": 0.5}
RAW |= {"cluster_nmi": 0.5, "cluster_ari": 0.4, "infomax_accuracy": 0.95, "same_class_accuracy": 0.8}
NOISES = ("masking-0.25", "salt_pepper-0.1")

SETTINGS = Compare(
    filters=("two", "noisy"),
    units=("two", "noisy"),
    samples=("vae",),
    plain="two",
    interpolations=("two", "vae"),
    epochs=("two", "noisy"),
    denoising=("noisy", "two"),
    noisy_epochs=("two",),
    pca=("two",),
)


def images(n: int = DIGITS, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, SIDE, SIDE), dtype=np.uint8)


def row(step: int, value: float, best: bool = True, term: str = "total", phase: str = "all") -> dict:
    return {
        "phase": phase,
        "step": step,
        "train": {term: value},
        "validation": {term: value + 1},
        "monitored": term,
        "monitor": value + 1,
        "best": best,
    }


def model(name: str, family: str, numbers: int, sse: list[float], **changes) -> Item:
    """A model with plain arrays; `changes` are metrics, `noise`, `config` and further `arrays`. On validation images it
    has the same numbers."""
    arrays = {
        "reconstructions": images(seed=1),
        "interpolation": images(15, 2).reshape(3, 5, SIDE, SIDE),
        "random_codes": images(20, 3),
        "fitted_codes": images(20, 4),
    }
    arrays |= {f"denoised/{noise}": images(seed=4) for noise in NOISES} | changes.pop("arrays", {})
    n = len(sse)
    about = {"kind": "autoencoder", "family": family, "config": changes.pop("config", {}), "shape": [1, SIDE, SIDE]}
    about |= {"classes": 10, "device": "cpu", "num_seeds": n, "noise": changes.pop("noise", [])}
    metrics = {"sse": sse, "mse": [value / 64 for value in sse], "psnr": [20.0] * n, "ssim": [0.5] * n}
    metrics |= {f"{m}/{noise}": [v] * n for noise in NOISES for m, v in (("psnr", 15.0), ("ssim", 0.5))}
    metrics |= {"probe_accuracy": [0.95] * n, "knn_accuracy": [0.9] * n, "dead_units": [0.0] * n}
    metrics |= {"latent_dim": [numbers] * n, "code_bytes": [4 * numbers] * n, "parameters": [1234567] * n}
    metrics |= {"flops": [2.0 * 10**6] * n, "active_share": [1.0] * n} | changes
    history = (
        [[row(1, 9.0), row(2, 5.0), row(3, 6.0, best=False)] for _ in sse]
        if family != "closed_form"
        else [[] for _ in sse]
    )
    about |= {"targets": "grey"} if "negative_elbo" in metrics else {}
    validation = {
        m: v for m, v in metrics.items() if m.partition("/")[0] in ("sse", "psnr", "probe_accuracy", "frechet_distance")
    }
    return Item(name, about | {"metrics": metrics, "validation": validation, "history": history}, arrays)


def stack(name: str, layer: str, errors: list[float]) -> Item:
    """Fine-tuned with 10 labels to twice the errors that it has with all 80; it gets the first images wrong."""
    about = {"kind": "classifier", "family": "stacked", "config": {"layer": layer}, "device": "cpu"}
    budgets = {"10": 10, "all": 80}
    history = [
        [row(e, 0.5 / e, term="error", phase=f"{name} labels") for name in budgets for e in range(1, 4 + i)]
        for i in range(len(errors))
    ]
    about |= {"num_seeds": len(errors), "history": history, "budgets": budgets}
    found = {"test_error/10": [2 * error for error in errors], "test_error/all": errors}
    found |= {f"class_error/{label}": [0.8, 1.0] if label == 3 else [0.0, 0.0] for label in range(10)}
    wrong = {name: first_wrong(shares) for name, shares in found.items() if name.startswith("test_error/")}
    return Item(name, about | {"metrics": {"parameters": [99] * len(errors)} | found}, {}, wrong)


def first_wrong(shares: list[float]) -> np.ndarray:
    """[seeds, TEST]: 1 for the first images, as many as a seed gets wrong."""
    return np.array([np.arange(TEST) < round(share * TEST) for share in shares], np.float32)


def pictures_of_every_kind() -> dict[str, np.ndarray]:
    """No one model has all of them: codes of three numbers from -1 to 1, a tutorial's outside, swaps, patches ..."""
    codes = np.random.default_rng(6).uniform(-1, 1, (TEST, 3)).astype(np.float32)
    hidden = np.zeros((SIDE, SIDE), bool)
    hidden[:4] = True
    return {
        "codes": codes,
        "labels": np.arange(TEST) % 10,
        "chosen": images(3, 12),
        "chosen_codes": np.array([[0, 0, 0], codes[0], [0.5, 2, 0]], np.float32),
        "chosen_original": images(1, 13),
        "by_class": images(20, 14),
        "prototypes": images(3, 15),
        "clusters": np.arange(TEST) % 10 // 4,
        "swaps": images(DIGITS**2, 16),
        "hidden": hidden,
    }


def made_up() -> Results:
    """64 pixels, two noises, four models and two stacks: numbers that can be checked by hand."""
    random = np.random.default_rng(5)
    panel = {
        "preview/input": images(seed=6),
        "preview/step-00001": images(seed=7),
        "preview/step-00003": images(seed=8),
    }
    shown_noisy = {f"preview/noisy-{key[8:]}": 255 - value for key, value in panel.items()}
    grid = {"grid": images(9, 10), "grid_codes": np.array([[-1, 0, 1], [-2, 0, 2]], np.float32)}
    filters = {"filters": random.normal(size=(12, SIDE, SIDE)).astype(np.float32)}
    codes = {"codes": random.normal(size=(TEST, 2)).astype(np.float32), "labels": np.arange(TEST) % 10}
    items = [
        model("pca", "closed_form", 4, [10.0]),
        model(
            "two",
            "dense",
            2,
            [8.0, 10.0],
            arrays=panel | shown_noisy | grid | filters | codes,
            config={"widths": [2]},
            bce=[float("nan")] * 2,
        ),
        model("noisy", "dense", 64, [5.0], noise=["masking 0.3"], arrays=panel | filters),
        model(
            "vae",
            "vae",
            3,
            [20.0],
            arrays={"samples": images(20)} | pictures_of_every_kind(),
            rate=[5.0],
            distortion=[90.0],
            negative_elbo=[95.0],
            active_latents=[3],
        ),
        stack("stack_random", "random", [0.3, 0.3]),
        stack("stack_ae", "autoencoder", [0.1, 0.1]),
    ]
    filtered = {
        name: {"psnr": 12.0 + i, "ssim": 0.4} for i, name in enumerate(("median", "gaussian", "non_local_means"))
    }
    baselines = {
        "test_images": TEST,
        "denoising": {noise: {"noisy": {"psnr": 11.0, "ssim": 0.3}, **filtered} for noise in NOISES},
        "probes": {"raw pixels": RAW},
        "sizes": {"latent_dim": 4, "labels": 10, "few_shot_repeats": 3, "num_samples": 50},
        "feature_classifier_accuracy": 0.95,
        "keras_accuracy": 0.8,
        "generation": {
            "training images": {"frechet_distance": 0.1, "precision": 0.9, "recall": 0.8},
            "PCA 4 gaussian": {"frechet_distance": 0.5, "precision": 0.6, "recall": 0.7},
        },
        "pca_validation_sse": [float(64 - k) / 4 for k in range(65)],
        "pca_ood_sse": [float(64 - k) / 2 for k in range(65)],  # twice pca_sse
        "pca_sse": [float(64 - k) / 4 for k in range(65)],  # 16 for the mean, 15.5 for K = 2, 15.25 for K = 3
    }
    pictures = {
        "clean": images(),
        "labels": np.arange(DIGITS),
        "pca_codes": codes["codes"],
        "pca_labels": codes["labels"],
    }
    pictures |= {"pca/2": images(seed=11), "toy/field_points": random.normal(size=(5, 2))}
    pictures |= {"toy/sheet_points": random.normal(size=(5, 3)), "toy/sheet_turn": random.normal(size=5)}
    pictures |= {f"toy/sheet_{name}": random.normal(size=(5, 2)) for name in ("pca", "ae")}
    pictures |= {"toy/sheet_errors": np.array([0.5, 0.25]), "toy/directions_points": random.normal(size=(6, 2))}
    pictures |= {"toy/directions_labels": np.arange(6) % 2}
    pictures |= {f"toy/directions_{name}": random.normal(size=2) for name in ("pca", "lda")}
    pictures |= {f"toy/field_{name}": random.normal(size=(9, 2)) for name in ("places", "moves")}
    for kind in ("straight", "bent"):
        toy = {name: random.normal(size=(n, 2)) for name, n in (("points", 5), ("pca", 2), ("ae", 5))}
        pictures |= {f"toy/{kind}_{name}": value for name, value in (toy | {"errors": np.array([0.5, 0.25])}).items()}
    pictures |= {f"{kind}/{noise}": images(seed=9) for kind in ("noisy", *filtered) for noise in NOISES}
    data = {
        "name": "made_up",
        "title": "Made-up digits",
        "shape": [1, SIDE, SIDE],
        "ood": "made-up clothes",
        "classes": [str(i) for i in range(10)],
    }
    errors = {(1, 2): [8.0, 10.0], (1, 4): [6.0, 6.0], (2, 2): [5.0, 5.0], (2, 4): [7.0, 7.0]}
    power = [
        {"depth": depth, "latent_dim": code, "sse": sse, "probe_accuracy": [0.5, 0.6]}
        for (depth, code), sse in errors.items()
    ]
    psnr = {"clean": {"clean": 20.0, "masking-0.25": 15.0}, "masking-0.25": {"clean": 18.0, "masking-0.25": 19.0}}
    transfer = {name: [found, found] for name, found in psnr.items()}
    return Results(data, {item.name: item for item in items}, baselines, pictures, power, transfer)


@pytest.fixture
def results() -> Results:
    return made_up()


def places(results, item):
    return {(flag.group, flag.noise) for flag in warnings.of(results, item)}


def test_mean_and_sample_spread(results):
    item = results.items["two"]
    assert item.mean("sse") == 9.0
    assert item.spread("sse") == pytest.approx(math.sqrt(2))
    assert math.isnan(item.mean("rate"))
    assert math.isnan(results.items["vae"].spread("sse")), "one seed has no spread"


def test_curves_are_padded_where_a_seed_stopped(results):
    _, curves = results.items["stack_ae"].curves()
    assert (curves.phase, curves.term) == ("all labels", "error")
    np.testing.assert_allclose(curves.train, [[0.5, 0.25, 0.5 / 3, math.nan], [0.5, 0.25, 0.5 / 3, 0.125]])
    assert curves.kept.tolist() == [3, 4]
    assert results.items["two"].curves()[0].kept.tolist() == [2, 2], "the last evaluation that was the best so far"
    assert results.items["pca"].curves() == []


def test_curves_are_those_of_the_monitored_term(results):
    rows = [row(step, value, term="reconstruction") for step, value in ((1, 50.0), (2, 40.0))]
    for each in rows:  # as of an RBM, whose loss is a contrast that means nothing by itself
        each["train"]["total"] = each["validation"]["total"] = -0.5
    results.items["two"].about["history"] = [rows]
    [curves] = results.items["two"].curves()
    assert curves.term == "reconstruction"
    assert curves.train.tolist() == [[50.0, 40.0]]
    assert curves.validation.tolist() == [[51.0, 41.0]]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, set()),
        ({"sse": [16.0]}, {("reconstruction", "")}),
        ({"sse": [15.25 * 1.0005]}, set()),  # PCA itself, rounded
        ({"sse": [16.0], "numbers": 64}, set()),  # as many numbers as pixels
        ({"probe_accuracy": [0.89], "numbers": 64}, {("representation", "")}),
        ({"probe_accuracy": [0.91], "numbers": 64}, set()),
        ({"probe_accuracy": [0.1]}, set()),  # fewer numbers than pixels
        ({"frechet_distance": [0.6], "samples": "prior"}, {("generation", "")}),
        ({"frechet_distance": [0.4], "samples": "prior"}, set()),
        ({"frechet_distance": [0.6], "samples": "N(0, I)"}, set()),  # it promises no samples
        ({"hidden_mse": [0.3]}, {("reconstruction", "")}),
        ({"noise": ["masking 0.3"]}, set()),
        ({"noise": ["masking 0.3"], "psnr/masking-0.25": [13.5]}, {("denoising", "masking-0.25")}),
        ({"noise": ["salt_pepper 0.1"], "psnr/masking-0.25": [13.5]}, set()),  # it never met masking
        ({"psnr/masking-0.25": [1.0]}, set()),  # it met no noise at all
    ],
)
def test_warnings(results, changes, expected):
    numbers, sse, samples = changes.pop("numbers", 3), changes.pop("sse", [5.0]), changes.pop("samples", None)
    item = model("new", "dense", numbers, sse, **changes)
    item.about["samples"] = samples
    assert places(results, item) == expected


def test_a_warning_says_both_numbers(results):
    item = model("new", "dense", 3, [5.0], noise=["masking 0.3"], **{"psnr/masking-0.25": [10.0]})
    (flag,) = warnings.of(results, item)
    assert flag.words == "masking 0.25: 10.00 dB, the noisy image has 11.00 and the non-local-means filter has 14.00"


def test_the_diagnosis_s_diagnoses_are_warnings_but_for_the_baseline_that_has_its_own(results):
    item = model("new", "dense", 3, [5.0])
    item.about["diagnoses"] = {"dead_units": "1 of 3 numbers", "below_baseline": "sse 20.00"}
    assert [flag.words for flag in warnings.of(results, item)] == ["dead units: 1 of 3 numbers"]


def test_codes_are_held_against_untrained_ones_of_no_more_numbers(results):
    results.baselines["probes"] |= {"PCA 4": {"probe_accuracy": 0.85}, "random 4": {"probe_accuracy": 0.5}}
    (flag,) = warnings.of(results, model("new", "dense", 5, [5.0], probe_accuracy=[0.8]))
    assert flag.words == "linear probe 80.0%, PCA 4 85.0%"
    assert warnings.of(results, model("new", "dense", 3, [5.0], probe_accuracy=[0.8])) == []


def test_a_stack_is_warned_where_a_linear_classifier_is_better_and_where_it_is_unwell(results):
    assert warnings.of(results, results.items["stack_ae"]) == []
    [flag] = warnings.of(results, results.items["stack_random"])
    assert flag == ResultWarning("classification", "70.0% accuracy, a linear classifier on raw pixels 90.0%")
    results.items["stack_ae"].about["diagnoses"] = {"never_fell": "all labels: 2 at first, 2 at best"}
    [flag] = warnings.of(results, results.items["stack_ae"])
    assert flag == ResultWarning("health", "never fell: all labels: 2 at first, 2 at best")
    page = markdown.markdown(results)
    assert "- stack_ae: never fell" in page
    assert "| stack_ae¹ |" in page


def test_a_model_is_evaluated_at_the_nearest_level_of_its_noise(results):
    results.baselines["denoising"]["masking-0.5"] = results.baselines["denoising"]["masking-0.25"]
    assert results.trained_on(model("new", "dense", 3, [5.0], noise=["masking 0.3"])) == ["masking-0.25"]
    assert results.trained_on(model("new", "dense", 3, [5.0], noise=["masking 0.45", "salt 0.1"])) == ["masking-0.5"]


def test_the_control_is_the_random_stack_of_the_same_family(results):
    ours, random = results.items["stack_ae"], results.items["stack_random"]
    assert results.control(ours) is random
    assert results.control(random) is random
    ours.about["family"] = "stacked_conv"
    assert results.control(ours) is None


def test_the_best_filter(results):
    assert results.best_filter("masking-0.25") == ("non_local_means", 14.0)
