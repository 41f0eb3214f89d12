"""Download the data set and its out-of-distribution images, verify their checksums, keep them as arrays."""

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params
from aelab.data import storage
from aelab.runner import stage


def download(job: stage.Job) -> None:
    from aelab.data import sources, splits

    dataset, settings = params.load("data", "download")
    with tracking.track(job, dataset.name) as recorder:
        recorder.params({"data": dataset})
        parts = sources.fetch(dataset.name, settings.mirrors.get(dataset.name, ()))
        parts |= sources.fetch_ood(dataset.name, settings.mirrors)
        for name, part in parts.items():
            splits.save(job.out / name, part)
        source = sources.SOURCES[dataset.name]
        meta = {"name": dataset.name, "title": source.title, "licence": source.licence}
        storage.save_json(job.out / "meta.json", meta)


if __name__ == "__main__":
    stage.main(download)
