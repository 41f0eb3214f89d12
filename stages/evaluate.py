"""Measure one trained model on the test split, as the floors were, and keep what its pictures are drawn from."""

import itertools
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
        data = tensors.everything(device)
        judging = judge.load(
            Spec(meta.shape, len(meta.classes)), checkpoints.load_weights(floors / "judge.safetensors"), device
        )
        common = partial(runtime.generator, seed, "floors", device=device)  # the floors' own draws
        bench = evaluation.Bench(data, sizes, judging, common)
        recorder.tags({"device": runtime.describe(device), "seed": seed})
        parts, described, kept = replicates.parts(source), {}, {}

        def measure(replicate: int, metrics: seeds.Metrics) -> dict[str, float]:
            draw = partial(runtime.generator, seed, "evaluate", job.name, replicate, device=device)
            found = {}
            for part in parts:
                model = replicates.load(part, replicate, device)
                found |= evaluation.numbers(model, bench, settings, draw)
                if replicate == 0:
                    described.update(evaluation.about(model, data.test, settings))
                    kept.update(arrays.of(model, data, settings, draw))
            metrics(found, replicate=replicate)
            return found

        measured = seeds.each(measure, about["replicates"], recorder.metrics, alone=device.type != "cpu")
        panel = splits.load_arrays(source / "panel.npz") if (source / "panel.npz").exists() else {}
        kept |= {f"panel/{step}": digits[:, 0] for step, digits in panel.items()}
        splits.save_arrays(job.out / "arrays.npz", kept)
        columns = {name: [row[name] for row in measured] for name in measured[0]}
        histories = [checkpoints.load_json(part / "history.json") for part in parts]
        history = [list(itertools.chain(*rows)) for rows in zip(*histories, strict=True)]
        ills = doctor.diagnose(columns, history, held_against)
        recorder.tags({f"doctor.{name}": words for name, words in ills.items()})
        doctor.refuse(ills, settings.fail_on)
        weights = [file for part in parts for file in sorted(part.glob("weights-*.safetensors"))]
        about |= described | {"source": str(source), "diagnoses": ills}
        about |= {"weights": {str(file.relative_to(source)): checkpoints.md5(file) for file in weights}}
        recorder.model(about, columns)
        about |= {"metrics": columns, "history": history}
        checkpoints.save_json(job.out / "metrics.json", about)


if __name__ == "__main__":
    stage.main(evaluate)
