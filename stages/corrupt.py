"""Make the fixed noisy twins of the validation and test sets."""

import here  # noqa: F401  (first: which code runs)
from aelab.core import params, runtime, stage


def corrupt(job: stage.Job) -> None:
    seed, settings = params.load("seed", "corrupt")
    from aelab.core.corruption import Noise
    from aelab.data import noisy, splits

    with job.track(splits.meta().name) as recorder:
        recorder.params({"seed": seed, "corrupt": settings})
        for split in ("validation", "test"):
            images = splits.load(split).x
            noises = [Noise.parse(words) for words in settings.noises]
            seeds = [runtime.derive(seed, "corrupt", split, noise.label) for noise in noises]
            arrays = {n.label: noisy.corrupted(images, n, s) for n, s in zip(noises, seeds, strict=True)}
            splits.save_arrays(job.out / f"{split}.npz", arrays)


if __name__ == "__main__":
    stage.main(corrupt)
