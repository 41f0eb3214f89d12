"""Split the data set into train, validation and test files, with out-of-distribution images beside them."""

import dataclasses
from functools import partial
from typing import Any

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
    if not {"name", "title", "classes", "columns", "sizes", "ood"} <= set(source):
        raise ValueError(f"{folder / 'meta.json'}: describes no data set; `dvc repro` or `dvc checkout` restores it")
    raw = {path.name: splits.load(path.name, folder) for path in sorted(folder.iterdir()) if path.is_dir()}
    with tracking.track(job, source["name"]) as recorder:
        recorder.params({"seed": seed, "prepare": settings})
        draw = partial(seeding.derive, seed, "prepare")
        given = {part: (images.x, images.y) for part, images in raw.items() if part != "ood"}
        if settings.pooled:
            parts = splits.pooled(given, source, settings.pooled, draw("split"))
        else:
            parts = splits.of(given, source, splits.groups(folder), draw("split"))
        if normal := [str(name) for name in settings.normal or ()]:
            parts = splits.without_anomalies(parts, source["classes"], normal)
        if settings.limit is not None and settings.limit < len(parts["train"][1]):
            x, labels = parts["train"]
            rows = splits.stratified(labels, [settings.limit], draw("limit"))[0]
            parts["train"] = x[rows], labels[rows]
        classes, columns = source["classes"], []
        if "ood" in raw:
            parts["ood"] = raw["ood"].x, raw["ood"].y
        elif source["columns"]:
            x, labels = (part[: synthetic.COUNT] for part in parts["test"])
            parts["ood"] = synthetic.shuffled(x, draw("ood")), labels
        else:
            parts["ood"] = synthetic.shapes(synthetic.COUNT, parts["train"][0].shape[1:], len(classes), draw("ood"))
        if not normal:
            parts |= splits.halves(parts["ood"], synthetic.COUNT)
        if source["columns"]:
            parts, columns = scaled(parts, source)
        learning = job.out / splits.LEARNING.name
        learning.mkdir()
        for part, arrays in parts.items():
            splits.save((job.out if part in splits.HELD_OUT else learning) / part, arrays)
        digest = splits.digest(parts["train"])
        meta = {
            "name": source["name"],
            "title": source["title"],
            "shape": parts["train"][0].shape[1:],
            "classes": classes,
            "digest": digest,
            "ood": source["ood"],
        }
        if normal:
            meta["normal"] = normal
        if columns:
            meta["columns"] = [dataclasses.asdict(column) for column in columns]
        storage.save_json(learning / "meta.json", meta)
        recorder.dataset(name=source["name"], digest=digest, source=source["title"], context="train")
        recorder.metrics({f"images/{part}": float(len(labels)) for part, (_, labels) in parts.items()})


def scaled(parts: dict[str, Any], source: dict[str, Any]) -> tuple[dict[str, Any], list[Any]]:
    """The splits of a table or of series as inputs of nets, and their columns, fitted to the training split."""
    from aelab.data import columns

    names, categories = ([column[key] for column in source["columns"]] for key in ("name", "categories"))
    fitted = columns.fit(names, categories, parts["train"][0], source["scaling"])
    return {part: (columns.encode(fitted, x, categories), y) for part, (x, y) in parts.items()}, fitted


if __name__ == "__main__":
    stage.main(prepare)
