"""A folder with trained models as the pipeline leaves them, for tests that use them. Nets are untrained but real."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from aelab.config import params
from aelab.data import storage
from aelab.inference import predictor
from aelab.models.common import Generative, Spec, registry
from aelab.tracking import models, store
from aelab.training import weight_files
from aelab.training.classifier import Classifier

ROOT = Path(__file__).parent.parent
SPEC = Spec((1, 28, 28), 10)


def leave(folder: Path, name: str, family: str, config: dict, kind: str = "autoencoder") -> None:
    """What train (or finetune) and evaluate leave of a model, with two seeds of weights."""
    source = folder / "data" / ("finetune" if kind == "classifier" else "train") / name
    part = source / "all" if kind == "classifier" else source
    part.mkdir(parents=True, exist_ok=True)
    weights, samples = {}, None
    for seed in range(2):
        model = registry.build(family, config, SPEC, torch.Generator().manual_seed(seed))
        samples = "prior" if isinstance(model, Generative) else "random codes" if model.decodes else None
        model = Classifier(model, SPEC) if kind == "classifier" else model
        path = part / f"weights-{seed}.safetensors"
        weight_files.save_weights(path, model.state_dict())
        weights[str(path.relative_to(source))] = storage.md5(path)
    about = {"kind": kind, "family": family, "config": config, "noise": [], "shape": SPEC.shape, "classes": 10}
    about |= {"num_seeds": 2, "device": "cpu", "source": str(source.relative_to(folder)), "weights": weights}
    about |= {"samples": samples} if kind == "autoencoder" else {}
    about |= {
        "diagnoses": {"dead_units": "3 of 8"},
        "metrics": {"sse": [3.0, 5.0], "psnr": [20.0, 22.0]},
        "history": [],
    }
    (folder / "data/evaluate" / name).mkdir(parents=True, exist_ok=True)
    storage.save_json(folder / "data/evaluate" / name / "metrics.json", about)


def project(folder: Path) -> Path:
    """A project with a model of each kind: ae, vae, cvae, masked, lstm, vq_vae, pca, and the classifier stack."""
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    for name in ("masked", "lstm", "vq_vae", "pca"):
        entry = params.load(f"models.{name}")
        leave(folder, name, entry.family, entry.config)
    stack = params.load("stacks.stack_conv")
    leave(folder, "ae", "dense", {"widths": [8]})
    leave(folder, "vae", "vae", {"hidden": [16], "latent_dim": 3})
    leave(folder, "cvae", "cvae", {"hidden": [16], "latent_dim": 3})
    leave(folder, "stack", stack.family, stack.config, "classifier")
    return folder


@contextmanager
def registered(folder: Path) -> Iterator[Any]:
    """The project's models in its MLflow store, mlflow.db: ae is encoder@champion, vae denoiser and generator. A client
    of the store."""
    import mlflow

    uri = f"sqlite:///{folder}/mlflow.db"
    before = {name: os.environ.get(name) for name in ("MLFLOW_TRACKING_URI", "DVC_ROOT")}
    os.environ |= {"MLFLOW_TRACKING_URI": uri, "DVC_ROOT": str(folder)}
    client, experiment = store.connect("models")
    run = client.create_run(experiment).info.run_id
    best = [("vae", "encoder"), ("ae", "encoder"), ("vae", "denoiser"), ("vae", "denoiser"), ("vae", "generator")]
    for name, task in (*best, ("stack", ""), ("cvae", "")):
        about = predictor.described(name, folder)
        numbers, _ = about.pop("metrics"), about.pop("history")
        card = models.Card(about, numbers, task, "20 dB" if task else "")
        model = models.log(client, experiment, run, card)
        if task:
            models.register(client, model, run, card)
    for alias, version in (("up-to-4", "1"), ("up-to-32", "2"), ("up-to-783", "2")):
        client.set_registered_model_alias("encoder", alias, version)
    mlflow.set_tracking_uri(uri)
    try:
        yield client
    finally:
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
