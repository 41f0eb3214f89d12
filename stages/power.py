"""Representation power: dense autoencoders of several depths and code sizes, all learning alike."""

import dataclasses

import here  # noqa: F401  (first: which code runs)
from aelab.core import checkpoints, params, stage


def power(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with job.track(meta.name) as recorder:
        seed, machine, block, nets = params.load("seed", "runtime", "train", "power")
        settings = params.merge("train", block, params.Entry("power", "dense", {}, {}), meta.name)
        settings = dataclasses.replace(settings, panel=())
        recorder.params({"seed": seed, "runtime": machine, "train": settings, "power": nets})
        from aelab.learning import replicates
        from aelab.models.base import DenseConfig, Spec

        device, spec = job.device(machine), Spec(meta.shape, len(meta.classes))
        tasks = []
        for depth, code in nets.pairs():
            name, config = f"{depth}x{code}", DenseConfig(nets.widths(depth, code), loss="mse")
            (job.out / name).mkdir()
            tasks.append(
                replicates.fresh(
                    job.out / name,
                    "dense",
                    dataclasses.asdict(config),
                    spec,
                    settings,
                    (seed, "power", name),
                    f"{name}/",
                )
            )
        replicates.train(tasks, machine, device, recorder)
        rows = []
        for (depth, code), task in zip(nets.pairs(), tasks, strict=True):
            histories = checkpoints.load_json(task.out / "history.json")
            best = [min(epoch["monitor"] for epoch in epochs) for epochs in histories]
            rows.append({"depth": depth, "code": code, "sse": best})
        checkpoints.save_json(job.out / "power.json", rows)


if __name__ == "__main__":
    stage.main(power)
