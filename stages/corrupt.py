"""Make the fixed noisy copies of the validation and test sets."""

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, runtime, seeding  # noqa: F401  (runtime, before torch: fixes its CPU instructions)
from aelab.runner import stage


def corrupt(job: stage.Job) -> None:
    seed, settings = params.load("seed", "corrupt")
    from aelab.data import noisy, splits, storage
    from aelab.data.corruption import Noise
    from aelab.data.layout import Layout

    meta = splits.meta()
    layout = Layout.of(meta.columns) if meta.columns else None
    with tracking.track(job, meta.name) as recorder:
        recorder.params({"seed": seed, "corrupt": settings})
        for split in ("validation", "test"):
            x = splits.load(split).x
            noises = [Noise.parse(text) for text in settings.noises]
            seeds = [seeding.derive(seed, "corrupt", split, noise.label) for noise in noises]
            arrays = {n.label: noisy.corrupted(x, n, s, layout) for n, s in zip(noises, seeds, strict=True)}
            storage.save_arrays(job.out / f"{split}.npz", arrays)


if __name__ == "__main__":
    stage.main(corrupt)
