"""Trained models in use: from Python, from the command line, from MLflow, as ONNX. Nets are untrained but real."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from aelab import cli, exchange, serving
from aelab.core import checkpoints, params
from aelab.learning.classifier import Classifier
from aelab.models.base import Spec, registry
from aelab.tracking import models, store

ROOT = Path(__file__).parent.parent
SPEC = Spec((1, 28, 28), 10)
ENTRIES = [params.load(f"models.{name}").on("mnist5k") for name in params.load("models")]
FAMILIES = {entry.family: entry for entry in ENTRIES}
STACK = params.load("stacks.stack_conv").on("mnist5k")


def leave(folder: Path, name: str, family: str, config: dict, kind: str = "autoencoder") -> None:
    """What train (or finetune) and evaluate leave of a model, with two seeds of weights."""
    source = folder / "data" / ("finetune" if kind == "classifier" else "train") / name
    part = source / "all" if kind == "classifier" else source
    part.mkdir(parents=True)
    weights = {}
    for seed in range(2):
        model = registry.build(family, config, SPEC, torch.Generator().manual_seed(seed))
        model = Classifier(model, SPEC) if kind == "classifier" else model
        path = part / f"weights-{seed}.safetensors"
        checkpoints.save_weights(path, model.state_dict())
        weights[str(path.relative_to(source))] = checkpoints.md5(path)
    about = {"kind": kind, "family": family, "config": config, "noise": [], "shape": SPEC.shape, "classes": 10}
    about |= {"replicates": 2, "device": "cpu", "source": str(source.relative_to(folder)), "weights": weights}
    about |= {
        "diagnoses": {"dead_units": "3 of 8"},
        "metrics": {"sse": [3.0, 5.0], "psnr": [20.0, 22.0]},
        "history": [],
    }
    (folder / "data/evaluate" / name).mkdir(parents=True)
    checkpoints.save_json(folder / "data/evaluate" / name / "metrics.json", about)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lab")
    shutil.copy(ROOT / "params.yaml", folder)
    shutil.copy(ROOT / "dvc.yaml", folder)
    leave(folder, "ae", "dense", {"widths": [8]})
    leave(folder, "vae", "variational", {"hidden": [16], "latent": 3})
    leave(folder, "cvae", "conditional", {"hidden": [16], "latent": 3})
    leave(folder, "masked", "masked", FAMILIES["masked"].config)
    leave(folder, "stack", STACK.family, STACK.config, "classifier")
    return folder


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (7, 28, 28), np.uint8)


@pytest.fixture
def aelab(lab, tmp_path, monkeypatch):
    """Run a command in the lab; its exit code and words. Files go to tmp_path."""
    monkeypatch.chdir(lab)

    def run(*words):
        done = CliRunner().invoke(cli.app, [str(word) for word in words])
        return done.exit_code, done.output

    return run


def test_every_form_of_images_gives_the_same_codes(lab, images):
    ae = serving.load("ae", root=lab)
    codes = ae.encode(images)
    assert codes.shape == (7, 8)
    assert codes.dtype == np.float32
    for same in (
        images[:, None],
        images.reshape(7, -1),
        images / 255,
        (images / 255).astype(np.float32).reshape(7, -1),
    ):
        np.testing.assert_allclose(ae.encode(same), codes, atol=1e-6)
    np.testing.assert_allclose(ae.decode(codes), ae.rebuild(images), atol=1e-5)


def test_seeds_differ_and_one_that_is_not_there_is_named(lab, images):
    first, second = (serving.load("ae", seed, lab).encode(images) for seed in range(2))
    assert not np.allclose(first, second)
    with pytest.raises(ValueError, match=r"replicate: 2 is out of range; ae has 0 to 1"):
        serving.load("ae", 2, lab)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (
            np.zeros((3, 20, 20), np.uint8),
            r"images: \[3, 20, 20\]; ae takes \[N, 784\] or \[N, 28, 28\] or \[N, 1, 28, 28\]",
        ),
        (np.zeros((0, 28, 28)), r"images: \[0, 28, 28\]"),
        (np.zeros(784), r"images: \[784\]"),
        (np.full((1, 784), 255.0), "values outside 0 to 1"),
        (np.full((1, 784), np.nan), "values outside 0 to 1"),
        (np.full((1, 784), "a"), "images: <U1"),
    ],
)
def test_wrong_images_are_refused(lab, images, words):
    with pytest.raises(ValueError, match=words):
        serving.load("ae", root=lab).encode(images)


def test_what_a_model_cannot_do_it_says(lab, images):
    ae, stack, masked = (serving.load(name, root=lab) for name in ("ae", "stack", "masked"))
    with pytest.raises(ValueError, match="ae: has no prior"):
        ae.sample(3)
    with pytest.raises(ValueError, match="ae: no classifier"):
        ae.classify(images)
    with pytest.raises(ValueError, match="stack: a classifier"):
        stack.encode(images)
    with pytest.raises(ValueError, match="masked: its codes alone decode to nothing"):
        masked.decode(masked.encode(images))
    with pytest.raises(ValueError, match=r"codes: \[2, 9\]; ae takes \[N, 8\]"):
        ae.decode(np.zeros((2, 9)))
    with pytest.raises(
        ValueError, match=r"vea: no such model \(did you mean vae\?\); there are: ae, cvae, masked, stack, vae"
    ):
        serving.load("vea", root=lab)
    assert stack.classify(images).shape == (7,)


def test_a_model_that_is_told_the_class_asks_for_it(lab, images):
    cvae = serving.load("cvae", root=lab)
    assert cvae.told
    assert not serving.load("vae", root=lab).told
    with pytest.raises(ValueError, match="condition: None"):
        cvae.encode(images)
    for labels in (np.arange(6), np.full(7, 10), np.zeros(7)):
        with pytest.raises(ValueError, match="allowed: 7 whole numbers below 10"):
            cvae.encode(images, labels)
    assert not np.allclose(cvae.decode(np.zeros((1, 3)), [0]), cvae.decode(np.zeros((1, 3)), [1]))


def test_samples_depend_on_the_seed_alone(lab):
    vae = serving.load("vae", root=lab)
    np.testing.assert_array_equal(vae.sample(4, seed=1), vae.sample(4, seed=1))
    assert not np.array_equal(vae.sample(4, seed=1), vae.sample(4, seed=2))


def test_other_weights_are_never_served(lab, tmp_path):
    shutil.copytree(lab, tmp_path / "lab")
    shutil.copy(
        tmp_path / "lab/data/train/ae/weights-1.safetensors", tmp_path / "lab/data/train/ae/weights-0.safetensors"
    )
    for command in (["git", "init", "-q"], ["dvc", "init", "-q"]):
        subprocess.run(command, cwd=tmp_path / "lab", check=True)
    with pytest.raises(FileNotFoundError, match="other weights lie there"):
        serving.load("ae", root=tmp_path / "lab")
    md5 = json.loads((lab / "data/evaluate/ae/metrics.json").read_text())["weights"]["weights-0.safetensors"]
    kept = tmp_path / "lab/.dvc/cache/files/md5" / md5[:2] / md5[2:]
    kept.parent.mkdir(parents=True)
    shutil.copy(lab / "data/train/ae/weights-0.safetensors", kept)
    assert serving.load("ae", root=tmp_path / "lab").width == 8, "DVC's cache has them"


def test_pictures_go_in_and_out(aelab, images, tmp_path):
    for i, image in enumerate(images[:2]):
        Image.fromarray(image).save(tmp_path / f"{i}.png")
    code, said = aelab("encode", tmp_path / "0.png", tmp_path / "1.png", "-m", "ae", "-o", tmp_path / "codes.npz")
    assert (code, said.strip()) == (0, f"{tmp_path}/codes.npz: 2 codes of 8 numbers, by ae")
    codes = np.load(tmp_path / "codes.npz")["codes"]
    np.testing.assert_allclose(codes, serving.load("ae").encode(images[:2]), atol=1e-6)
    assert aelab("decode", tmp_path / "codes.npz", "-m", "ae", "-o", tmp_path / "back.npz")[0] == 0
    assert np.load(tmp_path / "back.npz")["images"].shape == (2, 1, 28, 28)
    assert aelab("denoise", tmp_path / "0.png", "-m", "ae", "-o", tmp_path / "clean.png")[0] == 0
    assert Image.open(tmp_path / "clean.png").size == (28, 28)
    assert aelab("sample", "-m", "vae", "-n", 7, "-o", tmp_path / "new/sheet.png")[0] == 0
    assert Image.open(tmp_path / "new/sheet.png").size == (3 * 30 - 2, 3 * 30 - 2)


def test_labels_of_an_npz_reach_a_model_that_is_told_them(aelab, images, tmp_path):
    np.savez(tmp_path / "some.npz", images=images, labels=np.arange(7))
    assert aelab("encode", tmp_path / "some.npz", "-m", "cvae", "-o", tmp_path / "codes.npz")[0] == 0
    want = serving.load("cvae").encode(images, np.arange(7))
    np.testing.assert_array_equal(np.load(tmp_path / "codes.npz")["codes"], want)
    assert aelab("encode", tmp_path / "some.npz", "-m", "ae", "-o", tmp_path / "codes.npz")[0] == 0


@pytest.mark.parametrize(
    ("words", "wanted"),
    [
        (["encode", "{tmp}/none.png", "-m", "ae"], "aelab encode: {tmp}/none.png: No such file or directory"),
        (
            ["encode", "{tmp}/small.png", "-m", "ae"],
            "small.png: 20 x 10 pixels; the model takes 28 x 28, so scale it first",
        ),
        (["encode", "{tmp}/text.png", "-m", "ae"], "text.png: not a readable picture"),
        (["encode", "{tmp}/text.npz", "-m", "ae"], "text.npz: not a readable npz"),
        (["encode", "{tmp}/text.csv", "-m", "ae"], "text.csv: unknown kind of file; allowed: .png, "),
        (["encode", "{tmp}/two.npz", "-m", "ae"], "two.npz: no array 'images'; there are: a, b"),
        (
            ["encode", "{tmp}/good.npz", "-m", "ae", "-o", "{tmp}/codes.csv"],
            "codes.csv: unknown kind of file; allowed: .npz",
        ),
        (
            ["encode", "{tmp}/good.npz", "-m", "cvae"],
            "cvae: must be told the class; give one npz with `images` and `labels`",
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
    np.savez(tmp_path / "many.npz", images=np.zeros((101, 784)))
    code, said = aelab(*(word.format(tmp=tmp_path) for word in words))
    assert code == 1
    assert wanted.format(tmp=tmp_path) in said
    assert len(said.strip().splitlines()) == 1


def test_a_pickle_is_not_opened(aelab, tmp_path):
    np.savez(tmp_path / "trap.npz", images=np.array([{"a": 1}], dtype=object))
    code, said = aelab("encode", tmp_path / "trap.npz", "-m", "ae")
    assert code == 1
    assert "trap.npz: not a readable npz" in said


def test_show_tells_what_it_is_and_how_good(aelab, lab):
    (lab / "metrics/figures").mkdir(parents=True, exist_ok=True)
    for name in ("reconstructions", "rate", "epochs"):
        (lab / f"metrics/figures/{name}.png").touch()
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
    assert "rate.png" not in said, "no list of params.yaml names the model for it"


def test_a_sheet_keeps_every_image(images):
    sheet = exchange.sheet(images[:, None])
    assert sheet.shape == (88, 88)
    np.testing.assert_array_equal(sheet[30:58, 60:88], images[5])


@pytest.fixture(scope="module")
def registry_of_models(lab, tmp_path_factory):
    """A store in which the lab's models are logged, ae and vae as champions."""
    import mlflow

    uri = f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db"
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT")}
    os.environ |= {"MLFLOW_TRACKING_URI": uri, "DVC_ROOT": str(lab)}
    client, experiment = store.connect("models")
    run = client.create_run(experiment).info.run_id
    for name, task in (("ae", "encoder"), ("vae", "denoiser"), ("vae", "denoiser"), ("stack", ""), ("cvae", "")):
        about = serving.described(name, lab)
        numbers, _ = about.pop("metrics"), about.pop("history")
        models.log(client, experiment, run, models.Card(about, numbers, task, "20 dB" if task else ""))
    mlflow.set_tracking_uri(uri)
    yield client
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


