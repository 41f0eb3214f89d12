"""Trained models in MLflow: loaded, served, by their names in the registry, and as README and docs say."""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import torch
import trained
from conftest import PATIENCE, wait_for
from PIL import Image
from typer.testing import CliRunner

from aelab.cli import app
from aelab.data import splits, storage
from aelab.inference import file_io, predictor, uses
from aelab.tracking import models
from aelab.uses import anomaly, codec

BIN = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
PORT = "5001"  # in the docs


@pytest.fixture(scope="module")
def lab(tmp_path_factory, digits):
    """A project with real test digits."""
    folder = trained.project(tmp_path_factory.mktemp("lab"))
    (folder / "data/prepare").mkdir()
    x, y = (digits[0] * 255).round().to(torch.uint8).numpy(), digits[1].numpy()
    splits.save(folder / "data/prepare/test", (x[:150], y[:150]))
    learning = folder / splits.LEARNING
    learning.mkdir()
    for name, rows in (("train", slice(150, 450)), ("validation", slice(450, 600))):
        splits.save(learning / name, (x[rows], y[rows]))
    storage.save_json(learning / "meta.json", {"classes": [f"digit {i}" for i in range(10)]})
    for name in ("ae", "vq_vae"):
        model = predictor.load(name, root=folder).model
        made = codec.of_model(model, digits[0][150:450], 50.0)
        kept = {f"codec/{key}": array for key, array in made.codec.arrays.items()}
        storage.save_arrays(folder / "data/evaluate" / name / "arrays.npz", kept)
    Image.fromarray(splits.load("test", folder / "data/prepare").x[0, 0]).save(folder / "noisy.png")
    return folder


@pytest.fixture(scope="module")
def registry_of_models(lab):
    with trained.registered(lab) as client:
        yield client


@pytest.fixture
def images(lab):
    return splits.load("test", lab / "data/prepare").x[:7, 0]


@pytest.fixture
def aelab(lab, registry_of_models, monkeypatch):
    """Run a command in the lab; its exit code and words."""
    monkeypatch.chdir(lab)

    def run(*words):
        done = CliRunner().invoke(app.app, [str(word) for word in words])
        return done.exit_code, done.output

    return run


def blocks(file: str, heading: str) -> list[str]:
    """The indented blocks of a section of a document."""
    section = (trained.ROOT / file).read_text().split(f"\n## {heading}\n")[1].partition("\n## ")[0]
    found = re.findall(r"(?:^    .*\n|^\n(?=    ))+", section, re.MULTILINE)
    return [textwrap.dedent(block).strip() for block in found]


DOCUMENTED = [*blocks("README.md", "Use a model"), *blocks("docs/tracking.md", "Models")]
SNIPPETS = [block for block in DOCUMENTED if block.startswith("import mlflow")]
COMMANDS = [block for block in DOCUMENTED if block.startswith("aelab ")]
SERVE = next(block for block in DOCUMENTED if "mlflow models serve" in block)
ASK = next(block for block in DOCUMENTED if "curl" in block)


def test_every_documented_block_is_tried_here():
    assert sorted([*SNIPPETS, *COMMANDS, SERVE, ASK]) == sorted(DOCUMENTED)
    assert (len(SNIPPETS), len(COMMANDS)) == (2, 2)


@pytest.mark.parametrize("block", COMMANDS, ids=["readme", "tracking"])
def test_the_documented_commands_work_one_after_another(aelab, lab, images, block):
    for line in block.splitlines():
        words = shlex.split(line, comments=True)
        code, said = aelab(*words[1:])
        assert code == 0, (line, said)
    codes = file_io.read_codes(lab / "codes.npz")
    assert (codes.model, len(codes.codes)) == ("ae", 150)
    back = file_io.read_images([lab / "images.npz"], (1, 28, 28))[0]
    np.testing.assert_allclose(back[:7], predictor.load("ae", root=lab).rebuild(images), atol=1e-6)
    assert Image.open(lab / "clean.png").size == (28, 28)
    assert (lab / "onnx/decoder.onnx").stat().st_size > 0


