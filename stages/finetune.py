"""Fine-tune one pretrained stack as a classifier: all weights, early stopping on validation."""

from typing import cast

import here  # noqa: F401  (first: which code runs)
from aelab import checkpoints, params, stage


def finetune(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with job.track(meta.name) as recorder:
        seed, machine, settings = params.load("seed", "runtime", "finetune")
        settings = params.merge("finetune", settings, params.Entry(job.name, "stack", {}, {}), meta.name)
        from aelab import replicates
        from aelab.learning.classifier import Classifier
        from aelab.models.base import Autoencoder, Spec

        recorder.params({"seed": seed, "runtime": machine, "finetune": settings})
        device, source = job.device(machine), stage.folder("pretrain", job.name)
        about = checkpoints.load_json(source / "model.json")
        spec = Spec(meta.shape, len(meta.classes))
        replicates.train(
            lambda replicate, _: Classifier(cast(Autoencoder, replicates.load(source, replicate, device)), spec),
            {key: about[key] for key in ("family", "config", "shape", "classes")} | {"kind": "classifier"},
            settings,
            (seed, "finetune", job.name),
            device,
            job.out,
            recorder,
        )


if __name__ == "__main__":
    stage.main(finetune)
