"""Noise transfer: one net trained on clean images and on every noise, each tested on all noisy validation images."""

import dataclasses
from typing import Any

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, runtime
from aelab.data import storage
from aelab.runner import stage


def noise_transfer(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with tracking.track(job, meta.name) as recorder:
        seed, machine, block, corrupt, net = params.load("seed", "runtime", "train", "corrupt", "noise_transfer")
        if not net.num_seeds:
            storage.save_json(job.out / "noise_transfer.json", {})
            return
        settings = block.auxiliary(net.max_steps, net.num_seeds)
        recorder.params({"seed": seed, "runtime": machine, "train": settings, "noise_transfer": net})
        recorder.params({"corrupt": corrupt})
        device = runtime.setup(machine)
        from aelab.data import tensors
        from aelab.data.corruption import Noise
        from aelab.evaluation import denoising, measures
        from aelab.models.common import DenseConfig, Spec
        from aelab.training import artifacts, multi_seed
        from aelab.training.task import new_model_task

        spec = Spec(meta.shape, len(meta.classes), meta.columns)
        form: dict[str, Any] = {"activation": "sigmoid", "code_activation": "sigmoid", "tied": True, **spec.outputs}
        config = DenseConfig(net.widths, **form).recorded()
        noises = {"clean": (), **{Noise.parse(noise).label: (noise,) for noise in corrupt.noises}}
        tasks = [
            new_model_task(
                "dense", config, spec, dataclasses.replace(settings, noise=noise), (seed, "noise_transfer", name), name
            )
            for name, noise in noises.items()
        ]
        multi_seed.train(tasks, job.out, machine, device, recorder, job.checkpoints)
        clean, noisy = tensors.split("validation", device), tensors.noisy("validation", device)

        judged_by = measures.of(spec.layout)

        def psnrs(folder: str, replicate: int) -> dict[str, float]:
            return denoising.psnrs(artifacts.load(job.out / folder, replicate, device), clean, noisy, judged_by)

        results = {name: [psnrs(name, replicate) for replicate in range(settings.num_seeds)] for name in noises}
        storage.save_json(job.out / "noise_transfer.json", results)


if __name__ == "__main__":
    stage.main(noise_transfer)
