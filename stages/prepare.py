"""Split the data set into train, validation and test files, with out-of-distribution images beside them."""

import add_src_to_path  # noqa: F401
from aelab import tracking
from aelab.config import params, seeding
from aelab.data import storage
from aelab.runner import stage


def prepare(job: stage.Job) -> None:
    from aelab.data import splits, synthetic

    seed, settings = params.load("seed", "prepare")
    folder = stage.folder("download")
    source = storage.load_json(folder / "meta.json")
    if not {"name", "title", "classes", "sizes", "ood"} <= set(source):
        raise ValueError(f"{folder / 'meta.json'}: describes no data set; `dvc repro` or `dvc checkout` restores it")
    raw = {path.name: splits.load(path.name, folder) for path in sorted(folder.iterdir()) if path.is_dir()}
    with tracking.track(job, source["name"]) as recorder:
        recorder.params({"seed": seed, "prepare": settings})
        draw = seeding.derive(seed, "prepare", "split")
        given = {part: (images.x, images.y) for part, images in raw.items() if part != "ood"}
        parts = splits.split(given, source["sizes"], draw) if source["sizes"] else splits.divide(given, draw)
        if settings.limit is not None and settings.limit < len(parts["train"][1]):
            images, labels = parts["train"]
            rows = splits.stratified(labels, [settings.limit], seeding.derive(seed, "prepare", "limit"))[0]
            parts["train"] = images[rows], labels[rows]
        shape, classes = parts["train"][0].shape[1:], source["classes"]
        parts["ood"] = (
            (raw["ood"].x, raw["ood"].y)
            if "ood" in raw
            else synthetic.shapes(synthetic.COUNT, shape, len(classes), seeding.derive(seed, "prepare", "ood"))
        )
        learning = job.out / splits.LEARNING.name
        learning.mkdir()
        for part, arrays in parts.items():
            splits.save((job.out if part in splits.HELD_OUT else learning) / part, arrays)
        digest = splits.digest(parts["train"])
        meta = {
            "name": source["name"],
            "title": source["title"],
            "shape": shape,
            "classes": classes,
            "digest": digest,
            "ood": source["ood"],
        }
        storage.save_json(learning / "meta.json", meta)
        recorder.dataset(name=source["name"], digest=digest, source=source["title"], context="train")
        recorder.metrics({f"images/{part}": float(len(labels)) for part, (_, labels) in parts.items()})


if __name__ == "__main__":
    stage.main(prepare)
