"""The user's own tables: every form, every refusal."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.data.splits import groups
from aelab.sources import own, table_files
from aelab.sources.settings import Dataset
from aelab.sources.tables import Options, look

N = 60


def frame(n: int = N, seed: int = 0) -> pd.DataFrame:
    """A number with gaps, a category with gaps, a whole number, classes, people, days."""
    rng = np.random.default_rng(seed)
    height = np.where(rng.random(n) < 0.2, np.nan, rng.normal(170, 10, n).round(1))
    colour = rng.choice(["red", "blue", "grün"], n).astype(object)
    colour[3] = None
    days = pd.date_range("2024-01-01", periods=n).strftime("%Y-%m-%d")
    return pd.DataFrame(
        {
            "height": height,
            "colour": colour,
            "children": np.arange(n) % 5,
            "group": rng.choice(["a", "b"], n),
            "person": np.arange(n) // 3,
            "day": rng.permutation(days),
        }
    )


def saved(path: Path, data: pd.DataFrame) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    match path.suffix:
        case ".parquet":
            data.to_parquet(path)
        case ".npz":
            columns = {name: data[name].to_numpy() for name in data}
            np.savez(path, **{k: v.astype(str) if v.dtype == object else v for k, v in columns.items()})
        case ".tsv":
            data.to_csv(path, sep="\t", index=False)
        case _:
            data.to_csv(path, index=False)
    return path


def written(found, folder: Path) -> tuple[np.ndarray, np.ndarray]:
    folder.mkdir()
    found.write(folder)
    return np.load(folder / "train" / "x.npy"), np.load(folder / "train" / "y.npy")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".npz"])
def test_a_table_is_seen_and_kept(tmp_path, suffix):
    data = frame().drop(columns=["day", "person"])
    if suffix == ".npz":
        data["colour"] = data["colour"].fillna("red")
    path = saved(tmp_path / "Meine Tabellen" / f"größe{suffix}", data)
    found = look(path, Options(label="group"))
    assert found.columns == {"height": (), "colour": ("blue", "grün", "red"), "children": ()}
    assert found.says()[0] == f"{N} rows, 3 columns: 2 numbers, 1 categories"
    assert found.classes == {name: int((data["group"] == name).sum()) for name in ("a", "b")}
    x, y = written(found, tmp_path / "out")
    assert (x.dtype, x.shape, y.dtype) == (np.float64, (N, 3), np.int64)
    np.testing.assert_array_equal(x[:, 0], data["height"])
    np.testing.assert_array_equal(x[:, 2], data["children"])
    names = np.array(["blue", "grün", "red"])
    known = data["colour"].notna()
    assert (names[x[known, 1].astype(int)] == data["colour"][known]).all()
    assert np.isnan(x[~known, 1]).all()
    assert (y == (data["group"] == "b")).all()


def test_what_is_missing_equal_and_how_splits_are_made_is_said(tmp_path):
    data = frame().drop(columns=["day", "person"])
    data = pd.concat([data, data.iloc[:2]])
    lines = look(saved(tmp_path / "a.csv", data), Options(label="group")).says()
    assert lines[1] == "columns of categories: colour (3)"
    assert re.fullmatch(r"missing values: height \d+\.\d%, colour \d\.\d%", lines[2])
    assert lines[3] == "2 rows equal an earlier one; splits keep them together"
    assert lines[4].startswith("2 classes, column group: a ")
    assert lines[5] == "splits: 70% training, 10% validation, 20% test, drawn by class"


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_other_separators_are_found(tmp_path, separator):
    data = frame().drop(columns=["day", "person"])
    path = tmp_path / "a.csv"
    data.to_csv(path, sep=separator, index=False)
    assert set(look(path, Options()).columns) == {"height", "colour", "children", "group"}


def test_pieces_give_what_the_whole_gives(tmp_path, monkeypatch):
    path = saved(tmp_path / "a.csv", frame())
    whole = look(path, Options(label="group", drop=("day",)))
    x, y = written(whole, tmp_path / "whole")
    monkeypatch.setattr(table_files, "PIECE", 7)
    pieces = look(path, Options(label="group", drop=("day",)))
    assert pieces == whole
    for a, b in zip(written(pieces, tmp_path / "pieces"), (x, y), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_number_that_later_is_text_is_a_category(tmp_path, monkeypatch):
    monkeypatch.setattr(table_files, "PIECE", 20)
    data = frame().drop(columns=["day"])
    data["code"] = ["1", "2"] * 25 + ["x"] * 10
    found = look(saved(tmp_path / "a.csv", data), Options())
    assert found.columns["code"] == ("1", "2", "x")


def test_groups_stay_together_and_times_in_order(tmp_path):
    data = frame()
    path = saved(tmp_path / "a.csv", data)
    found = look(path, Options(group="person", drop=("day",)))
    assert "no person in two of them" in found.says()[-1]
    written(found, tmp_path / "out")
    np.testing.assert_array_equal(groups(tmp_path / "out"), data["person"])
    found = look(path, Options(time="day", drop=("person",)))
    assert found.says()[-1] == "splits: the first 70% by day for training, the last 20% for the test"
    x, _ = written(found, tmp_path / "ordered")
    np.testing.assert_array_equal(x[:, 0], data.sort_values("day", kind="stable")["height"])
    assert (np.diff(groups(tmp_path / "ordered")) >= 0).all()


def test_a_column_that_numbers_the_rows_is_named(tmp_path):
    data = frame().drop(columns=["day"])
    assert not [line for line in look(saved(tmp_path / "a.csv", data), Options()).says() if "numbers the rows" in line]
    data["row id"] = np.arange(len(data)) + 7
    said = look(saved(tmp_path / "b.csv", data), Options()).says()
    assert "column 'row id' numbers the rows and means nothing? Then leave it out: --drop \"row id\"" in said


def test_words_that_are_no_times_are_refused_at_once(tmp_path):
    data = frame()
    data["day"] = [f"day {n}" for n in range(len(data))]
    with pytest.raises(ValueError, match=r"^column 'day' holds no times; allowed: numbers, or dates of one form$"):
        look(saved(tmp_path / "a.csv", data), Options(time="day"))


def test_a_label_is_found_by_its_name(tmp_path):
    data = frame().drop(columns=["day"]).rename(columns={"group": "class"})
    found = look(saved(tmp_path / "a.csv", data), Options())
    assert found.label == "class"
    assert "class" not in found.columns


WRONG = {
    "ten rows": (frame(10), {}, "10 rows; allowed: 50 or more"),
    "one value": (
        frame().assign(same=1, also="x"),
        {"drop": ("day",)},
        "columns 'same', 'also' hold one value only; leave out: --drop same --drop also",
    ),
    "dates": (frame(), {}, "column 'day' holds dates as text; leave out: --drop day; or split by it: --time day"),
    "words": (
        frame(200).assign(name=[f"name {i}" for i in range(200)], day=1.5).assign(day=np.arange(200)),
        {},
        "column 'name' holds more than 100 different words; leave out: --drop name",
    ),
    "a space": (
        frame().assign(**{"my day": 1}),
        {"drop": ("day",)},
        "column 'my day' holds one value only; leave out: --drop \"my day\"",
    ),
    "no label": (
        frame(),
        {"label": "kind"},
        "no column 'kind'; there are: height, colour, children, group, person, day",
    ),
    "no drop": (frame(), {"drop": ("kind",)}, "no column 'kind'; there are: "),
    "one class": (
        frame().assign(kind=1),
        {"label": "kind", "drop": ("day",)},
        "label 'kind' has one class only; allowed: 2 to 100, or --drop kind",
    ),
    "NaN in a label": (
        frame(),
        {"label": "colour", "drop": ("day",)},
        "label 'colour' is missing in 1 rows; allowed: a class for every row",
    ),
    "a number as label": (
        frame(300).assign(day=np.arange(300), price=np.arange(300) * 1.5),
        {"label": "price"},
        "label 'price' has more different values; allowed: 100 classes at most, or --drop price",
    ),
    "infinite": (
        frame().assign(height=[1.0, np.inf] * 30),
        {"drop": ("day",)},
        ", line 3: column 'height' is infinite",
    ),
    "nothing left": (
        frame()[["height", "group"]],
        {"drop": ("height",), "label": "group"},
        "no column is left to learn from",
    ),
    "missing group": (
        frame(),
        {"group": "colour", "drop": ("day",)},
        "column 'colour', by which splits are made, has 1 missing values",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_used_is_one_line(tmp_path, case):
    data, options, line = WRONG[case]
    path = saved(tmp_path / "a.csv", data)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}(: )?{re.escape(line)}") as error:
        look(path, Options(**options))
    assert "\n" not in str(error.value)


TEXTS = {
    "one column": ("a\n" + "1\n" * 60, "one column only; allowed: two or more, separated by a comma, ; | or tab"),
    "twice": ("a,a\n" + "1,2\n" * 60, ", line 1: column 'a' twice"),
    "too many cells": ("a,b\n" + "1,2\n" * 60 + "1,2,3\n", "not readable (Error tokenizing data"),
    "empty": ("", "one column only"),
    "bytes": (b"\xff\xfe\x00\x01,\n", "no UTF-8 text"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_a_file_that_is_no_table_is_one_line(tmp_path, case):
    content, line = TEXTS[case]
    path = tmp_path / "a.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}(: )?{re.escape(line)}") as error:
        look(path, Options())
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_one_line(tmp_path_factory, content):
    for suffix in (".csv", ".parquet", ".npz"):
        path = tmp_path_factory.mktemp("x") / f"a{suffix}"
        path.write_bytes(content)
        with pytest.raises(ValueError, match=re.escape(str(path))) as error:
            look(path, Options())
        assert "\n" not in str(error.value)


def test_group_and_time_together_are_refused():
    with pytest.raises(ValueError, match=r"^group: splits are by group or by time"):
        Dataset("mine", "x", "table", group="a", time="b")
    with pytest.raises(ValueError, match=r"^size: 32 does not belong here; allowed: tables have drop, group, label"):
        Dataset("mine", "x", "table", size=32)


def test_the_kind_is_seen_from_the_form(tmp_path):
    assert own.kind(saved(tmp_path / "a.csv", frame())) == "table"
    assert own.kind(tmp_path / "a.csv", window=10) == "series"
    assert own.kind(saved(tmp_path / "a.npz", frame().drop(columns=["colour", "day"]))) == "table"
    np.save(tmp_path / "bytes.npy", np.zeros((60, 20, 20), np.uint8))
    np.save(tmp_path / "numbers.npy", np.zeros((60, 20)))
    assert own.kind(tmp_path / "bytes.npy") == "image"
    assert own.kind(tmp_path / "numbers.npy") == "series"
    (tmp_path / "folder").mkdir()
    assert own.kind(tmp_path / "folder") == "image"
    (tmp_path / "folder" / "a_TRAIN.ts").touch()
    assert own.kind(tmp_path / "folder") == "series"
    with pytest.raises(ValueError, match="does not exist"):
        own.kind(tmp_path / "absent.csv")
