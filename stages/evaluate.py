"""Measure one trained model on the test split, as the floors were, and keep what its pictures are drawn from.

What the best model is chosen by is measured on the validation split, and stands apart.
"""

from functools import partial

import here  # noqa: F401  (first: which code runs)
from aelab.core import checkpoints, params, runtime, stage


def evaluate(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with job.track(meta.name) as recorder:
        floors = stage.folder("floors")
        how = (floors / "params.json").read_text()
        seed, machine, sizes, settings = params.load("seed", "runtime", "floors", "evaluate", text=how)
        recorder.params({"seed": seed, "runtime": machine, "evaluate": settings})
        from aelab.core import seeds
        from aelab.data import tensors
        from aelab.learning import replicates
        from aelab.metrics import arrays, doctor, evaluation, judge
        from aelab.models.base import Spec

        device, source = job.device(machine), stage.DATA / str(job.item)
        held_against = checkpoints.load_json(floors / "floors.json")
        about = checkpoints.load_json(source / "model.json")
        data, noisy = tensors.everything(device), tensors.noisy("validation", device)
        spec, weights = Spec(meta.shape, len(meta.classes)), checkpoints.load_weights(floors / "judge.safetensors")
        common = partial(runtime.generator, seed, "floors", device=device)  # the floors' own draws
        bench = evaluation.Bench(data, noisy, sizes, judge.load(spec, weights, device), common)
        recorder.tags({"device": runtime.describe(device), "seed": seed})
        described, kept = {}, {}

        def measure(replicate: int, metrics: seeds.Metrics) -> dict[str, dict[str, float]]:
            draw = partial(runtime.generator, seed, "evaluate", job.name, replicate, device=device)
            found = evaluation.Numbers({})
            for part in replicates.parts(source):
                model = replicates.load(part, replicate, device)
                found |= evaluation.numbers(model, bench, settings, draw)
                if replicate == 0:
                    described.update(evaluation.about(model, data.test, settings))
                    kept.update(arrays.of(model, data, settings, draw))
            metrics(found.test, replicate=replicate)
            return vars(found)

        measured = seeds.each(measure, about["replicates"], recorder.metrics, alone=device.type != "cpu")
        kept |= {f"panel/{step}": digits[:, 0] for step, digits in replicates.panel(source).items()}
        splits.save_arrays(job.out / "arrays.npz", kept)
        columns, validation = (
            {name: [row[split][name] for row in measured] for name in measured[0][split]}
            for split in ("test", "validation")
        )
        history = replicates.history(source)
        ills = doctor.diagnose(columns, history, held_against)
        recorder.tags({f"doctor.{name}": words for name, words in ills.items()})
        doctor.refuse(ills, settings.fail_on)
        about |= described | {"source": str(source), "diagnoses": ills, "weights": replicates.digests(source)}
        recorder.model(about, columns)
        about |= {"metrics": columns, "validation": validation, "history": history}
        checkpoints.save_json(job.out / "metrics.json", about)


if __name__ == "__main__":
    stage.main(evaluate)
