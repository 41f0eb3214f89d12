"""Fine-tune one pretrained stack as a classifier, once per label budget: all weights, early stopping on validation."""

from functools import partial
from typing import cast

import here  # noqa: F401  (first: which code runs)
from aelab.core import checkpoints, params, runtime, stage


def finetune(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with job.track(meta.name) as recorder:
        seed, machine, settings = params.load("seed", "runtime", "finetune")
        settings = params.merge("finetune", settings, params.Entry(job.name, "stack", {}, {}), meta.name)
        from aelab.learning import replicates
        from aelab.learning.classifier import Classifier
        from aelab.models.base import Autoencoder, Spec

        recorder.params({"seed": seed, "runtime": machine, "finetune": settings})
        device, source = job.device(machine), stage.folder("pretrain", job.name)
        about = checkpoints.load_json(source / "model.json")
        about = {key: about[key] for key in ("family", "config", "shape", "classes")} | {"kind": "classifier"}
        spec, images = Spec(meta.shape, len(meta.classes)), len(splits.labels("train"))

        def classifier(name: str, replicate: int, _: object) -> Classifier:
            return Classifier(cast(Autoencoder, replicates.load(source, replicate, device)), spec, name)

        budgets = {str(each): images if each == "all" else each for each in settings.labels}
        tasks = []
        for name, labelled in budgets.items():
            (job.out / name).mkdir()
            tasks.append(
                replicates.Task(
                    job.out / name,
                    partial(classifier, name),
                    about | {"labels": name},
                    settings.for_labels(labelled, images),
                    (seed, "finetune", job.name, name),
                    replicates.with_labels(labelled, seed),
                )
            )
        replicates.train(tasks, machine, device, recorder)
        kept = {"budgets": budgets, "replicates": settings.replicates, "device": runtime.describe(device)}
        checkpoints.save_json(job.out / "model.json", about | kept)


if __name__ == "__main__":
    stage.main(finetune)