@pytest.mark.parametrize("block", SNIPPETS, ids=["readme", "tracking"])
def test_the_documented_python_works(registry_of_models, lab, monkeypatch, block):
    monkeypatch.chdir(lab)
    names: dict = {}
    exec(block, names)
    want = predictor.load("ae" if block is SNIPPETS[0] else "vae", root=lab).encode(names["images"])
    np.testing.assert_allclose(names["codes"], want, atol=1e-5)
    assert "clean" not in names or names["clean"].shape == (5, 1, 28, 28)


@pytest.fixture(scope="module")
def port(registry_of_models, lab, tmp_path_factory):
    """The documented server, on a port that is free."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    assert f"--host 127.0.0.1 --port {PORT}" in SERVE
    environment = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")} | {"PATH": BIN}
    log = tmp_path_factory.mktemp("server") / "log"
    with open(log, "wb") as file:
        command = ["bash", "-c", SERVE.replace(PORT, port)]
        server = subprocess.Popen(command, cwd=lab, env=environment, stdout=file, stderr=file, start_new_session=True)
    try:

        def answers() -> bool:
            assert server.poll() is None, log.read_text()[-2000:]
            with contextlib.suppress(OSError):
                return ask(port, "ping") == b"\n"
            return False

        wait_for(answers)
        yield port
    finally:
        with contextlib.suppress(ProcessLookupError):  # it may have failed
            os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=PATIENCE)


def ask(port: str, path: str, question: str | None = None, kind: str = "application/json") -> bytes:
    data = question.encode() if question else None
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", data, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return answer.read()


def test_the_documented_questions_are_answered(port, lab, images):
    script = ASK.replace("curl ", "curl --silent --show-error --fail --noproxy 127.0.0.1 ")
    script = re.sub(r"(curl .*)", r"\1; echo", script.replace(PORT, port))
    done = subprocess.run(
        ["bash", "-ec", script], cwd=lab, env=os.environ | {"PATH": BIN}, capture_output=True, text=True, check=True
    )
    answers = [json.loads(line)["predictions"] for line in done.stdout.split("\n") if line]
    assert len(answers) == 2
    for codes in answers:
        np.testing.assert_allclose(codes, predictor.load("ae", root=lab).encode(images[:1]), atol=1e-5)


FORMS = ("inputs", "instances", "dataframe_split", "dataframe_records", "csv")


@pytest.mark.parametrize(("form", "scale"), [*itertools.product(FORMS, (1, 255))])
def test_every_form_of_question_is_taken_with_whole_numbers_and_floats(port, lab, images, form, scale):
    import pandas as pd

    frame = pd.DataFrame((images if scale == 1 else images / 255).reshape(7, -1))
    frame.columns = [f"pixel{i}" for i in range(784)]
    if form == "csv":
        answer = ask(port, "invocations", frame.to_csv(index=False), "text/csv")
    else:
        asked = {"inputs": frame.to_numpy().tolist(), "instances": frame.to_numpy().tolist()}
        asked |= {f"dataframe_{orient}": frame.to_dict(orient) for orient in ("split", "records")}
        answer = ask(port, "invocations", json.dumps({form: asked[form]}))
    codes = json.loads(answer)["predictions"]
    np.testing.assert_allclose(codes, predictor.load("ae", root=lab).encode(images), atol=1e-5)


def test_the_server_gives_what_it_is_asked_for(port, lab, images):
    question = {"instances": images.tolist(), "params": {"output": "images"}}
    found = np.array(json.loads(ask(port, "invocations", json.dumps(question)))["predictions"])
    np.testing.assert_allclose(found, predictor.load("ae", root=lab).rebuild(images), atol=1e-5)


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ({"inputs": [[1, 2, 3]]}, "images: [1, 3]; ae takes [N, 784] or [N, 28, 28] or [N, 1, 28, 28]"),
        ({"inputs": [[256] * 784]}, "images: int64 from 256 to 256; allowed: whole numbers 0 to 255, or floats 0 to 1"),
        ({"instances": [[2.5] * 784]}, "images: float64 from 2.5 to 2.5; allowed: whole numbers 0 to 255, or floats"),
        ({"inputs": [["a"] * 784]}, "images: <U1; allowed: whole numbers 0 to 255, or floats 0 to 1"),
        ({"inputs": {"image": [0]}}, "images: []; ae takes [N, 784]"),
        ({"instances": [{"image": [0] * 784}]}, "images: []; ae takes [N, 784]"),
        ({"dataframe_records": [{"image": [0] * 784}]}, "images: [1, 1]; ae takes [N, 784]"),
        ({"inputs": [[0] * 784], "params": {"output": "sound"}}, "output: 'sound' is unknown; allowed: images, codes"),
    ],
)
def test_a_wrong_question_is_answered_with_one_line(port, question, words):
    with pytest.raises(urllib.error.HTTPError, match="400") as error:
        ask(port, "invocations", json.dumps(question))
    answer = json.load(io.BytesIO(error.value.read()))
    assert answer.keys() == {"error_code", "message"}
    assert answer["message"].startswith(words)
    assert "\n" not in answer["message"]


def test_mlflow_gives_codes_images_and_classes(registry_of_models, lab, images):
    import mlflow
    import pandas as pd

    encoder, denoiser = (mlflow.pyfunc.load_model(f"models:/{name}@champion") for name in ("encoder", "denoiser"))
    want = predictor.load("ae", root=lab).encode(images)
    np.testing.assert_allclose(encoder.predict(images), want, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(images.tolist()), want, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(pd.DataFrame(images.reshape(7, -1))), want, atol=1e-5)
    np.testing.assert_allclose(encoder.predict(pd.DataFrame(images.reshape(7, -1) / 255)), want, atol=1e-5)
    clean = denoiser.predict(images)
    np.testing.assert_allclose(clean, predictor.load("vae", root=lab).rebuild(images), atol=1e-5)
    np.testing.assert_allclose(
        denoiser.predict(images, params={"output": "codes"}), predictor.load("vae", root=lab).encode(images), atol=1e-5
    )
    assert denoiser.metadata.signature.outputs.inputs[0].shape == (-1, 1, 28, 28)
    for wrong in (images[:, :20], images[:0], images.reshape(7, -1).astype(float)):
        with pytest.raises(ValueError, match="images: "):
            encoder.predict(wrong)
    with pytest.raises(ValueError, match="output: 'sound' is unknown; allowed: images, codes, scores"):
        encoder.predict(images, params={"output": "sound"})


def test_mlflow_scores_searches_and_compresses_as_the_commands_do(registry_of_models, lab, images):
    import mlflow

    encoder, served = mlflow.pyfunc.load_model("models:/encoder@champion"), predictor.load("ae", root=lab)
    scores = uses.scores(served, images)
    assert list(scores) == ["error", "mahalanobis"] or list(scores) == ["error", "sap", "nap", "mahalanobis"]
    np.testing.assert_allclose(encoder.predict(images, params={"output": "scores"}), scores["error"], rtol=1e-5)
    rows, distances = uses.neighbours(served, images, 10)
    assert np.array_equal(encoder.predict(images, params={"output": "neighbours"}), rows)
    codes = served.encode(splits.load("train", lab / splits.LEARNING).x)
    away = np.linalg.norm(codes[None] - served.encode(images)[:, None], axis=2)
    np.testing.assert_allclose(np.sort(away)[:, :10], distances, rtol=1e-3, atol=1e-3)
    archive = bytes(encoder.predict(images, params={"output": "archive"}))
    assert archive == uses.compress(served, images)


def test_an_archive_comes_back_as_the_model_that_made_it_rebuilds(lab, images):
    for name in ("ae", "vq_vae"):
        served = predictor.load(name, root=lab)
        made, by = uses.decompress(uses.compress(served, images, 1), lab)
        assert by.name == name
        assert ((made - served.rebuild(images)) ** 2).sum((1, 2, 3)).mean() < 1.5 * 50 / 64, "as codec.RATIOS says"
    with pytest.raises(ValueError, match="level: 2 is out of range; vq_vae has 1 to 1"):
        uses.compress(served, images, 2)
    with pytest.raises(ValueError, match="archives are of replicate 0"):
        uses.compress(predictor.load("ae", 1, lab), images)
    with pytest.raises(ValueError, match="cannot compress, it needs labels"):
        uses.compress(predictor.load("cvae", root=lab), images)
    with pytest.raises(ValueError, match=r"arrays\.npz: no codec there"):
        uses.compress(predictor.load("vae", root=lab), images)
    archive = bytearray(uses.compress(predictor.load("ae", root=lab), images))
    archive[10] ^= 1
    with pytest.raises(ValueError, match="no model of this pipeline has them"):
        uses.decompress(bytes(archive), lab)


def test_a_score_is_the_best_on_validation_and_its_threshold_from_normal_items(lab, images):
    about = predictor.described("ae", lab) | {"validation": {"auroc/error": [0.6, 0.9], "auroc/sap": [0.7, 0.8]}}
    assert uses.best_score(predictor.of("ae", about, 0, lab)) == "sap"
    assert uses.best_score(predictor.of("ae", about, 1, lab)) == "error"
    served = predictor.load("ae", root=lab)
    assert uses.best_score(served) == "error"
    held_out = splits.load("validation", lab / splits.LEARNING).x
    limit = uses.threshold(served, "error", 0.1)
    assert 0.08 <= (uses.scores(served, held_out)["error"] > limit).mean() <= 0.1
    assert limit == anomaly.threshold(torch.from_numpy(uses.scores(served, held_out)["error"]), 0.1)
    with pytest.raises(ValueError, match="has no score 'elbo'; allowed: error, "):
        uses.threshold(served, "elbo")
    with pytest.raises(ValueError, match="needs the labels"):
        uses.scores(predictor.load("cvae", root=lab), images)
    labels = splits.load("test", lab / "data/prepare").y[:7]
    assert len(uses.scores(predictor.load("cvae", root=lab), images, labels)["error"]) == 7
    with pytest.raises(ValueError, match="a classifier"):
        uses.scores(predictor.load("stack", root=lab), images)


def test_without_the_data_scores_say_what_is_missing(tmp_path, images):
    folder = trained.project(tmp_path)
    with pytest.raises(ValueError, match=r"learning/train: missing; `dvc checkout` or `aelab repro` restores it"):
        uses.scores(predictor.load("ae", root=folder), images)


def test_found_images_are_named_by_their_class(aelab, lab):
    code, said = aelab("search", lab / "noisy.png", "-m", "ae", "-k", "3", "-o", lab / "found.csv")
    assert code == 0, said
    lines = (lab / "found.csv").read_text().splitlines()
    assert lines[0] == '"query","rank","row","class","distance"'
    assert len(lines) == 4
    assert '"digit ' in lines[1]
    code, said = aelab("score", lab / "noisy.png", "-m", "ae", "-o", lab / "scores.txt")
    assert (code, "unknown kind of file; allowed: .csv, .parquet" in said) == (1, True)


def test_logged_models_are_cards_without_weights(registry_of_models, images):
    import mlflow

    found = {each.name: each for each in registry_of_models.search_logged_models(["1"])}
    assert set(found) == {"encoder", "denoiser", "generator", "stack", "cvae"}
    assert "sse | 4 ± 1.4" in found["stack"].tags["mlflow.note.content"]
    folder = Path(mlflow.artifacts.download_artifacts(found["cvae"].artifact_location))
    files = {path.name for path in folder.rglob("*") if path.is_file()}
    assert "card.md" in files
    assert not [name for name in files if name.endswith((".pkl", ".safetensors", ".pth"))]
    served = mlflow.pyfunc.load_model(found["stack"].model_uri)
    assert served.predict(images).shape == (7,)
    assert served.predict(images, params={"output": "codes"}).shape == (7, 64 * 4 * 4)
    with pytest.raises(ValueError, match="stack: a classifier, it has no decoder"):
        served.predict(images, params={"output": "images"})
    cvae = mlflow.pyfunc.load_model(found["cvae"].model_uri)
    assert cvae.predict(images[:2], params={"labels": [1, 2]}).shape == (2, 1, 28, 28)
    with pytest.raises(ValueError, match="cvae: needs the labels of the images; `labels` allowed: 7 whole"):
        cvae.predict(images)


def test_the_same_champion_twice_is_one_version(registry_of_models):
    assert len(registry_of_models.search_model_versions("name = 'denoiser'")) == 1
    assert registry_of_models.get_model_version_by_alias("denoiser", "champion").tags["model"] == "vae"


def test_a_champion_whose_code_is_older_is_replaced(registry_of_models, lab):
    older = registry_of_models.get_model_version_by_alias("generator", "champion")
    registry_of_models.set_model_version_tag("generator", older.version, "code", "of an older aelab")
    about = predictor.described("vae", lab)
    card = models.Card(about, about.pop("metrics"), "generator")
    models.register(registry_of_models, older.source.removeprefix("models:/"), older.run_id, card)
    assert registry_of_models.get_model_version_by_alias("generator", "champion").version != older.version


def test_the_command_line_takes_names_of_the_registry(aelab, tmp_path):
    for alias, words in {"champion": "8 numbers, by ae", "up-to-4": "3 numbers, by vae"}.items():
        out = tmp_path / "codes.npz"
        code, said = aelab("encode", "noisy.png", "-m", f"encoder@{alias}", "-o", out)
        assert (code, said) == (0, f"{out}: 1 codes of {words}\n")
    assert "# vae" in aelab("show", "denoiser@champion")[1]
    code, said = aelab("sample", "-m", "encoder@up-to-5", "-o", tmp_path / "x.png")
    there = "denoiser@champion, encoder@champion, encoder@up-to-32, encoder@up-to-4, encoder@up-to-783, "
    wanted = f"encoder@up-to-5: not in the registry; there are: {there}generator@champion; `aelab sync` fills it, "
    assert (code, said) == (1, f"aelab sample: {wanted}`aelab repro` makes its models\n")


def test_codes_outlive_their_champion(aelab, registry_of_models, tmp_path):
    file, out = tmp_path / "codes.npz", tmp_path / "back.npz"
    assert aelab("encode", "noisy.png", "-o", file)[0] == 0
    registry_of_models.set_registered_model_alias("encoder", "champion", "1")
    try:
        assert aelab("decode", file, "-o", out) == (0, f"{out}: 1 images, by ae\n")
        code, said = aelab("decode", file, "-m", "encoder@champion", "-o", out)
        assert (code, f"{file}: codes of ae (replicate 0), which vae (replicate 0) cannot decode" in said) == (1, True)
    finally:
        registry_of_models.set_registered_model_alias("encoder", "champion", "2")
    assert aelab("decode", file, "-m", "encoder@champion", "-o", out)[0] == 0


def test_a_missing_registry_is_not_made(aelab, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/none.db")
    code, said = aelab("encode", "noisy.png")
    wanted = "encoder@champion: there is no registry yet; `aelab sync` fills it, `aelab repro` makes its models"
    assert (code, said) == (1, f"aelab encode: {wanted}\n")
    assert not (tmp_path / "none.db").exists()
