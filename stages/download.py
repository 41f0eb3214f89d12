"""Fetch the data set and what is strange to it, check the bytes, keep them as arrays."""

import here  # noqa: F401  (first: which code runs)
from aelab.core import checkpoints, params, stage


def download(job: stage.Job) -> None:
    from aelab.data import sources, splits

    choice, settings = params.load("data", "download")
    with job.track(choice.name) as recorder:
        recorder.params({"data": choice})
        parts = sources.fetch(choice.name, settings.mirrors.get(choice.name, ()))
        parts |= sources.fetch_strange(choice.name, settings.mirrors)
        for name, part in parts.items():
            splits.save(job.out, name, part)
        source = sources.SOURCES[choice.name]
        checkpoints.save_json(
            job.out / "meta.json", {"name": choice.name, "title": source.title, "licence": source.licence}
        )


if __name__ == "__main__":
    stage.main(download)
