"""Capacity: dense autoencoders of several depths and code sizes, all trained with the same settings."""

from typing import Any

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, runtime
from aelab.data import storage
from aelab.runner import stage


def capacity(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with tracking.track(job, meta.name) as recorder:
        seed, machine, block, nets = params.load("seed", "runtime", "train", "capacity")
        if not nets.num_seeds:
            storage.save_json(job.out / "capacity.json", [])
            return
        settings = block.auxiliary(nets.max_steps, nets.num_seeds)
        recorder.params({"seed": seed, "runtime": machine, "train": settings, "capacity": nets})
        device = runtime.setup(machine)
        from aelab.data import tensors
        from aelab.data.tensors import Tensors, mapped
        from aelab.evaluation import representation
        from aelab.models.common import DenseConfig, Spec
        from aelab.training import artifacts, multi_seed
        from aelab.training.task import new_model_task

        spec, tasks = Spec(meta.shape, len(meta.classes), meta.columns), []
        form: dict[str, Any] = {"loss": "mse", **spec.outputs}
        for depth, code in nets.pairs():
            name, config = f"{depth}x{code}", DenseConfig(nets.widths(depth, code), **form).recorded()
            tasks.append(new_model_task("dense", config, spec, settings, (seed, "capacity", name), name))
        multi_seed.train(tasks, job.out, machine, device, recorder, job.checkpoints)

        def probe(model: Any, train: Tensors, validation: Tensors) -> float:
            """The accuracy on validation images of a linear probe of the codes."""
            coded = [(mapped(model.encode, *split), split.y) for split in (train, validation)]
            return representation.linear_probe(coded[0], coded[1], coded[1]).validation

        rows = []
        data = [tensors.split(name, device) for name in ("train", "validation")]
        for (depth, code), task in zip(nets.pairs(), tasks, strict=True):
            histories = storage.load_json(job.out / task.folder / "history.json")
            best = [min(epoch["monitor"] for epoch in epochs) for epochs in histories]
            probes = [
                probe(artifacts.load(job.out / task.folder, seed, device), *data) for seed in range(nets.num_seeds)
            ]
            rows.append({"depth": depth, "latent_dim": code, "sse": best, "probe_accuracy": probes})
        storage.save_json(job.out / "capacity.json", rows)


if __name__ == "__main__":
    stage.main(capacity)
