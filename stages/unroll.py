"""Unroll one pretrained stack into an autoencoder whose decoder starts as the encoder's transpose, and fine-tune it."""

from typing import cast

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, runtime
from aelab.runner import stage


def unroll(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with tracking.track(job, meta.name) as recorder:
        seed, machine, settings, entry = params.load("seed", "runtime", "unroll", f"unrolled.{job.item}")
        recorder.params({"seed": seed, "runtime": machine, "unroll": settings, "model": entry})
        device = runtime.setup(machine)
        from aelab.models.common import Spec
        from aelab.models.stacked import Stack
        from aelab.training import artifacts, multi_seed
        from aelab.training.task import Task

        source = stage.folder("pretrain", entry.stack)

        def unrolled(replicate: int, _: object = None) -> tuple:
            return cast(Stack, artifacts.load(source, replicate, device)).unrolled()

        spec = Spec(meta.shape, len(meta.classes), meta.columns)
        description = {
            "kind": "autoencoder",
            "family": "dense",
            "config": unrolled(0)[0].recorded(),
            "noise": settings.noise,
            "shape": spec.shape,
            "classes": spec.classes,
        }
        task = Task(lambda replicate, _: unrolled(replicate)[1], description, settings, (seed, "unroll", job.name))
        artifacts.keep_pretraining(source, job.out)
        multi_seed.train([task], job.out, machine, device, recorder, job.checkpoints)


if __name__ == "__main__":
    stage.main(unroll)
