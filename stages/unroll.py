"""Unroll one pretrained stack into an autoencoder (the decoder its transpose) and fine-tune its reconstructions."""

import dataclasses
from typing import cast

import here  # noqa: F401  (first: which code runs)
from aelab.core import params, stage


def unroll(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with job.track(meta.name) as recorder:
        seed, machine, settings, entry = params.load("seed", "runtime", "unroll", f"unrolled.{job.item}")
        settings = params.merge("unroll", settings, params.Entry(job.name, "dense", {}, {}), meta.name)
        from aelab.learning import replicates
        from aelab.models.base import Spec
        from aelab.models.stack import Stack

        recorder.params({"seed": seed, "runtime": machine, "unroll": settings, "model": entry})
        device, source = job.device(machine), stage.folder("pretrain", entry.stack)
        spec = Spec(meta.shape, len(meta.classes))
        config = cast(Stack, replicates.load(source, 0, device)).unrolled()[0]
        about = {
            "kind": "autoencoder",
            "family": "dense",
            "config": dataclasses.asdict(config),
            "noise": settings.noise,
        }
        task = replicates.Task(
            job.out,
            lambda replicate, _: cast(Stack, replicates.load(source, replicate, device)).unrolled()[1],
            about | {"shape": spec.shape, "classes": spec.classes},
            settings,
            (seed, "unroll", job.name),
        )
        replicates.train([task], machine, device, recorder)


if __name__ == "__main__":
    stage.main(unroll)
