"""Noise transfer: one net trained on clean images and on every noise, each tried on all noisy validation images."""

import dataclasses

import here  # noqa: F401  (first: which code runs)
from aelab.core import checkpoints, params, stage


def transfer(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with job.track(meta.name) as recorder:
        seed, machine, block, corrupt, net = params.load("seed", "runtime", "train", "corrupt", "transfer")
        settings = params.merge("train", block, params.Entry("transfer", "dense", {}, {}), meta.name)
        settings = dataclasses.replace(settings, panel=())
        recorder.params({"seed": seed, "runtime": machine, "train": settings, "transfer": net, "corrupt": corrupt})
        from aelab.core.corruption import Noise
        from aelab.data import tensors
        from aelab.learning import replicates
        from aelab.metrics import denoising
        from aelab.models.base import DenseConfig, Spec

        device, spec = job.device(machine), Spec(meta.shape, len(meta.classes))
        config = dataclasses.asdict(DenseConfig(net.widths, activation="sigmoid", code="sigmoid", tied=True))
        tasks = {}
        for name, noise in {"clean": (), **{Noise.parse(words).label: (words,) for words in corrupt.noises}}.items():
            (job.out / name).mkdir()
            own = dataclasses.replace(settings, noise=noise)
            words = (seed, "transfer", name)
            tasks[name] = replicates.fresh(job.out / name, "dense", config, spec, own, words, f"{name}/")
        replicates.train(list(tasks.values()), machine, device, recorder)
        tried = tensors.split("validation", device), tensors.noisy("validation", device)
        found = {
            name: [denoising.psnrs(replicates.load(task.out, i, device), *tried) for i in range(settings.replicates)]
            for name, task in tasks.items()
        }
        checkpoints.save_json(job.out / "transfer.json", found)


if __name__ == "__main__":
    stage.main(transfer)
