"""Trained models in MLflow: description, metrics, and how to load them. Weights stay in DVC."""

from __future__ import annotations

import ast
import hashlib
import json
import logging
import os
import statistics
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from aelab.runner import repository
from aelab.tracking import store

CODE = Path(__file__).parents[1] / "inference" / "mlflow_model.py"
FILLED = "`aelab sync` fills it, `aelab repro` makes its models"
NEEDED = ("torch", "numpy", "safetensors", "mlflow")
NUMBERS = (
    "sse",
    "psnr",
    "ssim",
    "probe_accuracy",
    "knn_accuracy",
    "cluster_accuracy",
    "nll",
    "frechet_distance",
    "test_error",
)


@dataclass(frozen=True)
class Card:
    """A model card. about: see predictor.of; numbers: one per seed; task, why, aliases: of the best model of a task."""

    about: dict[str, Any]
    numbers: Mapping[str, Sequence[float]]
    task: str = ""
    why: str = ""
    aliases: tuple[str, ...] = ("champion",)

    @property
    def name(self) -> str:
        return Path(self.about["source"]).name

    @property
    def output(self) -> str:
        """The default output of the model."""
        if self.about["kind"] == "classifier":
            return "classes"
        return "codes" if self.task == "encoder" else "rows" if self.about.get("columns") else "images"

    @property
    def key(self) -> str:
        """The MD5 of the weights that are served: the first seed, for a stack with all labels."""
        return [md5 for file, md5 in self.about["weights"].items() if Path(file).name == "weights-0.safetensors"][-1]

    def text(self) -> str:
        """The model card, in Markdown."""
        about = self.about
        values = {"Family": f"`{about['family']}` {json.dumps(about['config'])}"}
        if "noise" in about:  # fine-tuning has none, but a stack's pretraining may
            values["Noise in training"] = ", ".join(about["noise"]) or "none"
        names = [column["name"] for column in about.get("columns", ())]
        data = f"columns {', '.join(names)}" if names else str(about["shape"])
        values |= {"Data" if names else "Images": f"{data}, {about['classes']} classes", "Seeds": about["num_seeds"]}
        values |= {"Learned on": about["device"], "Weights": f"`{about['source']}`, MD5 `{self.key}` (first seed)"}
        values |= {f"Diagnosis: {name}": text for name, text in about.get("diagnoses", {}).items()}
        values |= {"Saw labels": "yes"} if about.get("uses_labels") else {}
        values |= {"Best model": self.why} if self.why else {}
        measured = [
            f"| {name} | {spread(self.numbers[name])} |" for name in self.numbers if name.partition("/")[0] in NUMBERS
        ]
        table = ["", "| on the test split | mean ± standard deviation over seeds |", "|---|---|", *measured]
        facts = [f"- **{name}**: {text}" for name, text in values.items()]
        return "\n".join(
            [
                f"# {self.name}",
                "",
                family(about["family"]),
                "",
                *facts,
                *table * bool(measured),
                "",
                usage(self),
                "",
            ]
        )


def spread(values: Sequence[float]) -> str:
    mean = statistics.fmean(values)
    return f"{mean:.4g} ± {statistics.stdev(values):.2g}" if len(values) > 1 else f"{mean:.4g}"


def champion(name: str) -> tuple[str, dict[str, Any], Path]:
    """The model behind a registry name such as denoiser@champion: its own name, its description with `metrics`, the
    root of its weights. Raises ValueError with the existing names."""
    os.environ |= store.TIMEOUTS | os.environ

    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.models import get_model_info

    logging.getLogger("mlflow").setLevel(logging.ERROR)
    database = store.file()
    if database and not database.exists():  # MLflow would create an empty one
        raise ValueError(f"{name}: there is no registry yet; {FILLED}")
    mlflow.set_tracking_uri(store.uri())
    try:
        there = aliases()
        if name not in there:
            raise ValueError(f"{name}: not in the registry; there are: {', '.join(there) or 'none'}; {FILLED}")
        result = get_model_info(f"models:/{name}").flavors["python_function"]["config"]
    except MlflowException as error:
        raise ValueError(f"{name}: the registry does not give it ({error})") from error
    return result["name"], result["about"] | {"metrics": result["numbers"]}, Path(result["root"])


def aliases() -> list[str]:
    """The registry's names of single models, such as denoiser@champion."""
    result = store.client().search_registered_models()
    return sorted(f"{item.name}@{alias}" for item in result for alias in item.aliases)


def family(name: str) -> str:
    """The first paragraph of a family's docstring."""
    text = ast.get_docstring(ast.parse((CODE.parents[1] / "models" / f"{name}.py").read_text())) or ""
    return text.partition("\n\n")[0]


def usage(card: Card) -> str:
    """How to load and use the model: the best of a task by its registry name, any other by its own name."""
    images = "images: a row each, whole numbers 0 to 255 or floats 0 to 1"
    if card.about.get("columns"):
        images = "images: here a pandas frame with the raw columns, or series [N, T, features]"
    if card.task:
        lines = ["import mlflow", f'model = mlflow.pyfunc.load_model("models:/{card.task}@{card.aliases[0]}")']
        lines += [f"model.predict(images)  # {card.output}; {images}"]
        lines += ['model.predict(images, params={"output": "codes"})'] * (card.output != "codes")
    else:
        lines = ["from aelab.inference import predictor", f'model = predictor.load("{card.name}")']
        ask = "classify" if card.output == "classes" else "rebuild"
        lines += [f"model.{ask}(images)  # {images}", "model.encode(images)"]
        lines += ["model.fill(images)  # missing cells filled, all others as they are"] * bool(
            card.about.get("columns")
        )
    return "\n".join(["```python", *lines, "```"])


