"""Measure once what every model is compared with: filters, the noisy input, codes that nobody learnt; the judge.

How all is measured is settled here, once: params.json hands it on to `evaluate`.
"""

from functools import partial

import here  # noqa: F401  (first: which code runs)
from aelab.core import checkpoints, params, runtime, stage


def floors(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with job.track(meta.name) as recorder:
        how = ("seed", "runtime", "floors", "evaluate")
        seed, machine, settings, _ = params.load(*how)
        recorder.params({"seed": seed, "runtime": machine, "floors": settings})
        from aelab.data import tensors
        from aelab.metrics import evaluation, judge, toys
        from aelab.metrics import floors as measures
        from aelab.models.base import Spec

        device = job.device(machine)
        data, noisy = tensors.everything(device).whole(), tensors.noisy("validation", device)
        recorder.tags({"device": runtime.describe(device), "seed": seed})
        draw = partial(runtime.generator, seed, "floors")
        judging = judge.train(data, Spec(meta.shape, len(meta.classes)), settings.epochs, draw)
        bench = evaluation.Bench(data, noisy, settings, judging, partial(draw, device=device))
        found, pictures = measures.everything(bench)
        pictures |= toys.manifolds(draw("manifolds")) | toys.field(draw("field"))
        checkpoints.save_weights(job.out / "judge.safetensors", judging.state_dict())
        checkpoints.save_json(job.out / "params.json", params.written(*how))
        checkpoints.save_json(job.out / "floors.json", found | {"device": runtime.describe(device)})
        splits.save_arrays(job.out / "arrays.npz", pictures)
        recorder.metrics(measures.flat(found))


if __name__ == "__main__":
    stage.main(floors)
