"""Evaluate the baselines: filters, the noisy input, PCA and random projections; train the feature classifier.

params.json passes the evaluation settings on to `evaluate`, so that models and baselines are measured alike.
"""

from functools import partial

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, runtime, seeding
from aelab.data import storage
from aelab.runner import stage

SECTIONS = ("seed", "runtime", "baselines", "evaluate")


def baselines(job: stage.Job) -> None:
    from aelab.data import splits

    meta = splits.meta()
    with tracking.track(job, meta.name) as recorder:
        seed, machine, settings, _ = params.load(*SECTIONS)
        recorder.params({"seed": seed, "runtime": machine, "baselines": settings})
        device = runtime.setup(machine)
        from aelab.data import tensors
        from aelab.evaluation import baselines, context, feature_classifier, measures, toys
        from aelab.models.common import Spec
        from aelab.training import weight_files

        data, noisy = tensors.everything(device), tensors.noisy("validation", device)
        recorder.tags({"device": runtime.describe(device), "seed": seed})
        draw = partial(seeding.generator, seed, "baselines")
        classifier, spec = None, Spec(meta.shape, len(meta.classes), meta.columns)
        if meta.classes and not meta.columns and len(data.train.y.unique()) > 1:
            classifier = feature_classifier.train(data, spec, settings.classifier_steps, draw)
            weight_files.save_weights(job.out / "feature_classifier.safetensors", classifier.state_dict())
        shared = context.EvalContext(
            data, noisy, settings, classifier, partial(draw, device=device), measures.of(spec.layout)
        )
        results, arrays = baselines.everything(shared)
        for toy in (toys.manifolds, toys.sheet, toys.directions, toys.field):
            arrays |= toy(draw(toy.__name__))
        storage.save_json(job.out / "params.json", params.written(*SECTIONS))
        storage.save_json(job.out / "baselines.json", results | {"device": runtime.describe(device)})
        storage.save_arrays(job.out / "arrays.npz", arrays)
        recorder.metrics(baselines.flat(results))


if __name__ == "__main__":
    stage.main(baselines)