def test_mlflow_gives_codes_images_and_classes(registry_of_models, lab, images):
    import mlflow
    import pandas as pd

    encoder, denoiser = (mlflow.pyfunc.load_model(f"models:/{name}@champion") for name in ("encoder", "denoiser"))
    want = serving.load("ae", root=lab).encode(images)
    np.testing.assert_allclose(encoder.predict(images), want, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(pd.DataFrame(images.reshape(7, -1))), want, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(pd.DataFrame(images.reshape(7, -1) / 255)), want, atol=1e-5)
    clean = denoiser.predict(images)
    np.testing.assert_allclose(clean, serving.load("vae", root=lab).rebuild(images), atol=1e-5)
    np.testing.assert_allclose(
        denoiser.predict(images, params={"output": "codes"}), serving.load("vae", root=lab).encode(images), atol=1e-5
    )
    assert encoder.metadata.signature.inputs.inputs[0].shape == (-1, 1, 28, 28)
    for wrong in (images[:, :20], images[:0], images.reshape(7, -1).astype(float)):
        with pytest.raises(ValueError, match="images: "):
            encoder.predict(wrong)
    with pytest.raises(ValueError, match="output: 'sound' is unknown; allowed: images, codes, classes"):
        encoder.predict(images, params={"output": "sound"})


