"""Get the data set: download it and verify its checksums, or read the user's own files; keep it as arrays."""

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params
from aelab.data import storage
from aelab.runner import stage


def download(job: stage.Job) -> None:
    from aelab.sources import own, published

    dataset, settings = params.load("data", "download")
    with tracking.track(job, dataset.name) as recorder:
        recorder.params({"data": {key: value for key, value in vars(dataset).items() if value}})
        if dataset.path:
            kept = own.keep(dataset, job.out)
        else:
            kept = published.keep(dataset.name, settings.mirrors, job.out, dataset.draw)
        storage.save_json(job.out / "meta.json", kept)


if __name__ == "__main__":
    stage.main(download)
