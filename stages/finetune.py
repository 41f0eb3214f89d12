"""Fine-tune one pretrained stack as a classifier, once per label budget: all weights, best epoch by validation
error."""

from functools import partial
from typing import cast

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, runtime
from aelab.data import storage
from aelab.runner import stage


def finetune(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with tracking.track(job, meta.name) as recorder:
        seed, machine, settings = params.load("seed", "runtime", "finetune")
        recorder.params({"seed": seed, "runtime": machine, "finetune": settings})
        device = runtime.setup(machine)
        from aelab.models.common import Autoencoder, Spec
        from aelab.training import artifacts, multi_seed
        from aelab.training.classifier import Classifier
        from aelab.training.task import Task, labelled_subset

        source = stage.folder("pretrain", job.name)
        pretrained = storage.load_json(source / "model.json")
        description = {key: pretrained[key] for key in ("family", "config", "shape", "classes")}
        description["kind"] = "classifier"
        spec, images = Spec(meta.shape, len(meta.classes), meta.columns), len(splits.labels("train"))

        def classifier(name: str, replicate: int, _: object) -> Classifier:
            return Classifier(cast(Autoencoder, artifacts.load(source, replicate, device)), spec, name)

        budgets = {str(budget): images if budget == "all" else budget for budget in settings.labels}
        tasks = [
            Task(
                partial(classifier, name),
                description | {"labels": name},
                settings.for_labels(labelled, images),
                (seed, "finetune", job.name, name),
                labelled_subset(labelled, seed),
                folder=name,
            )
            for name, labelled in budgets.items()
        ]
        artifacts.keep_pretraining(source, job.out)
        multi_seed.train(tasks, job.out, machine, device, recorder, job.checkpoints)
        made = {"budgets": budgets, "num_seeds": settings.num_seeds, "device": runtime.describe(device)}
        storage.save_json(job.out / "model.json", description | made)


if __name__ == "__main__":
    stage.main(finetune)
