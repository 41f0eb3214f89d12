"""Split the data set into train, validation and test files, and put strange images beside them."""

import here  # noqa: F401  (first: which code runs)
from aelab.core import checkpoints, params, runtime, stage


def prepare(job: stage.Job) -> None:
    from aelab.data import drawn, sources, splits

    seed, settings = params.load("seed", "prepare")
    folder = stage.folder("download")
    name = checkpoints.load_json(folder / "meta.json").get("name")
    if name not in sources.SOURCES:
        raise ValueError(f"{folder / 'meta.json'}: {name!r} is no data set; `dvc repro` or `dvc checkout` restores it")
    source = sources.SOURCES[name]

    def read(part: str) -> splits.Part:
        images = splits.load(part, folder)
        return images.x[:, 0], images.y

    with job.track(name) as recorder:
        recorder.params({"seed": seed, "prepare": settings})
        raw = {part: read(part) for part in ("train", "test")[: 1 if "test" in source.sizes else 2]}
        parts = splits.split(raw, source.sizes, runtime.derive(seed, "prepare", "split"))
        if settings.limit is not None and settings.limit < len(parts["train"][1]):
            images, labels = parts["train"]
            rows = splits.stratified(labels, [settings.limit], runtime.derive(seed, "prepare", "limit"))[0]
            parts["train"] = images[rows], labels[rows]
        size = parts["train"][0].shape[1:]
        parts["strange"] = (
            read("strange")
            if source.strange.source
            else drawn.shapes(drawn.COUNT, size, len(source.classes), runtime.derive(seed, "prepare", "strange"))
        )
        learning = job.out / splits.LEARNING.name
        learning.mkdir()
        for part, arrays in parts.items():
            splits.save(job.out if part in splits.HELD_OUT else learning, part, arrays)
        digest = splits.digest(parts["train"])
        meta = {
            "name": name,
            "title": source.title,
            "shape": [1, *size],
            "classes": source.classes,
            "digest": digest,
            "strange": source.strange.title,
        }
        checkpoints.save_json(learning / "meta.json", meta)
        recorder.dataset(name=name, digest=digest, source=source.title, context="train")
        recorder.metrics({f"images/{part}": float(len(labels)) for part, (_, labels) in parts.items()})


if __name__ == "__main__":
    stage.main(prepare)
