"""params.yaml from hypothesis: whole files that train and broken ones that are one line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from aelab.config import params, validation
from aelab.data import splits
from aelab.models.common import Spec
from aelab.training import artifacts, multi_seed
from aelab.training.task import new_model_task

ROOT = Path(__file__).parents[2]
TREE = YAML(typ="safe").load(ROOT / "params.yaml")

sizes, activations = st.integers(1, 4), st.sampled_from(["relu", "tanh", "sigmoid", "linear"])
FAMILIES = {
    "dense": {
        "widths": st.lists(sizes, min_size=1, max_size=2),
        "code_activation": activations,
        "loss": st.sampled_from(["bce", "mse"]),
    },
    "sparse": {
        "widths": st.lists(sizes, min_size=1, max_size=1),
        "code_activation": st.just("sigmoid"),
        "penalty": st.just("kl"),
    },
    "vae": {"hidden": st.lists(sizes, min_size=1, max_size=2), "latent_dim": sizes, "beta": st.floats(0, 4)},
    "cvae": {"hidden": st.lists(sizes, min_size=1, max_size=1), "latent_dim": sizes},
    "rbm": {"units": sizes, "k": st.integers(1, 2)},
    "closed_form": {"components": st.integers(0, 3)},
}
EXTRA = {"sparse": {"weight": st.floats(0, 2), "rho": st.floats(0.01, 0.9)}}
noises = st.sampled_from(["gaussian 0.5", "masking 0.25", "salt_pepper 0.1", "salt 0.1", "impulse 0.1"])
TRAINING = {
    "optimizer": st.sampled_from(["adam", "adamw", "sgd"]),
    "lr": st.floats(1e-6, 1e-2),
    "schedule": st.sampled_from(["constant", "one_cycle"]),
    "weight_decay": st.floats(0, 0.1),
    "batch_size": st.integers(1, 100),
    "patience": st.none() | st.integers(1, 3),
    "noise": st.lists(noises, max_size=2),
    "augment": st.lists(st.sampled_from(["rotate 7", "scale 0.05", "shift 0.7"]), max_size=2, unique=True),
    "panel": st.lists(st.integers(0, 3), max_size=2),
}
SMALL = {"epochs": 1, "epochs_factor": {}, "batch_factor": {}, "lr_factor": {}, "num_seeds": 1}


class Silent:
    """A Recorder that hears nothing."""

    def tags(self, values): ...

    def metrics(self, values, step=0, replicate=None): ...

    def image(self, name, pixels, step=0, replicate=None): ...


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """A project's folder with forty images; it is the working folder."""
    folder, draw = tmp_path_factory.mktemp("whole"), np.random.default_rng(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        splits.LEARNING.mkdir(parents=True)
        for name, count in (("train", 30), ("validation", 10)):
            labels = np.arange(count) % 10
            splits.save(splits.LEARNING / name, (draw.integers(0, 256, (count, 28, 28), np.uint8), labels))
        about = {"name": "mnist5k", "shape": [1, 28, 28], "classes": list("0123456789"), "digest": "0" * 32}
        (splits.LEARNING / "meta.json").write_text(json.dumps(about))
        yield folder


@st.composite
def files(draw) -> dict:
    """A whole params.yaml with one small model."""
    family = draw(st.sampled_from(list(FAMILIES)))
    knobs = {key: draw(values) for key, values in (FAMILIES[family] | EXTRA.get(family, {})).items()}
    over = draw(st.fixed_dictionaries({}, optional=TRAINING))
    over |= (
        {"on": {"mnist5k": draw(st.fixed_dictionaries({}, optional={"lr": TRAINING["lr"]}))}}
        if draw(st.booleans())
        else {}
    )
    block = {key: draw(values) for key, values in TRAINING.items()} | SMALL
    return TREE | {
        "seed": draw(st.integers(0, 2**40)),
        "train": block,
        "models": {"tiny": {"family": family} | knobs | over},
    }


def train(out: Path) -> None:
    """The body of the stage `train`, but for its recorder."""
    seed, machine, block, entry = params.load("seed", "runtime", "train", "models.tiny")
    entry = entry.on("mnist5k")
    merged = params.merge("train", block, entry, "mnist5k")
    spec = Spec((1, 28, 28), 10)
    task = new_model_task(entry.family, entry.config, spec, merged, (seed, "train", "tiny"))
    multi_seed.train([task], out, machine, torch.device("cpu"), Silent())


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(files())
def test_a_valid_file_trains(images, tmp_path_factory, tree):
    params.FILE.write_text(json.dumps(tree))
    params.load(*params.SCHEMAS)
    out = tmp_path_factory.mktemp("out")
    train(out)
    model = artifacts.load(out, 0, torch.device("cpu"))
    assert model.reconstruct(torch.rand(2, 1, 28, 28), torch.tensor([1, 2])).shape == (2, 1, 28, 28)


def places(tree: object, path: tuple = ()) -> list[tuple]:
    """The paths to every value of nested blocks and lists."""
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [found for key, value in items for found in [(*path, key), *places(value, (*path, key))]]


junk = st.one_of(
    st.none(), st.booleans(), st.integers(-(10**30), 10**30), st.text(max_size=9), st.floats(-1e9, 1e9),
    st.sampled_from([[], {}, [[]], {"a": {}}, -1, 0, "x" * 5000, "0", "../x", "masking 2", "all"]),
)  # fmt: skip


@settings(max_examples=80, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None)
@given(files(), st.data())
def test_a_broken_file_is_one_line_or_still_whole(images, tree, data):
    tree = json.loads(json.dumps(tree | {"sweeps": {}}))
    spots = [path for path in places(tree) if path[0] in (*params.SCHEMAS, "seed", "models")]
    *path, last = data.draw(st.sampled_from(spots))
    block = tree
    for key in path:
        block = block[key]
    how = data.draw(st.sampled_from(["change", "change", "drop", "rename"]))
    value = block.pop(last) if how != "change" else None
    if how == "change":
        block[last] = data.draw(junk)
    elif how == "rename" and isinstance(block, dict):
        block[data.draw(st.text(max_size=5))] = value
    params.FILE.write_text(json.dumps(tree))
    try:
        *_, block, names = params.load("seed", *params.SCHEMAS, "train", "models")
        for name in names:
            entry = params.load(f"models.{name}").on("mnist5k")
            params.merge("train", block, entry, "mnist5k")
    except params.ParamsError as error:
        assert len(str(error).splitlines()) == 1  # noqa: PT017
        assert len(str(error)) <= validation.LONGEST  # noqa: PT017
        assert str(error).startswith("params.yaml: ")  # noqa: PT017
