"""What the learning stages share: several seeds of one model, trained, watched, and kept in one folder.

weights-<replicate>.safetensors   the best validation epoch's weights
model.json                        what to build for them, and on which device they learned
history.json                      per replicate: one row per epoch
panel.npz                         validation digits as replicate 0 rebuilt them: input, epoch-<n>
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator, nn

from aelab import checkpoints, models, params, runtime, seeds
from aelab.corruption import Noise, corrupt_mixed
from aelab.data import splits, tensors
from aelab.data.tensors import Tensors
from aelab.learning.classifier import Classifier
from aelab.learning.loop import DivergedError, Epoch, fit
from aelab.learning.settings import Training
from aelab.models.base import Spec
from aelab.progress import Progress
from aelab.stage import Job

Maker = Callable[[int, Generator], nn.Module]  # (replicate, CPU generator) -> a fresh model


def learn(job: Job, section: str, group: str) -> None:
    """The body of `train` and `pretrain`: the entry job.item of `group` under the settings of `section`."""
    meta = splits.meta()
    with job.track(meta.name) as recorder:
        seed, machine, block, entry = params.load("seed", "runtime", section, f"{group}.{job.item}")
        settings = params.merge(section, block, entry, meta.name)
        recorder.params({"seed": seed, "runtime": machine, section: settings, "model": entry})
        recorder.dataset(name=meta.name, digest=meta.digest, source="data/prepare", context="train")
        device = job.device(machine)
        spec = Spec(meta.shape, len(meta.classes))
        about = {"kind": "autoencoder", "family": entry.family, "config": entry.config, "noise": settings.noise}
        train(
            lambda replicate, generator: models.build(entry.family, entry.config, spec, generator),
            about | {"shape": spec.shape, "classes": spec.classes},
            settings,
            (seed, section, entry.name),
            device,
            job.out,
            recorder,
        )


def load(folder: Path, replicate: int, device: torch.device) -> nn.Module:
    """The trained model that `train` left in `folder`, ready to use on `device`.

    Raises FileNotFoundError, ValueError for damaged files, RuntimeError where weights and model disagree.
    """
    about = checkpoints.load_json(folder / "model.json")
    spec = Spec(tuple(about["shape"]), about["classes"])
    model: nn.Module = models.build(about["family"], about["config"], spec, torch.Generator())
    if about["kind"] == "classifier":
        model = Classifier(model, spec)
    model.load_state_dict(checkpoints.load_weights(folder / f"weights-{replicate}.safetensors"))
    return model.to(device).eval()


def train(
    build: Maker,
    about: dict[str, Any],
    settings: Training,
    words: tuple[Any, ...],
    device: torch.device,
    out: Path,
    recorder: Any,
) -> None:
    """Train `settings.replicates` models and leave them in `out`; `about` goes into model.json.

    words: (seed, stage, item), from which every generator is derived. Raises DivergedError, naming the replicate.
    """
    data = tensors.split("train", device), tensors.split("validation", device)
    recorder.tags({"device": runtime.describe(device), "seed": words[0]})
    with_panel = Panel(data[1], settings, words, recorder)

    def learned(replicate: int, metrics: seeds.Metrics) -> list[dict[str, Any]]:
        seed, *rest = words

        def draw(use: str) -> Generator:
            where = "cpu" if use in ("init", "order", "modules") else device
            return runtime.generator(seed, *rest, replicate, use, device=where)

        model = build(replicate, draw("init")).to(device)
        watch = Watch(f"{words[-1]} #{replicate}", replicate, settings, metrics, None if replicate else with_panel)
        try:
            fit(model, *data, settings, draw, watch)
        except DivergedError as error:
            raise DivergedError(f"replicate {replicate}, {error}") from None
        finally:
            watch.progress.close()
        if replicate == 0:
            with_panel.draw(model, watch.passed)
        checkpoints.save_weights(out / f"weights-{replicate}.safetensors", model.state_dict())
        return watch.history

    histories = seeds.each(learned, settings.replicates, recorder.metrics, alone=device.type != "cpu")
    checkpoints.save_json(
        out / "model.json", about | {"replicates": settings.replicates, "device": runtime.describe(device)}
    )
    checkpoints.save_json(out / "history.json", histories)
    if with_panel.pictures:
        splits.save_arrays(out / "panel.npz", with_panel.pictures)


class Watch:
    """Hears of every epoch: keeps the history, tracks the numbers, moves the bar, draws the panel (see loop.Watch)."""

    def __init__(
        self, label: str, replicate: int, settings: Training, metrics: seeds.Metrics, panel: Panel | None
    ) -> None:
        self.label, self.replicate, self.metrics, self.panel = label, replicate, metrics, panel
        self.progress, self.epochs, self.drawn = Progress(replicate), settings.epochs, settings.panel
        self.history: list[dict[str, Any]] = []
        self.passed = 0  # epochs over all phases: the step in the tracking store

    def steps(self, phase: str, total: int) -> None:
        self.progress.start(f"{self.label} {phase}", total)

    def step(self) -> None:
        self.progress.step()

    def epoch(self, epoch: Epoch, model: nn.Module) -> None:
        self.passed += 1
        self.history.append(dataclasses.asdict(epoch))
        self.progress.note(f"epoch {epoch.epoch}, validation {epoch.monitor:.4g}")
        prefix = "" if epoch.phase == "all" else f"{epoch.phase}/"
        for kind, terms in (("train", epoch.train), ("validation", epoch.validation)):
            values = {f"{prefix}{kind}/{term}": value for term, value in terms.items()}
            self.metrics(values, step=self.passed, replicate=self.replicate)
        if self.panel and self.passed in self.drawn:
            self.panel.draw(model, self.passed)


class Panel:
    """One validation digit per class, as the model rebuilds it in the course of learning."""

    def __init__(self, validation: Tensors, settings: Training, words: tuple[Any, ...], recorder: Any) -> None:
        first = [int((validation.y == label).nonzero()[0, 0]) for label in validation.y.unique()]
        noises = [Noise.parse(each) for each in settings.noise]
        clean, self.labels = validation.x[first], validation.y[first]
        self.input = corrupt_mixed(clean, noises, runtime.generator(*words, "panel", device=clean.device))
        self.recorder = recorder
        self.pictures: dict[str, np.ndarray] = {}

    def draw(self, model: nn.Module, step: int) -> None:
        """Keep and track what `model` makes of the panel after `step` epochs; a classifier draws nothing."""
        if not hasattr(model, "reconstruct"):
            return
        model.eval()
        with torch.no_grad():
            rebuilt = _bytes(model.reconstruct(self.input, self.labels))  # type: ignore[operator]
        if not self.pictures:
            self.pictures["input"] = _bytes(self.input)
        self.pictures[f"epoch-{step:03d}"] = rebuilt
        pair = np.concatenate([np.concatenate(list(rows[:, 0]), axis=1) for rows in (self.pictures["input"], rebuilt)])
        self.recorder.image("panel", pair, step=step)


def _bytes(x: torch.Tensor) -> np.ndarray:
    return x.clamp(0, 1).mul(255).round().to(torch.uint8).cpu().numpy()
