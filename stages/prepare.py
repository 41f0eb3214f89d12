"""Split the data set into train, validation and test files."""

import here  # noqa: F401  (first: which code runs)
from aelab.core import checkpoints, params, runtime, stage


def prepare(job: stage.Job) -> None:
    from aelab.data import sources, splits

    seed, settings = params.load("seed", "prepare")
    folder = stage.folder("download")
    name = checkpoints.load_json(folder / "meta.json").get("name")
    if name not in sources.SOURCES:
        raise ValueError(f"{folder / 'meta.json'}: {name!r} is no data set; `dvc repro` or `dvc checkout` restores it")
    source = sources.SOURCES[name]
    with job.track(name) as recorder:
        recorder.params({"seed": seed, "prepare": settings})
        raw = {part: splits.load(part, folder) for part in ("train", "test")[: 1 if "test" in source.sizes else 2]}
        parts = {part: (images.x[:, 0], images.y) for part, images in raw.items()}
        parts = splits.split(parts, source.sizes, runtime.derive(seed, "prepare", "split"))
        if settings.limit is not None and settings.limit < len(parts["train"][1]):
            images, labels = parts["train"]
            rows = splits.stratified(labels, [settings.limit], runtime.derive(seed, "prepare", "limit"))[0]
            parts["train"] = images[rows], labels[rows]
        learning = job.out / splits.LEARNING.name
        learning.mkdir()
        for part, arrays in parts.items():
            splits.save(job.out if part == "test" else learning, part, arrays)
        digest = splits.digest(parts["train"])
        shape = [1, *parts["train"][0].shape[1:]]
        meta = {
            "name": name,
            "title": source.title,
            "shape": shape,
            "classes": source.classes,
            "digest": digest,
        }
        checkpoints.save_json(learning / "meta.json", meta)
        recorder.dataset(name=name, digest=digest, source=source.title, context="train")
        recorder.metrics({f"images/{part}": float(len(labels)) for part, (_, labels) in parts.items()})


if __name__ == "__main__":
    stage.main(prepare)
