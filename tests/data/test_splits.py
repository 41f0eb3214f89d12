"""Train, validation and test: their sizes, balance and bytes."""

import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from damage import damaged
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.config import seeding
from aelab.data import splits, storage, synthetic
from aelab.sources import published

SIZES = published.SOURCES["mnist5k"].sizes


def balance(labels: np.ndarray) -> int:
    counts = np.bincount(labels, minlength=10)
    return int(counts.max() - counts.min())


@pytest.fixture(scope="module")
def pool():
    """The embedded digits; each image is told apart by its bytes."""
    return published.fetch("mnist5k", ())


def bytes_of(part) -> list[bytes]:
    return [image.tobytes() + label.tobytes() for image, label in zip(*part, strict=True)]


def test_the_embedded_digits_are_split_whole_disjoint_and_balanced(pool):
    parts = splits.split(pool, SIZES, 7)
    assert {name: len(labels) for name, (_, labels) in parts.items()} == {
        "train": 3500,
        "validation": 500,
        "test": 1000,
    }
    for images, labels in parts.values():
        assert (images.shape[1:], images.dtype, labels.dtype) == ((1, 28, 28), np.uint8, np.int64)
        assert balance(labels) <= 1
        assert np.any(np.diff(labels) < 0), "not sorted by class"
    everything = sorted(row for part in parts.values() for row in bytes_of(part))
    assert everything == sorted(bytes_of(pool["train"]))


def test_a_split_is_made_by_its_seed(pool):
    first, again, other = (splits.split(pool, SIZES, seed) for seed in (7, 7, 8))
    for name in SIZES:
        assert np.array_equal(first[name][0], again[name][0])
        assert np.array_equal(first[name][1], again[name][1])
        assert not np.array_equal(first[name][0], other[name][0])


def test_the_end_of_an_official_training_set_is_validation():
    images, labels = np.arange(60, dtype=np.uint8).reshape(60, 1, 1), np.arange(60)
    test = np.arange(10, dtype=np.uint8).reshape(10, 1, 1), np.arange(10)
    parts = splits.split({"train": (images, labels), "test": test}, {"train": 50, "validation": 10}, 7)
    assert parts["train"][1].tolist() == list(range(50))
    assert parts["validation"][1].tolist() == list(range(50, 60))
    assert parts["validation"][0].ravel().tolist() == list(range(50, 60))
    assert parts["test"] is test


@settings(max_examples=50)
@given(st.lists(st.integers(0, 4), max_size=60), st.data(), st.integers(0, 2**32))
def test_stratified_rows_are_disjoint_and_of_the_sizes_asked_for(labels, data, seed):
    sizes = data.draw(st.lists(st.integers(0, len(labels)), max_size=4).filter(lambda sizes: sum(sizes) <= len(labels)))
    rows = splits.stratified(np.array(labels, dtype=np.int64), sizes, seed)
    assert [len(each) for each in rows] == sizes
    taken = np.concatenate([*rows, np.empty(0, dtype=np.int64)]).astype(int).tolist()
    assert len(set(taken)) == len(taken)
    assert set(taken) <= set(range(len(labels)))


@settings(max_examples=50)
@given(st.integers(1, 8), st.integers(2, 20), st.data(), st.integers(0, 2**32))
def test_classes_of_equal_size_stay_equal_within_one(classes, each, data, seed):
    labels = np.repeat(np.arange(classes), each)
    size = data.draw(st.integers(1, len(labels)))
    counts = np.bincount(labels[splits.stratified(labels, [size], seed)[0]], minlength=classes)
    assert counts.max() - counts.min() <= 1


@settings(max_examples=50)
@given(st.lists(st.integers(0, 20), min_size=10, max_size=80), st.integers(0, 2**32))
def test_drawn_splits_hold_every_row_once_and_equal_images_together(values, seed):
    images = np.array(values, np.uint8).reshape(-1, 1, 1, 1)
    if len(np.unique(images)) < 5:
        return
    parts = splits.divide({"train": (images, np.zeros(len(values), np.int64))}, seed)
    assert list(parts) == ["train", "validation", "test"]
    kept = {name: set(x.ravel().tolist()) for name, (x, _) in parts.items()}
    assert all(kept.values())
    assert sum(len(x) for x, _ in parts.values()) == len(values)
    assert sum(map(len, kept.values())) == len(set(values)), "a value is in one split only"


