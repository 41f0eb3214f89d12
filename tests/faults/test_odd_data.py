"""Data as nobody wants them: training and measuring either work or say in one line why not.

A variational autoencoder; with `--faults` a model of every family.
"""

import importlib

import numpy as np
import pytest
from entries import FEW_IMAGES, in_epochs

from aelab.config import params

LARGEST = 16  # units, channels, numbers per code ... of a small model


def shrunk(value):
    """A family's knobs with no whole number above LARGEST."""
    if isinstance(value, (list, tuple)):
        return [shrunk(each) for each in value]
    return min(value, LARGEST) if type(value) is int else value


def of_each_family(group: str) -> dict[str, dict]:
    """Family -> the first entry of params.yaml that is of it, as small as can be."""
    found: dict[str, dict] = {}
    for name in params.load(group):
        entry = params.load(f"{group}.{name}")
        knobs = {key: shrunk(value) for key, value in entry.config.items()}
        found.setdefault(entry.family, {"family": entry.family, **knobs})
    return found


SMALL = of_each_family("models")
FEW = ("vae",)
LDA = "train lda: directions: lda needs classes whose images are not all alike"


def test_every_family_of_images_has_an_entry():
    modules = {family: importlib.import_module(f"aelab.models.{family}") for family in params.families()}
    images = {family for family, module in modules.items() if "image" in getattr(module, "KINDS", ("image",))}
    assert {*SMALL, *of_each_family("stacks")} == images
    assert set(modules) - images == {"conv1d", "table_dae"}


def shrink(tree) -> None:
    for section in ("train", "pretrain", "finetune"):
        tree[section] |= {**in_epochs(1), "batch_size": 20, "num_seeds": 1}
    tree["prepare"]["limit"] = 100
    tree["finetune"]["labels"] = ["all"]
    tree["corrupt"]["noises"] = ["masking 0.25"]
    tree["baselines"] |= FEW_IMAGES
    tree["evaluate"] |= {"iwae_samples": 2, "nll_images": 20}
    tree["models"] = SMALL | {
        "pca": {"family": "closed_form", "components": 32},
        "kl": {
            "family": "sparse",
            "widths": [20],
            "code_activation": "sigmoid",
            "loss": "mse",
            "penalty": "kl",
            "weight": 5,
            "rho": 0.01,
        },
        "wide": {"family": "dense", "widths": [2000]},
        "lda": {"family": "closed_form", "components": 9, "directions": "lda"},
        "wide_pca": {"family": "closed_form", "components": 785},
    }
    tree["stacks"] = {"stack": {"family": "stacked", "widths": [30, 20], "layer": "rbm"}}


@pytest.fixture
def small(prepared, spawner):
    prepared.change(shrink)
    spawner.works(prepared, "prepare")
    return prepared


@pytest.fixture
def models(request) -> tuple[str, ...]:
    return (*SMALL, "pca", "kl", "lda", "wide") if request.config.getoption("--faults") else FEW


def edit(lab, change, names=("learning/train", "learning/validation", "test")) -> None:
    """Let `change` alter images and labels of prepared splits."""
    for name in names:
        folder = lab.folder / "data/prepare" / name
        arrays = [np.load(folder / file) for file in ("x.npy", "y.npy")]
        for file, array in zip(("x.npy", "y.npy"), change(*arrays), strict=True):
            np.save(folder / file, array)


def line(lab, spawner, words: str) -> str:
    """What a stage says that is to fail in one line and leave data/ as it was."""
    before = lab.files()
    ended = spawner.run(lab, words)
    assert (ended.code, len(ended.errors.splitlines())) == (1, 1), ended.errors
    assert lab.files() == before
    return ended.errors.strip()


