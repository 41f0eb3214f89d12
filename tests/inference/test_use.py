"""Trained models in use, from Python."""

from __future__ import annotations

import json
import shutil
import subprocess

import numpy as np
import pytest
import trained

from aelab.inference import file_io, predictor


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return trained.project(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)


def test_every_form_of_images_gives_the_same_codes(lab, images):
    ae = predictor.load("ae", root=lab)
    codes = ae.encode(images)
    assert codes.shape == (7, 8)
    assert codes.dtype == np.float32
    for same in (
        images[:, None],
        images.reshape(7, -1),
        images.astype(np.int64),
        images.astype(np.int16).reshape(7, -1),
        images / 255,
        (images / 255).astype(np.float32).reshape(7, -1),
    ):
        np.testing.assert_allclose(ae.encode(same), codes, atol=1e-6)
    np.testing.assert_allclose(ae.decode(codes), ae.rebuild(images), atol=1e-5)


def test_whole_numbers_are_pixels_of_255_also_where_all_are_0_or_1(lab, images):
    ae, dark = predictor.load("ae", root=lab), images // 128
    np.testing.assert_allclose(ae.encode(dark.astype(np.int64)), ae.encode(dark / 255), atol=1e-6)
    np.testing.assert_allclose(ae.encode(dark.astype(bool)), ae.encode(dark.astype(float)), atol=1e-6)


def test_seeds_differ_and_one_that_is_not_there_is_named(lab, images):
    first, second = (predictor.load("ae", seed, lab).encode(images) for seed in range(2))
    assert not np.allclose(first, second)
    with pytest.raises(ValueError, match=r"replicate: 2 is out of range; ae has 0 to 1"):
        predictor.load("ae", 2, lab)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (
            np.zeros((3, 20, 20), np.uint8),
            r"images: \[3, 20, 20\]; ae takes \[N, 784\] or \[N, 28, 28\] or \[N, 1, 28, 28\]",
        ),
        (np.zeros((0, 28, 28)), r"images: \[0, 28, 28\]"),
        (np.zeros(784), r"images: \[784\]"),
        (np.full((1, 784), 255.0), "images: float64 from 255.0 to 255.0; allowed: whole numbers 0 to 255, or floats 0"),
        (np.full((1, 784), np.nan), "images: float64 from nan to nan"),
        (np.full((1, 784), 256), "images: int64 from 256 to 256"),
        (np.full((1, 784), -1), "images: int64 from -1 to -1"),
        (np.full((1, 784), "a"), "images: <U1"),
    ],
)
def test_wrong_images_are_refused(lab, images, words):
    with pytest.raises(ValueError, match=words):
        predictor.load("ae", root=lab).encode(images)


def test_what_a_model_cannot_do_it_says(lab, images):
    ae, stack, masked = (predictor.load(name, root=lab) for name in ("ae", "stack", "masked"))
    with pytest.raises(ValueError, match="ae: has no prior"):
        ae.sample(3)
    with pytest.raises(ValueError, match="ae: no classifier"):
        ae.classify(images)
    for cannot in (stack.rebuild, lambda x: stack.decode(stack.encode(x))):
        with pytest.raises(ValueError, match="stack: a classifier, it has no decoder"):
            cannot(images)
    with pytest.raises(ValueError, match="masked: its codes alone decode to nothing"):
        masked.decode(masked.encode(images))
    with pytest.raises(ValueError, match=r"codes: \[2, 9\]; ae takes \[N, 8\]"):
        ae.decode(np.zeros((2, 9)))
    for wrong in (np.full((2, 8), np.nan), np.full((2, 8), "a")):
        with pytest.raises(ValueError, match=r"codes: \S+, not all of them finite numbers"):
            ae.decode(wrong)
    words = r"vea: no such model \(did you mean vae\?\); there are: ae, cvae, .*, vq_vae; or a champion such as "
    with pytest.raises(ValueError, match=words):
        predictor.load("vea", root=lab)


def test_the_code_of_a_stack_is_its_last_hidden_layer(lab, images):
    stack = predictor.load("stack", root=lab)
    codes = stack.encode(images)
    assert codes.shape == (7, stack.width)
    logits = codes @ stack.model.top.weight.detach().numpy().T + stack.model.top.bias.detach().numpy()
    np.testing.assert_array_equal(stack.classify(images), logits.argmax(1))


def test_a_model_that_is_given_the_class_asks_for_it(lab, images):
    cvae = predictor.load("cvae", root=lab)
    assert cvae.needs_labels
    assert not predictor.load("vae", root=lab).needs_labels
    assert not predictor.load("stack", root=lab).needs_labels
    for missing in (lambda: cvae.encode(images), lambda: cvae.decode(np.zeros((7, 3)))):
        with pytest.raises(ValueError, match="cvae: needs the labels of the images; `labels` allowed: 7 whole"):
            missing()
    for labels in (np.arange(6), np.full(7, 10), np.zeros(7)):
        with pytest.raises(ValueError, match="allowed: 7 whole numbers below 10"):
            cvae.encode(images, labels)
    assert not np.allclose(cvae.decode(np.zeros((1, 3)), [0]), cvae.decode(np.zeros((1, 3)), [1]))


def test_samples_depend_on_the_seed_alone(lab):
    vae = predictor.load("vae", root=lab)
    np.testing.assert_array_equal(vae.sample(4, seed=1), vae.sample(4, seed=1))
    assert not np.array_equal(vae.sample(4, seed=1), vae.sample(4, seed=2))


def test_other_weights_are_never_served(lab, tmp_path):
    shutil.copytree(lab, tmp_path / "lab")
    shutil.copy(
        tmp_path / "lab/data/train/ae/weights-1.safetensors", tmp_path / "lab/data/train/ae/weights-0.safetensors"
    )
    with pytest.raises(FileNotFoundError, match="other weights lie there"):
        predictor.load("ae", root=tmp_path / "lab")
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path / "lab", check=True)
    with pytest.raises(FileNotFoundError, match="other weights lie there"):
        predictor.load("ae", root=tmp_path / "lab")
    md5 = json.loads((lab / "data/evaluate/ae/metrics.json").read_text())["weights"]["weights-0.safetensors"]
    kept = tmp_path / "lab/.dvc/cache/files/md5" / md5[:2] / md5[2:]
    kept.parent.mkdir(parents=True)
    shutil.copy(lab / "data/train/ae/weights-0.safetensors", kept)
    assert predictor.load("ae", root=tmp_path / "lab").width == 8, "DVC's cache has them"


def test_a_sheet_keeps_every_image(images):
    sheet = file_io.sheet(images[:, None])
    assert sheet.shape == (88, 88)
    np.testing.assert_array_equal(sheet[30:58, 60:88], images[5])