def test_logged_models_are_cards_without_weights(registry_of_models):
    import mlflow

    found = {each.name: each for each in registry_of_models.search_logged_models(["1"])}
    assert set(found) == {"encoder", "denoiser", "stack", "cvae"}
    assert "sse | 4 ± 1.4" in found["stack"].tags["mlflow.note.content"]
    folder = Path(mlflow.artifacts.download_artifacts(found["cvae"].artifact_location))
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert "card.md" in files
    assert not [name for name in files if name.endswith((".pkl", ".safetensors", ".pth"))]
    served = mlflow.pyfunc.load_model(found["stack"].model_uri)
    assert served.predict(np.zeros((2, 784), np.uint8)).shape == (2,)
    cvae = mlflow.pyfunc.load_model(found["cvae"].model_uri)
    assert cvae.predict(np.zeros((2, 784), np.uint8), params={"labels": [1, 2]}).shape == (2, 1, 28, 28)


def test_the_same_champion_twice_is_one_version(registry_of_models):
    assert len(registry_of_models.search_model_versions("name = 'denoiser'")) == 1
    assert registry_of_models.get_model_version_by_alias("denoiser", "champion").tags["model"] == "vae"


def test_mlflow_serves_a_champion_on_this_machine_alone(registry_of_models, lab, images, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", "models:/encoder@champion"]
    command += ["--env-manager", "local", "--host", "127.0.0.1", "--port", port]
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    with open(tmp_path / "log", "wb") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        for _ in range(240):
            assert server.poll() is None, (tmp_path / "log").read_text()[-2000:]
            with contextlib.suppress(OSError):
                assert ask(port, "ping") == b"\n"
                break
            time.sleep(0.5)
        codes = json.loads(ask(port, "invocations", {"inputs": (images / 255).tolist()}))["predictions"]
        np.testing.assert_allclose(codes, serving.load("ae", root=lab).encode(images), atol=1e-5)
        with pytest.raises(urllib.error.HTTPError, match="400"):
            ask(port, "invocations", {"inputs": [[1, 2, 3]]})
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=60)


def ask(port: str, path: str, question: dict | None = None) -> bytes:
    data = json.dumps(question).encode() if question else None
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return answer.read()


def test_the_command_line_takes_champions(registry_of_models, aelab, images, tmp_path):
    np.savez(tmp_path / "some.npz", images=images)
    code, said = aelab("encode", tmp_path / "some.npz", "-o", tmp_path / "codes.npz")
    assert (code, said.strip()) == (0, f"{tmp_path}/codes.npz: 7 codes of 8 numbers, by ae")
    assert "# vae" in aelab("show", "denoiser@champion")[1]
    code, said = aelab("sample", "-o", tmp_path / "x.png")
    assert code == 1
    assert "generator@champion: not in the registry; `aelab sync` fills it" in said
