"""Evaluate one trained model on the test split, with the settings and the feature classifier of `baselines`.

The metrics that select the best model are computed on the validation split, and kept apart.
"""

from functools import partial
from typing import Any

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, runtime, seeding
from aelab.data import storage
from aelab.runner import stage


def evaluate(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with tracking.track(job, meta.name) as recorder:
        baselines, source = stage.folder("baselines"), stage.DATA / str(job.item)
        written = (baselines / "params.json").read_text()
        seed, machine, sizes, settings = params.load("seed", "runtime", "baselines", "evaluate", text=written)
        recorder.params({"seed": seed, "runtime": machine, "evaluate": settings})
        device = runtime.setup(machine)
        import numpy as np

        from aelab.data import images, tensors
        from aelab.evaluation import arrays, context, diagnostics, evaluate, feature_classifier, measures
        from aelab.models.common import Spec
        from aelab.runner import parallel
        from aelab.training import artifacts, weight_files

        recorder.tags({"device": runtime.describe(device), "seed": seed})
        data, noisy = tensors.everything(device), tensors.noisy("validation", device)
        about = storage.load_json(source / "model.json")
        if normal := about.get("normal"):
            data = data.judged(splits.numbers(meta.classes, normal, f"{job.name}.normal"))
        classifier, spec = None, Spec(meta.shape, len(meta.classes), meta.columns)
        if (weights := baselines / "feature_classifier.safetensors").exists():
            classifier = feature_classifier.load(spec, weight_files.load_weights(weights), device)
        same = partial(seeding.generator, seed, "baselines", device=device)  # the same draws as for the baselines
        shared = context.EvalContext(data, noisy, sizes, classifier, same, measures.of(spec.layout))
        model_facts, kept = {}, {}

        def measure(replicate: int, metrics: parallel.Metrics) -> dict[str, dict[str, Any]]:
            draw = partial(seeding.generator, seed, "evaluate", job.name, replicate, device=device)
            results = context.Metrics({})
            for part in artifacts.parts(source):
                model = artifacts.load(part, replicate, device)
                if normal:
                    results |= evaluate.one_class(model, shared)
                    continue
                results |= evaluate.metrics(model, shared, settings, draw)
                if replicate == 0:
                    model_facts.update(evaluate.about(model, data.test, settings))
                    kept.update(arrays.of(model, data, settings, draw) | results.arrays)
            metrics(results.test, replicate=replicate)
            return {"test": results.test, "validation": results.validation} | {
                "per_image": {name: values.cpu().numpy() for name, values in results.per_image.items()}
            }

        measured = parallel.run(measure, about["num_seeds"], recorder.metrics, sequential=device.type != "cpu")
        kept |= {f"preview/{step}": images.drawn(digits) for step, digits in artifacts.preview(source).items()}
        storage.save_arrays(job.out / "arrays.npz", kept)
        names = measured[0]["per_image"]
        per_image = {name: np.stack([row["per_image"][name] for row in measured]) for name in names}
        per_image = {name: x.astype(np.uint8 if x.dtype == bool else np.float32) for name, x in per_image.items()}
        storage.save_arrays(job.out / "per_image.npz", per_image)  # [seeds, ..., test images]
        test, validation = (
            {name: [row[split][name] for row in measured] for name in measured[0][split]}
            for split in ("test", "validation")
        )
        history = artifacts.history(source)
        phases = artifacts.whole_history(source)
        diagnoses = (
            {} if normal else diagnostics.diagnose(test, phases, storage.load_json(baselines / "baselines.json"))
        )
        recorder.tags({f"diagnosis.{name}": text for name, text in diagnoses.items()})
        diagnostics.refuse(diagnoses, settings.fail_on)
        about |= model_facts | {"source": str(source), "diagnoses": diagnoses, "weights": artifacts.digests(source)}
        recorder.model(about, test)
        about |= {"metrics": test, "validation": validation, "history": history}
        storage.save_json(job.out / "metrics.json", about)


if __name__ == "__main__":
    stage.main(evaluate)
