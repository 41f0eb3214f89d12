"""Measure one trained model on the test split and keep what its pictures are drawn from."""

from functools import partial

import here  # noqa: F401  (first: which code runs)
from aelab import checkpoints, params, runtime, stage


def evaluate(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with job.track(meta.name) as recorder:
        seed, machine, settings = params.load("seed", "runtime", "evaluate")
        recorder.params({"seed": seed, "runtime": machine, "evaluate": settings})
        from aelab import replicates, seeds
        from aelab.data import tensors
        from aelab.metrics import evaluation

        device, source = job.device(machine), stage.DATA / str(job.item)
        about = checkpoints.load_json(source / "model.json")
        data = tensors.everything(device)
        recorder.tags({"device": runtime.describe(device), "seed": seed})
        kept = {}

        def measure(replicate: int, metrics: seeds.Metrics) -> dict[str, float]:
            model = replicates.load(source, replicate, device)
            draw = partial(runtime.generator, seed, "evaluate", job.name, replicate, device=device)
            found = evaluation.numbers(model, data, settings, draw)
            metrics(found, replicate=replicate)
            if replicate == 0:
                kept.update(evaluation.arrays(model, data, settings, draw))
            return found

        measured = seeds.each(measure, about["replicates"], recorder.metrics, alone=device.type != "cpu")
        panel = splits.load_arrays(source / "panel.npz") if (source / "panel.npz").exists() else {}
        kept |= {f"panel/{step}": digits[:, 0] for step, digits in panel.items()}
        splits.save_arrays(job.out / "arrays.npz", kept)
        columns = {name: [row[name] for row in measured] for name in measured[0]}
        history = checkpoints.load_json(source / "history.json")
        checkpoints.save_json(job.out / "metrics.json", about | {"metrics": columns, "history": history})


if __name__ == "__main__":
    stage.main(evaluate)