def test_one_class_only_works(small, spawner, models):
    edit(small, lambda images, labels: (images[labels == 3], labels[labels == 3]))
    for words in ("corrupt", "baselines"):
        spawner.works(small, words)
    for name in set(models) - {"lda"}:
        spawner.works(small, f"train {name}")
        spawner.works(small, f"evaluate train/{name}")
    said = line(small, spawner, "train lda")
    assert said.endswith("components: 9 is wrong; allowed: at most 0, the classes of the training images less one")
    for words in ("pretrain stack", "finetune stack", "evaluate finetune/stack"):
        spawner.works(small, words)


def test_batches_larger_than_the_data_and_codes_wider_than_the_images_work(small, spawner, models):
    small.change(lambda tree: tree["train"].update(batch_size=10**6))
    for words in ("corrupt", "baselines"):
        spawner.works(small, words)
    for name in {*models, "wide"} - {*FEW}:
        spawner.works(small, f"train {name}")
        spawner.works(small, f"evaluate train/{name}")
    said = line(small, spawner, "train wide_pca")
    assert said == "train wide_pca: components: 785 is wrong; allowed: at most 784"


def test_constant_images_are_trained_and_measures_that_need_variety_say_so(small, spawner, models):
    edit(small, lambda images, labels: (np.full_like(images, 255), labels))
    spawner.works(small, "corrupt")
    for name in set(models) - {"lda"}:
        spawner.works(small, f"train {name}")
    assert line(small, spawner, "train lda") == LDA
    said = line(small, spawner, "baselines")
    assert said == "baselines: the real images are all alike, so nothing can be compared with how they vary"


def test_one_image_is_trained_and_measured(small, spawner, models):
    edit(small, lambda images, labels: (images[:1], labels[:1]))
    spawner.works(small, "corrupt")
    for name in set(models) - {"lda"}:
        spawner.works(small, f"train {name}")
    assert "allowed: at most 0, the classes" in line(small, spawner, "train lda")
    spawner.works(small, "baselines")
    for name in set(models) - {"lda"}:
        spawner.works(small, f"evaluate train/{name}")


def test_measures_that_need_more_than_two_images_say_so(small, spawner):
    edit(small, lambda images, labels: (images[:2], np.arange(2)))
    spawner.works(small, "corrupt")
    said = line(small, spawner, "baselines")
    assert said == "baselines: neighbours: 5 is wrong; allowed: up to the 2 training images there are"
    small.change(lambda tree: tree["baselines"].update(neighbours=1))
    assert line(small, spawner, "baselines") == "baselines: 2 and 2 images are too few to compare; 4 are enough"


ODD = {
    "not a number": lambda images, labels: (np.where(images > 250, np.nan, images.astype(np.float32)), labels),
    "no image": lambda images, labels: (images[:0], labels[:0]),
    "a label too few": lambda images, labels: (images, labels[1:]),
    "no channels": lambda images, labels: (images[:, 0], labels),
}


@pytest.mark.parametrize("change", ODD.values(), ids=ODD)
def test_arrays_that_are_no_images_are_named_by_whoever_reads_them(change, small, spawner):
    edit(small, change, ("test", "learning/train"))
    said = line(small, spawner, "train dense")
    assert said.startswith("train dense: data/prepare/learning/train: holds x ")
    assert said.endswith("y int64 [N], N of 1 or more")
    assert line(small, spawner, "corrupt").startswith("corrupt: data/prepare/test: holds x ")


def test_no_epochs_are_out_of_range(small, spawner):
    small.change(lambda tree: tree["train"].update(in_epochs(0)))
    said = line(small, spawner, "train dense")
    assert said == "train dense: params.yaml: train.max_epochs: 0 is out of range; allowed: 1 or more"


def test_a_missing_test_split_is_named_by_those_who_read_it_and_missed_by_no_other(small, spawner):
    spawner.works(small, "corrupt")
    (small.folder / "data/prepare/test/x.npy").unlink()
    spawner.works(small, "train dense")
    for words in ("corrupt", "baselines"):
        said = line(small, spawner, words)
        assert said == f"{words}: data/prepare/test/x.npy: not found; `dvc repro` makes it"
