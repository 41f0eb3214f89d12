"""Train one model of `models:` with several seeds."""

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, runtime
from aelab.runner import stage


def train(job: stage.Job) -> None:
    train_entry(job, "train", "models")


def train_entry(job: stage.Job, section: str, group: str) -> None:
    """Train the entry `job.name` of `group` with the settings of `section`."""
    from aelab.data import splits

    meta = splits.meta()
    with tracking.track(job, meta.name) as recorder:
        seed, machine = params.load("seed", "runtime")
        entry, settings = params.load_entry(section, group, job.name)
        recorder.params({"seed": seed, "runtime": machine, section: settings, "model": entry})
        recorder.dataset(name=meta.name, digest=meta.digest, source="data/prepare", context="train")
        device = runtime.setup(machine)
        from aelab.models.common import Spec
        from aelab.training import multi_seed
        from aelab.training.task import classes_subset, new_model_task

        spec, options = Spec(meta.shape, len(meta.classes), meta.columns), {}
        if settings.normal:
            labels = splits.numbers(meta.classes, settings.normal, f"{group}.{entry.name}.normal")
            options["subset"] = classes_subset(labels)
        task = new_model_task(entry.family, entry.config, spec, settings, (seed, section, entry.name), **options)
        multi_seed.train([task], job.out, machine, device, recorder, job.checkpoints)


if __name__ == "__main__":
    stage.main(train)