def test_drawn_splits_have_their_shares_of_each_class():
    images, labels = np.arange(1000, dtype=np.uint16).view(np.uint8).reshape(1000, 1, 1, 2), np.arange(1000) % 4
    parts = splits.divide({"train": (images, labels)}, 0)
    assert {name: np.bincount(y).tolist() for name, (_, y) in parts.items()} == {
        "train": [175] * 4,
        "validation": [25] * 4,
        "test": [50] * 4,
    }


def test_splits_that_data_brings_stay_and_only_the_missing_one_is_drawn():
    images, labels = np.arange(160, dtype=np.uint8).reshape(160, 1, 1, 1), np.zeros(160, np.int64)
    test = images[:20], labels[:20]
    parts = splits.divide({"train": (images, labels), "test": test}, 0)
    assert {name: len(y) for name, (_, y) in parts.items()} == {"train": 140, "validation": 20, "test": 20}
    assert sorted(parts["test"][0].ravel().tolist()) == list(range(20))
    brought = splits.divide({"train": test, "validation": test, "test": test}, 0)["train"][0]
    assert sorted(brought.ravel().tolist()) == list(range(20))


@pytest.mark.parametrize("how", ["drawn", "brought", "by group", "by time"])
def test_rows_of_a_split_are_in_random_order_even_if_files_are_sorted_by_class(how):
    x, labels = np.arange(1000.0)[:, None], np.repeat([0, 1], 500)
    if how == "by time":
        parts = splits.in_order((x, np.tile(labels, 1)[::-1]), np.arange(1000), 0)
        assert (np.diff(parts["train"][0].ravel()) < 0).any()
        return
    given = {"train": (x, labels)} | ({"test": (x, labels)} if how == "brought" else {})
    parts = splits.divide(given, 0, np.arange(1000) // 2 if how == "by group" else None)
    for part, y in parts.values():
        assert 0 < y[: len(y) // 2].mean() < 1
        assert (labels[part.ravel().astype(int)] == y).all(), "images keep their labels"


def test_more_rows_than_there_are_is_one_clear_error():
    with pytest.raises(ValueError, match=r"^splits of \[4, 2\] images are more than the 5 there are$"):
        splits.stratified(np.zeros(5), [4, 2], 0)


def test_the_same_arrays_are_the_same_bytes(tmp_path, pool):
    part = splits.split(pool, SIZES, 7)["validation"]
    for name in ("one", "two"):
        splits.save(tmp_path / name, (part[0].copy(), part[1].copy()))
    for file in ("x.npy", "y.npy"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    again = splits.load("one", tmp_path)
    assert again.x.shape == (500, 1, 28, 28)
    assert np.array_equal(again.x, part[0])
    assert np.array_equal(again.y, part[1])
    assert len(again) == 500


def test_the_digest_sees_every_pixel_and_label():
    images, labels = np.zeros((3, 1, 2, 2), np.uint8), np.zeros(3, np.int64)
    first = splits.digest((images, labels))
    pixel, label = images.copy(), labels.copy()
    pixel[2, 0, 1, 1] = label[2] = 1
    assert len({first, splits.digest((pixel, labels)), splits.digest((images, label))}) == 3
    assert first == splits.digest((images.copy(), labels.copy()))
    assert len(first) == 32


@settings(max_examples=300)
@given(st.data())
def test_a_damaged_file_is_an_error_that_names_it(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("split") / "train"
    images = np.arange(12, dtype=np.uint8).reshape(3, 2, 2)
    splits.save(folder, (images, np.arange(3)))
    content = (folder / "x.npy").read_bytes()
    (folder / "x.npy").write_bytes(data.draw(damaged(content)))
    try:
        loaded = splits.load(folder.name, folder.parent)
    except ValueError as error:
        assert str(error).startswith(str(folder))  # noqa: PT017
    else:  # the harm was done to pixels, of which DVC's checksum tells
        assert (loaded.x.shape, loaded.y.tolist()) == ((3, 1, 2, 2), [0, 1, 2])


class Trap:
    """Unpickling it leaves a file behind."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_pickle_is_refused_and_not_run(tmp_path):
    trap = tmp_path / "sprung"
    splits.save(tmp_path / "train", (np.zeros((1, 2, 2), np.uint8), np.zeros(1, np.int64)))
    np.save(tmp_path / "train/x.npy", np.array([Trap(trap)], dtype=object))
    (tmp_path / "plain.npz").write_bytes(pickle.dumps(Trap(trap)))
    np.savez(tmp_path / "object.npz", images=np.array([Trap(trap)], dtype=object))
    with pytest.raises(ValueError, match=r"train/x\.npy: not readable as npy"):
        splits.load("train", tmp_path)
    for name in ("object", "plain"):
        with pytest.raises(ValueError, match=rf"{name}\.npz: not readable as npz"):
            storage.load_arrays(tmp_path / f"{name}.npz")
    assert not trap.exists()


def test_a_missing_split_is_named(tmp_path):
    with pytest.raises(FileNotFoundError) as caught:
        splits.load("train", tmp_path)
    assert str(caught.value.filename).endswith("train/x.npy")


@pytest.mark.parametrize("content", ["", '{"name": "mnist', "[]", "{}", '{"name": 1, "shape": 2}'])
def test_a_damaged_description_is_an_error_that_names_the_file(content, tmp_path, monkeypatch):
    monkeypatch.setattr(splits, "LEARNING", tmp_path)
    (tmp_path / "meta.json").write_text(content)
    with pytest.raises(ValueError, match=r"meta\.json: not readable \("):
        splits.meta()


def test_prepare_writes_each_split_and_what_it_is(prepared, monkeypatch):
    monkeypatch.chdir(prepared.folder)
    assert {name: len(splits.load(name)) for name in SIZES} == SIZES
    meta = splits.meta()
    assert (meta.name, meta.shape, meta.classes) == ("mnist5k", (1, 28, 28), tuple("0123456789"))
    train = splits.load("train")
    assert meta.digest == splits.digest((train.x, train.y))
    learning = {path.name for path in splits.LEARNING.iterdir()}
    assert learning == {"train", "validation", "meta.json"}, "neither test nor ood images"


def test_what_is_ood_to_the_embedded_digits_are_drawn_shapes(prepared, monkeypatch):
    monkeypatch.chdir(prepared.folder)
    ood = splits.load("ood")
    assert (ood.x.shape, ood.x.dtype, ood.y.dtype) == ((1000, 1, 28, 28), np.uint8, np.int64)
    assert ood.y.tolist() == [i % 10 for i in range(1000)]
    seed = seeding.derive(1, "prepare", "ood")
    assert np.array_equal(ood.x, synthetic.shapes(1000, (1, 28, 28), 10, seed)[0])
    assert json.loads((splits.LEARNING / "meta.json").read_text())["ood"] == "synthetic shapes"


def test_without_normal_classes_ood_images_are_the_anomalies(prepared, monkeypatch):
    monkeypatch.chdir(prepared.folder)
    ood, test, validation = (splits.load(name) for name in ("ood", "anomalies", "validation_anomalies"))
    assert np.array_equal(test.x, ood.x[::2])
    assert np.array_equal(validation.x, ood.x[1::2])


def test_no_model_learns_from_classes_that_are_not_normal(prepared, monkeypatch):
    before = {name: splits.load(name, prepared.folder / splits.place(name).parent) for name in SIZES}
    whole = {name: (np.array(part.x), np.array(part.y)) for name, part in before.items()}
    prepared.edit("normal: null", "normal: [3, '8']")
    prepared.run("prepare")
    monkeypatch.chdir(prepared.folder)
    for name, (x, y) in whole.items():
        part = splits.load(name)
        assert set(part.y) == {3, 8}
        assert np.array_equal(part.x, x[np.isin(y, (3, 8))])
    x, y = whole["test"]
    assert np.array_equal(splits.load("anomalies").x, x[~np.isin(y, (3, 8))])
    held_out = [x[~np.isin(y, (3, 8))] for x, y in (whole["train"], whole["validation"])]
    assert np.array_equal(splits.load("validation_anomalies").x, np.concatenate(held_out))
    assert json.loads((splits.LEARNING / "meta.json").read_text())["normal"] == ["3", "8"]


def test_pooled_splits_are_drawn_anew_from_all_items(prepared, monkeypatch):
    parts = [splits.load(name, prepared.folder / splits.place(name).parent) for name in SIZES]
    before = sorted(bytes_of((np.concatenate([part.x for part in parts]), np.concatenate([part.y for part in parts]))))
    official = {"train": (parts[0].x, parts[0].y), "test": (parts[2].x, parts[2].y)}
    prepared.change(lambda tree: tree["prepare"].update(pooled=[0.6, 0.2, 0.2]))
    prepared.run("prepare")
    monkeypatch.chdir(prepared.folder)
    after = {name: splits.load(name) for name in SIZES}
    assert {name: len(part) for name, part in after.items()} == {"train": 3000, "validation": 1000, "test": 1000}
    assert max(balance(part.y) for part in after.values()) <= 6  # equal digits come into one split
    assert sorted(row for part in after.values() for row in bytes_of((part.x, part.y))) == before
    drawn = splits.pooled(official, {"sizes": SIZES}, (0.5, 0.3, 0.2), 0)  # also of data with a test split of its own
    assert {name: len(y) for name, (_, y) in drawn.items()} == {"train": 2250, "validation": 1350, "test": 900}
    with pytest.raises(ValueError, match=r"prepare.pooled: own data has splits by class, group or time already"):
        splits.pooled(official, {"sizes": {}}, (0.5, 0.3, 0.2), 0)


@pytest.mark.parametrize("shares", [[0.6, 0.3, 0.2], [0.6, 0.4, 0.0]])
def test_shares_of_more_than_there_is_are_refused(prepared, shares):
    prepared.change(lambda tree: tree["prepare"].update(pooled=shares))
    words = f"prepare.pooled: {shares} is wrong; allowed: three shares above 0, together 1"
    assert prepared.fail("prepare") == f"prepare: params.yaml: {words}"


def test_anomalies_of_the_test_split_alone_serve_validation_too():
    """As in MVTec, whose training images are all good."""
    good, bad = np.zeros(4, np.int64), np.array([0, 1, 1, 1])
    parts = {"train": (np.arange(4), good), "validation": (np.arange(4), good), "test": (np.arange(4), bad)}
    found = splits.without_anomalies(parts, ("good", "scratch"), ("good",))
    assert {name: x.tolist() for name, (x, _) in found.items()} == {
        "train": [0, 1, 2, 3],
        "validation": [0, 1, 2, 3],
        "test": [0],
        "anomalies": [1, 3],
        "validation_anomalies": [2],
    }


@pytest.mark.parametrize(
    ("normal", "words"),
    [
        (("ugly",), "no class 'ugly'; the classes of the data set: good, bad"),
        (("bad",), "no row of the train split is of bad"),
        (("good", "bad"), "nothing to find"),
    ],
)
def test_normal_classes_that_leave_nothing_are_refused(normal, words):
    part = (np.arange(4), np.zeros(4, np.int64))
    parts = {"train": part, "validation": part, "test": (np.arange(4), np.array([0, 1, 1, 1]))}
    with pytest.raises(ValueError, match=words):
        splits.without_anomalies(parts, ("good", "bad"), normal)


def test_a_download_without_a_description_is_one_line(prepared):
    (prepared.folder / "data/download/meta.json").write_text('{"name": "nmist"}')
    assert "data/download/meta.json: describes no data set" in prepared.fail("prepare")


def test_preparing_again_gives_the_same_bytes_and_another_seed_others(prepared):
    before = prepared.files()
    prepared.run("prepare")
    assert prepared.files() == before
    prepared.change(lambda tree: tree.update(seed=2))
    prepared.run("prepare")
    after = prepared.files()
    assert after.keys() == before.keys()
    for name in ("learning/train", "learning/validation", "test", "ood"):
        assert after[f"data/prepare/{name}/x.npy"] != before[f"data/prepare/{name}/x.npy"]


def test_a_limit_keeps_so_many_balanced_training_images_and_all_others(prepared, monkeypatch):
    before = prepared.files()
    whole = {image.tobytes() for image in np.load(prepared.folder / "data/prepare/learning/train/x.npy")}
    prepared.edit("limit: null", "limit: 105")
    prepared.run("prepare")
    after = prepared.files()
    monkeypatch.chdir(prepared.folder)
    train = splits.load("train")
    assert len(train) == 105
    assert balance(train.y) <= 1
    assert {image.tobytes() for image in train.x} <= whole
    for name in ("learning/validation", "test", "ood"):
        assert after[f"data/prepare/{name}/x.npy"] == before[f"data/prepare/{name}/x.npy"]
    assert splits.meta().digest == splits.digest((train.x, train.y))


def test_a_limit_above_what_there_is_changes_nothing(prepared):
    before = prepared.files()
    prepared.edit("limit: null", "limit: 3500")
    prepared.run("prepare")
    told = "data/prepare/tracked.jsonl"  # holds the parameter itself
    assert prepared.files() | {told: b""} == before | {told: b""}


MIRROR = Path(os.environ.get("DVC_ROOT", "."), os.environ.get("AELAB_MIRROR", ""))


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_last_ten_thousand_official_training_images_are_validation(name, lab, monkeypatch):
    other = published.SOURCES[published.SOURCES[name].ood.source]
    for folder in (published.SOURCES[name].folder, other.folder):
        if not os.environ.get("AELAB_MIRROR") or not (MIRROR / folder).is_dir():
            pytest.skip(f"AELAB_MIRROR names no folder with {folder}/, and the files are large")
    lab.env["AELAB_MIRROR"] = str(MIRROR.resolve())
    lab.edit("name: mnist5k", f"name: {name}")
    lab.run("download")
    lab.run("prepare")
    monkeypatch.chdir(lab.folder)
    raw = splits.load("train", Path("data/download"))
    train, validation, test = (splits.load(each) for each in ("train", "validation", "test"))
    assert np.array_equal(train.x, raw.x[:50000])
    assert np.array_equal(train.y, raw.y[:50000])
    assert np.array_equal(validation.x, raw.x[50000:])
    assert np.array_equal(validation.y, raw.y[50000:])
    assert len(validation) == len(test) == 10000
    official = splits.load("test", Path("data/download"))
    assert np.array_equal(test.x, official.x)
    assert np.array_equal(test.y, official.y)
    assert splits.meta().name == name
    ood = splits.load("ood")
    assert (ood.x.shape, ood.x.dtype, ood.y.dtype) == ((10000, 1, 28, 28), np.uint8, np.int64)
    assert np.bincount(ood.y).shape == (10,)
    assert ood.y[:5].tolist() == {"mnist": [9, 2, 1, 1, 6], "fashion_mnist": [7, 2, 1, 0, 4]}[name]
    if name == "mnist":  # as the files of LeCun, Cortes and Burges begin
        assert train.y[:5].tolist() == [5, 0, 4, 1, 9]
        assert test.y[:5].tolist() == [7, 2, 1, 0, 4]


def test_groups_are_never_divided():
    rng = np.random.default_rng(0)
    groups = rng.integers(0, 40, 1000)
    x = np.arange(1000.0)[:, None]
    parts = splits.divide({"train": (x, np.zeros(1000, np.int64))}, 0, groups)
    seen = {name: set(groups[part[:, 0].astype(int)]) for name, (part, _) in parts.items()}
    assert not seen["train"] & seen["validation"]
    assert not seen["train"] & seen["test"]
    assert not seen["validation"] & seen["test"]
    assert sum(len(part) for part, _ in parts.values()) == 1000
    assert {name: len(found) for name, found in seen.items()} == {"train": 28, "validation": 4, "test": 8}


def test_the_last_rows_by_time_are_the_test_and_equal_times_stay_together():
    times = np.sort(np.random.default_rng(0).integers(0, 50, 1000))
    x = times[:, None].astype(float)
    parts = splits.in_order((x, np.zeros(1000, np.int64)), times, 0)
    ends = [(part.min(), part.max()) for part, _ in parts.values()]
    assert ends[0][1] < ends[1][0] <= ends[1][1] < ends[2][0]
    sizes = [len(part) for part, _ in parts.values()]
    assert sum(sizes) == 1000
    assert np.abs(np.array(sizes) - [700, 100, 200]).max() < 40
