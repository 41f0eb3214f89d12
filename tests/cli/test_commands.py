"""Trained models in use, from the command line."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import trained
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from typer.testing import CliRunner

from aelab.cli import app
from aelab.inference import predictor


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    return trained.project(tmp_path_factory.mktemp("lab"))


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)


@pytest.fixture
def aelab(lab, tmp_path, monkeypatch):
    """Run a command in the lab; its exit code and words. Files go to tmp_path."""
    monkeypatch.chdir(lab)

    def run(*words):
        done = CliRunner().invoke(app.app, [str(word) for word in words])
        return done.exit_code, done.output

    return run


def test_pictures_go_in_and_out(aelab, images, tmp_path):
    for i, image in enumerate(images[:2]):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    code, said = aelab("encode", tmp_path / "0.png", tmp_path / "1.png", "-m", "ae", "-o", tmp_path / "codes.npz")
    assert (code, said.strip()) == (0, f"{tmp_path}/codes.npz: 2 codes of 8 numbers, by ae")
    codes = np.load(tmp_path / "codes.npz")["codes"]
    np.testing.assert_allclose(codes, predictor.load("ae").encode(images[:2]), atol=1e-6)
    assert aelab("decode", tmp_path / "codes.npz", "-o", tmp_path / "back.npz")[0] == 0
    assert np.load(tmp_path / "back.npz")["images"].shape == (2, 1, 28, 28)
    assert aelab("denoise", tmp_path / "0.png", "-m", "ae", "-o", tmp_path / "clean.png")[0] == 0
    assert Image.open(tmp_path / "clean.png").size == (28, 28)
    assert aelab("sample", "-m", "vae", "-n", 7, "-o", tmp_path / "new/sheet.png")[0] == 0
    assert Image.open(tmp_path / "new/sheet.png").size == (3 * 30 - 2, 3 * 30 - 2)


def test_whole_numbers_of_two_types_go_together(aelab, images, tmp_path):
    Image.fromarray(images[0]).save(tmp_path / "0.png")
    np.savez(tmp_path / "rest.npz", images=images[1:].astype(np.int64))
    assert aelab("encode", tmp_path / "0.png", tmp_path / "rest.npz", "-m", "ae", "-o", tmp_path / "codes.npz")[0] == 0
    codes = np.load(tmp_path / "codes.npz")["codes"]
    np.testing.assert_allclose(codes, predictor.load("ae").encode(images), atol=1e-6)
    np.savez(tmp_path / "floats.npz", images=images / 255)
    code, said = aelab("encode", tmp_path / "rest.npz", tmp_path / "floats.npz", "-m", "ae")
    assert (code, said) == (
        1,
        "aelab encode: images: whole numbers and fractions in one call; give files of one kind\n",
    )


def test_labels_of_an_npz_reach_a_model_that_is_given_them(aelab, images, tmp_path):
    np.savez(tmp_path / "some.npz", images=images, labels=np.arange(7))
    assert aelab("encode", tmp_path / "some.npz", "-m", "cvae", "-o", tmp_path / "codes.npz")[0] == 0
    want = predictor.load("cvae").encode(images, np.arange(7))
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npz")["codes"], want)
    assert aelab("decode", tmp_path / "codes.npz", "-o", tmp_path / "back.npz")[0] == 0
    back = predictor.load("cvae").rebuild(images, np.arange(7))
    np.testing.assert_allclose(np.load(tmp_path / "back.npz")["images"], back, atol=1e-6)
    assert aelab("encode", tmp_path / "some.npz", "-m", "ae", "-o", tmp_path / "codes.npz")[0] == 0


def test_codes_are_decoded_by_the_model_that_made_them(aelab, images, tmp_path):
    file, out = tmp_path / "codes.npz", tmp_path / "back.npz"
    np.savez(tmp_path / "some.npz", images=images)
    assert aelab("encode", tmp_path / "some.npz", "-m", "vae", "--replicate", 1, "-o", file)[0] == 0
    for options in ((), ("-m", "vae"), ("--replicate", 1)):
        assert aelab("decode", file, *options, "-o", out) == (0, f"{out}: 7 images, by vae\n")
        back = predictor.load("vae", 1).rebuild(images)
        np.testing.assert_allclose(np.load(out)["images"], back, atol=1e-6)
    for options, other in ((("-m", "ae"), "ae (replicate 1)"), (("--replicate", 0), "vae (replicate 0)")):
        said = f"{file}: codes of vae (replicate 1), which {other} cannot decode; leave out -m and --replicate"
        assert aelab("decode", file, *options) == (1, f"aelab decode: {said}\n")


def test_codes_of_weights_that_are_gone_are_not_decoded_by_newer_ones(aelab, lab, images, tmp_path):
    np.savez(tmp_path / "some.npz", images=images)
    trained.leave(lab, "short", "dense", {"widths": [6, 4]})
    assert aelab("encode", tmp_path / "some.npz", "-m", "short", "-o", tmp_path / "codes.npz")[0] == 0
    trained.leave(lab, "short", "dense", {"widths": [5, 4]})
    said = f"{tmp_path}/codes.npz: codes of short before it was trained again; encode the images again"
    assert aelab("decode", tmp_path / "codes.npz") == (1, f"aelab decode: {said}\n")
    shutil.rmtree(lab / "data/evaluate/short")


def test_codes_of_the_user_s_own_are_decoded_by_the_model_asked_for(aelab, tmp_path):
    codes = np.random.default_rng(0).normal(size=(3, 3))
    np.savez(tmp_path / "own.npz", codes=codes)
    assert aelab("decode", tmp_path / "own.npz", "-m", "vae", "-o", tmp_path / "back.npz")[0] == 0
    np.testing.assert_allclose(np.load(tmp_path / "back.npz")["images"], predictor.load("vae").decode(codes), atol=1e-6)
    code, said = aelab("decode", tmp_path / "own.npz", "-m", "cvae")
    assert (code, said.count("\n")) == (1, 1)
    assert "own.npz: cvae needs labels; give `labels` beside `codes`" in said
    np.savez(tmp_path / "own.npz", codes=codes, labels=np.arange(3))
    assert aelab("decode", tmp_path / "own.npz", "-m", "cvae", "-o", tmp_path / "back.npz")[0] == 0


NO_DECODER, NO_PRIOR = "stack: a classifier, it has no decoder", "has no prior to draw from"


@pytest.mark.parametrize(
    ("model", "command", "wanted"),
    [
        *((model, "encode", "") for model in ("ae", "vae", "masked", "lstm", "vq_vae", "pca", "stack")),
        *((model, "decode", "") for model in ("ae", "vae", "cvae", "lstm", "vq_vae", "pca")),
        *((model, "denoise", "") for model in ("ae", "vae", "masked", "lstm", "vq_vae", "pca")),
        *((model, "sample", "") for model in ("vae", "cvae", "vq_vae", "pca")),
        *((model, "show", "") for model in ("cvae", "masked", "stack")),
        ("cvae", "encode", "cvae: needs labels; give one npz with `images` and `labels`"),
        ("cvae", "denoise", "cvae: needs labels; give one npz with `images` and `labels`"),
        (
            "masked",
            "decode",
            "masked: its codes alone decode to nothing; models that can decode: ae, cvae, lstm, pca, ",
        ),
        ("stack", "decode", f"{NO_DECODER}; models that can decode: ae, cvae, lstm, pca, vae, vq_vae"),
        ("stack", "denoise", f"{NO_DECODER}; models that can denoise: ae, cvae, lstm, masked, pca, vae, vq_vae"),
        ("stack", "sample", f"stack: {NO_PRIOR}; models that can sample: cvae, pca, vae, vq_vae"),
        *(
            (model, "sample", f"{model}: {NO_PRIOR}; models that can sample: cvae")
            for model in ("ae", "masked", "lstm")
        ),
    ],
)
def test_every_command_works_with_a_model_or_says_why_not(aelab, images, tmp_path, model, command, wanted):
    np.savez(tmp_path / "images.npz", images=images)
    width = predictor.load(model).width
    np.savez(tmp_path / "codes.npz", codes=np.zeros((7, width), np.float32), labels=np.arange(7))
    file = {"encode": ["images.npz"], "denoise": ["images.npz"], "decode": ["codes.npz"]}.get(command, [])
    words = [command, *(tmp_path / name for name in file), *([model] if command == "show" else ["-m", model])]
    code, said = aelab(*words, *([] if command == "show" else ["-o", tmp_path / "out.npz"]))
    assert (code, said.startswith(f"aelab {command}: {wanted}")) == ((1, True) if wanted else (0, False)), said
    assert not wanted or said.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["encode", "{tmp}/none.png", "-m", "ae"], "aelab encode: {tmp}/none.png: No such file or directory"),
        (
            ["encode", "{tmp}/small.png", "-m", "ae"],
            "small.png: 20 x 10 pixels; the model takes 28 x 28, so scale it first",
        ),
        (["encode", "{tmp}/text.png", "-m", "ae"], "text.png: not a readable picture"),
        (["encode", "{tmp}/text.npz", "-m", "ae"], "text.npz: not readable as npz"),
        (["encode", "{tmp}/text.csv", "-m", "ae"], "text.csv: unknown kind of file; allowed: .png, "),
        (["encode", "{tmp}/two.npz", "-m", "ae"], "two.npz: no array 'images'; there are: 'a', 'b'"),
        (["decode", "{tmp}/two.npz", "-m", "ae"], "two.npz: no array 'codes'; there are: 'a', 'b'"),
        (["decode", "{tmp}/odd.npz"], "odd.npz: model, replicate, weights are not as `aelab encode` writes them"),
        (["decode", "{tmp}/gone.npz"], "gone: no such model; there are: ae, "),
        (
            ["encode", "{tmp}/good.npz", "-m", "ae", "-o", "{tmp}/codes.csv"],
            "codes.csv: unknown kind of file; allowed: .npz",
        ),
        (
            ["encode", "{tmp}/good.npz", "-m", "cvae"],
            "cvae: needs labels; give one npz with `images` and `labels`",
        ),
        (
            ["denoise", "{tmp}/many.npz", "-m", "ae", "-o", "{tmp}/x.png"],
            "101 images; a sheet holds 100, an .npz any number",
        ),
        (["sample", "-m", "ae"], "ae: has no prior to draw from"),
        (["show", "nothing"], "nothing: no such model; there are: "),
    ],
)
def test_mistakes_end_in_one_line(aelab, images, tmp_path, words, wanted):
    Image.new("L", (20, 10)).save(tmp_path / "small.png")
    for name in ("text.png", "text.npz", "text.csv"):
        (tmp_path / name).write_text("hello")
    np.savez(tmp_path / "good.npz", images=images)
    np.savez(tmp_path / "two.npz", a=images, b=images)
    np.savez(tmp_path / "odd.npz", codes=np.zeros((1, 8)), model=np.array(["ae"]))
    np.savez(tmp_path / "gone.npz", codes=np.zeros((1, 8)), model="gone", replicate=0, weights="")
    np.savez(tmp_path / "many.npz", images=np.zeros((101, 784)))
    code, said = aelab(*(word.format(tmp=tmp_path) for word in words))
    assert code == 1
    assert wanted.format(tmp=tmp_path) in said
    assert len(said.strip().splitlines()) == 1


def test_a_pickle_is_not_opened(aelab, tmp_path):
    np.savez(tmp_path / "trap.npz", images=np.array([{"a": 1}], dtype=object))
    code, said = aelab("encode", tmp_path / "trap.npz", "-m", "ae")
    assert code == 1
    assert "trap.npz: not readable as npz" in said


def test_show_tells_what_it_is_and_how_good(aelab, lab):
    (lab / "metrics/figures").mkdir(parents=True, exist_ok=True)
    for name, shown in {"reconstructions": "", "rate": "cvae", "epochs": "ae vae"}.items():
        key = PngInfo()
        key.add_text("Models", shown)
        Image.new("L", (1, 1)).save(lab / f"metrics/figures/{name}.png", pnginfo=key)
    code, said = aelab("show", "vae")
    assert code == 0
    for words in (
        "# vae",
        "Kingma",
        "sse | 4 ± 1.4",
        "dead_units",
        "metrics/figures/reconstructions.png",
        "figures/epochs.png",
    ):
        assert words in said
    assert "rate.png" not in said, "it does not show the model"
