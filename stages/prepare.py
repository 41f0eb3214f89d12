"""Split the data set into train, validation and test files, with out-of-distribution images beside them."""

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, seeding
from aelab.data import storage
from aelab.runner import stage


def prepare(job: stage.Job) -> None:
    from aelab.data import sources, splits, synthetic

    seed, settings = params.load("seed", "prepare")
    folder = stage.folder("download")
    name = storage.load_json(folder / "meta.json").get("name")
    if name not in sources.SOURCES:
        raise ValueError(f"{folder / 'meta.json'}: {name!r} is no data set; `dvc repro` or `dvc checkout` restores it")
    source = sources.SOURCES[name]

    def read(part: str) -> splits.Part:
        images = splits.load(part, folder)
        return images.x[:, 0], images.y

    with tracking.track(job, name) as recorder:
        recorder.params({"seed": seed, "prepare": settings})
        raw = {part: read(part) for part in ("train", "test")[: 1 if "test" in source.sizes else 2]}
        parts = splits.split(raw, source.sizes, seeding.derive(seed, "prepare", "split"))
        if settings.limit is not None and settings.limit < len(parts["train"][1]):
            images, labels = parts["train"]
            rows = splits.stratified(labels, [settings.limit], seeding.derive(seed, "prepare", "limit"))[0]
            parts["train"] = images[rows], labels[rows]
        size = parts["train"][0].shape[1:]
        parts["ood"] = (
            read("ood")
            if source.ood.source
            else synthetic.shapes(synthetic.COUNT, size, len(source.classes), seeding.derive(seed, "prepare", "ood"))
        )
        learning = job.out / splits.LEARNING.name
        learning.mkdir()
        for part, arrays in parts.items():
            splits.save((job.out if part in splits.HELD_OUT else learning) / part, arrays)
        digest = splits.digest(parts["train"])
        meta = {
            "name": name,
            "title": source.title,
            "shape": [1, *size],
            "classes": source.classes,
            "digest": digest,
            "ood": source.ood.title,
        }
        storage.save_json(learning / "meta.json", meta)
        recorder.dataset(name=name, digest=digest, source=source.title, context="train")
        recorder.metrics({f"images/{part}": float(len(labels)) for part, (_, labels) in parts.items()})


if __name__ == "__main__":
    stage.main(prepare)