def log(client: Any, experiment_id: str, run_id: str, card: Card) -> str:
    """Log the model as a LoggedModel of the run; returns its id."""
    name = card.task or card.name
    tags = {"weights": card.key, "code": code(), "mlflow.note.content": card.text(), "family": card.about["family"]}
    params = {"family": card.about["family"], **{key: str(value) for key, value in card.about["config"].items()}}
    model = client.create_logged_model(experiment_id, name, run_id, tags, params, card.about["kind"])
    # silenced: MLflow asks for an input example, in spite of filters
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(record=True):
        save(Path(folder, "model"), card, model.model_id, run_id)
        client.log_model_artifacts(model.model_id, str(Path(folder, "model")))
    client.finalize_logged_model(model.model_id, "READY")
    return model.model_id


def code() -> str:
    """The MD5 of the code that MLflow runs to load a model."""
    return hashlib.md5(CODE.read_bytes()).hexdigest()


def delete_run(client: Any, run: Any) -> None:
    """Delete an item's run with its replicates, its models and their versions in the registry."""
    below = client.search_runs([run.info.experiment_id], f"tags.`mlflow.parentRunId` = '{run.info.run_id}'")
    for item in client.search_model_versions(f"run_id = '{run.info.run_id}'"):
        client.delete_model_version(item.name, item.version)
    for model in client.search_logged_models([run.info.experiment_id], f"source_run_id = '{run.info.run_id}'"):
        client.delete_logged_model(model.model_id)
    for item in [*below, run]:
        client.delete_run(item.info.run_id)


def measured(client: Any, experiment_id: str, card: Card, at: int) -> None:
    """Log a model's test metrics, means over seeds, on the run that trained it: test/<metric>."""
    values = {f"test/{name}": statistics.fmean(item) for name, item in card.numbers.items()}
    trained = " ".join(Path(card.about["source"]).parts[-2:])  # data/train/vae -> train vae
    where = f"attributes.run_name = '{trained}' and tags.weights LIKE '%{card.key}%'"
    for run in client.search_runs([experiment_id], where):
        add(client, run, values, at)


def add(client: Any, run: Any, values: Mapping[str, float], at: int) -> None:
    """Log the metrics that a run, which may have ended, does not have yet."""
    from mlflow.entities import Metric

    new = {name: value for name, value in values.items() if run.data.metrics.get(name) != value and value == value}
    if new:
        client.log_batch(run.info.run_id, [Metric(name, value, at, 0) for name, value in new.items()])


def save(folder: Path, card: Card, model_id: str, run_id: str) -> None:
    """Write the model in MLflow's format, with the card beside it."""
    import mlflow.pyfunc
    from mlflow.models import Model

    config = {"name": card.name, "root": str(repository.root()), "output": card.output}
    config |= {"about": card.about, "numbers": dict(card.numbers)}
    mlflow.pyfunc.save_model(
        str(folder),
        python_model=str(CODE),
        model_config=config,
        signature=signature(card),
        pip_requirements=[f"{name}=={version(name)}" for name in NEEDED],
        mlflow_model=Model(model_id=model_id, run_id=run_id),
    )
    (folder / "card.md").write_text(card.text())


def signature(card: Card) -> Any:
    """The model's outputs and parameters of predict. No inputs: MLflow would refuse every shape and type but one."""
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types import ParamSchema, ParamSpec, Schema, TensorSpec

    images, codes = (
        TensorSpec(np.dtype("float32"), (-1, *card.about["shape"])),
        TensorSpec(np.dtype("float32"), (-1, -1)),
    )
    classes = TensorSpec(np.dtype("int64"), (-1,))
    out = {"images": images, "codes": codes, "classes": classes}.get(card.output)  # none for rows: frames or arrays
    params = [ParamSpec("output", "string", card.output), ParamSpec("labels", "long", [], (-1,))]
    return ModelSignature(outputs=Schema([out]) if out else None, params=ParamSchema(params))


def register(client: Any, model_id: str, run_id: str, card: Card, replaced: Sequence[str] = ()) -> None:
    """Point the task's aliases to a version with these weights, created if there is none but of replaced runs."""
    import mlflow
    from mlflow.exceptions import MlflowException

    mlflow.set_tracking_uri(store.uri())  # where the model is looked up, whatever the client's store is
    try:
        client.create_registered_model(card.task, description=f"The best {card.task} of the last comparison.")
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    tags = {"weights": card.key, "model": card.name, "code": code()}
    result = [
        item
        for item in client.search_model_versions(f"name = '{card.task}'")
        if tags.items() <= item.tags.items() and item.run_id not in replaced
    ]
    version = (
        result[0]
        if result
        else client.create_model_version(
            card.task,
            f"models:/{model_id}",
            run_id,
            tags,
            description=card.text(),
            model_id=model_id,
        )
    )
    for alias in card.aliases:
        client.set_registered_model_alias(card.task, alias, version.version)
