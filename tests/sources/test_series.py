"""The user's own series: every form, every refusal."""

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aelab.sources import published, series
from aelab.sources.series import Options, look

N, STEPS = 60, 12


def values(n: int = N, features: int = 2, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, STEPS, features)).round(3)


def ts(path: Path, x, labels=None, head: str = "") -> Path:
    """A .ts file; x: series [T, F] of any lengths."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = f"true {' '.join(sorted(set(labels)))}" if labels else "false"
    lines = ["# a comment", "@problemName mine", head, f"@classLabel {words}", "@data"]
    for i, one in enumerate(x):
        dimensions = [",".join("?" if np.isnan(v) else f"{v:g}" for v in one[:, f]) for f in range(one.shape[1])]
        lines.append(":".join([*dimensions, *([labels[i]] if labels else [])]))
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def written(found, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    folder.mkdir()
    found.write(folder)
    return {part.name: (np.load(part / "x.npy"), np.load(part / "y.npy")) for part in folder.iterdir()}


LABELS = ["left", "right"] * (N // 2)


def test_a_ts_file_with_classes(tmp_path):
    found = look(ts(tmp_path / "Läufe und Wege" / "a.ts", values(), LABELS), Options())
    assert found.says()[0] == "60 series of 12 steps, 2 features"
    assert found.says()[1] == "2 classes: left 30, right 30"
    x, y = written(found, tmp_path / "out")["train"]
    np.testing.assert_allclose(x, values())
    assert y.tolist() == [0, 1] * 30
    assert found.columns == {"feature 1": (), "feature 2": ()}


def test_unequal_lengths_and_missing_values(tmp_path):
    data = [one[: 8 + i % 5].copy() for i, one in enumerate(values())]
    data[4][2, 1] = np.nan
    found = look(ts(tmp_path / "a.ts", data), Options())
    assert found.says()[1] == "8 to 12 steps; after its end a series counts as missing"
    assert found.says()[2].startswith("missing values: 0.1%")
    assert found.says()[3] == "no classes"
    x, _ = written(found, tmp_path / "out")["train"]
    assert [int((~np.isnan(one).all(1)).sum()) for one in x] == [8 + i % 5 for i in range(N)]
    assert np.isnan(x[4, 2, 1])
    assert not np.isnan(x[4, 2, 0])


def test_files_for_training_and_test_keep_their_split(tmp_path):
    ts(tmp_path / "A_TRAIN.ts", values(40), LABELS[:40])
    ts(tmp_path / "A_TEST.ts", values(20), LABELS[:20])
    found = look(tmp_path, Options())
    assert found.says()[-1] == "splits of its own: train 40, test 20"
    assert {name: len(y) for name, (_, y) in written(found, tmp_path / "out").items()} == {"train": 40, "test": 20}


def test_equal_series_are_said(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 12, 1)).round(3)
    x[7] = x[5]
    assert (
        "1 series equal an earlier one; splits keep them together" in look(ts(tmp_path / "a.ts", x), Options()).says()
    )
    ts(tmp_path / "A_TRAIN.TS", x[:40])
    ts(tmp_path / "A_TEST.ts", x[[*range(40, 60), 3]])
    leaked = "1 of the test equal one of the training split, so errors there look too small"
    (tmp_path / "a.ts").unlink()
    assert any(line.endswith(leaked) for line in look(tmp_path, Options()).says())


def test_ucr_tsv(tmp_path):
    path, x = tmp_path / "a.tsv", values(features=1)
    x[0, 9:] = np.nan  # padded, as the archive does
    rows = [[f"{i % 3 + 1}", *("NaN" if np.isnan(v) else str(v) for v in one[:, 0])] for i, one in enumerate(x)]
    path.write_text("\n".join("\t".join(row) for row in rows))
    found = look(path, Options())
    assert list(found.classes) == ["1", "2", "3"]
    np.testing.assert_allclose(written(found, tmp_path / "out")["train"][0], x)
    assert found.columns == {"value": ()}


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    if suffix == ".npy":
        np.save(path, values(features=1)[..., 0])
    else:
        np.savez(path, x=values(), y=np.array(LABELS))
    found = look(path, Options())
    assert found.shape == (STEPS, 1 if suffix == ".npy" else 2)
    assert len(found.classes) == (0 if suffix == ".npy" else 2)


def recording(steps: int = 1000) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    times = pd.date_range("2024-01-01", periods=steps, freq="min").strftime("%Y-%m-%d %H:%M")
    data = pd.DataFrame({"when": times, "a": rng.normal(size=steps), "b": rng.normal(size=steps)})
    data["is_anomaly"] = 0
    data.loc[[15, 940], "is_anomaly"] = 1
    return data


def test_a_recording_is_cut_within_its_splits(tmp_path):
    data = recording()
    path = tmp_path / "a.csv"
    data.sample(frac=1, random_state=0).to_csv(path, index=False)
    found = look(path, Options(window=10, stride=5, time="when"))
    assert found.says()[0].endswith(": windows of one recording, the last ones for the test")
    parts = written(found, tmp_path / "out")
    assert {name: len(y) for name, (_, y) in parts.items()} == {"train": 139, "validation": 19, "test": 39}
    np.testing.assert_allclose(parts["train"][0][1], data[["a", "b"]].to_numpy()[5:15])
    np.testing.assert_allclose(parts["test"][0][0], data[["a", "b"]].to_numpy()[800:810])
    assert np.flatnonzero(parts["train"][1] == list(found.classes).index("1")).tolist() == [2, 3]
    assert found.classes["1"] == 4


def test_several_recordings_stay_whole(tmp_path):
    data = recording().assign(runner=np.repeat(np.arange(10), 100)).drop(columns=["when"])
    path = tmp_path / "a.parquet"
    data.to_parquet(path)
    found = look(path, Options(window=30, stride=10, group="runner"))
    assert "no recording in two of them" in found.says()[-1]
    x, _ = written(found, tmp_path / "out")["train"]
    assert len(x) == 10 * 8
    assert np.load(tmp_path / "out" / "train" / "groups.npy").tolist() == np.repeat(np.arange(10), 8).tolist()


def bad(name: str, path: Path) -> tuple[Path, dict]:
    """A file, or folder, that cannot be used, and the options it is looked at with."""
    x = values()
    match name:
        case "few":
            return ts(path / "a.ts", x[:10]), {}
        case "short":
            return ts(path / "a.ts", x[:, :5]), {}
        case "no data":
            (path / "a.ts").write_text("@problemName x\n1,2,3\n")
            return path / "a.ts", {}
        case "timestamps":
            return ts(path / "a.ts", x, head="@timestamps true"), {}
        case "text":
            file = ts(path / "a.ts", x)
            file.write_text(file.read_text().replace("@data\n", "@data\n1,two,3:1,2,3\n"))
            return file, {}
        case "dimensions":
            return ts(path / "a.ts", [x[0], *(one[:, :1] for one in x[1:])]), {}
        case "still":
            x[..., 1] = 3
            return ts(path / "a.ts", x), {}
        case "infinite":
            x[7, 3, 0] = np.inf
            np.save(path / "a.npy", x)
            return path / "a.npy", {}
        case "four axes":
            np.save(path / "a.npy", x[..., None])
            return path / "a.npy", {}
        case "labels":
            np.savez(path / "a.npz", x=x, y=np.zeros(5))
            return path / "a.npz", {}
        case "no pair":
            ts(path / "A_TRAIN.ts", x)
            return path, {}
        case "no window":
            recording().to_csv(path / "a.csv", index=False)
            return path / "a.csv", {}
        case "words":
            recording().to_csv(path / "a.csv", index=False)
            return path / "a.csv", {"window": 10}
        case "unlabelled":
            data = recording()
            data.loc[[3, 4], "is_anomaly"] = np.nan
            data.to_csv(path / "a.csv", index=False)
            return path / "a.csv", {"window": 10, "time": "when"}
        case "untimed":
            data = recording()
            data.loc[3, "when"] = None
            data.to_csv(path / "a.csv", index=False)
            return path / "a.csv", {"window": 10, "time": "when"}
        case "long window":
            recording().to_csv(path / "a.csv", index=False)
            return path / "a.csv", {"window": 150, "time": "when"}
        case _:
            recording().to_csv(path / "a.csv", index=False)
            return path / "a.csv", {"window": 10, "time": "then"}


LINES = {
    "few": ": 10 series; allowed: 50 or more",
    "short": ": series of 5 steps; allowed: 8 or more",
    "no data": ": no line @data; allowed: a .ts file of the UEA archive",
    "timestamps": ": values with timestamps; allowed: @timestamps false",
    "text": ", line 6: could not convert string to float: 'two'; allowed: numbers, ? for missing ones",
    "dimensions": ": series 2 has 1 dimensions, the first 2",
    "still": ": column 'feature 2' holds one value only; leave out: --drop \"feature 2\"",
    "infinite": ": series 8 of train is infinite",
    "four axes": ": series float64 [60, 12, 2, 1]; allowed: numbers [N, T] or [N, T, F]",
    "labels": ": labels of shape [5]; allowed: [60], one per series",
    "no pair": ": no pair of files *_TRAIN and *_TEST (.ts, .tsv)",
    "no window": ": recordings need --window, the steps of a window, such as --window 128",
    "words": ": column 'when' holds no numbers; leave out: --drop when; or order rows by one: --time",
    "unlabelled": ": label 'is_anomaly' is missing in 2 rows; allowed: a class for every row",
    "untimed": ": column 'when', by which splits are made, has 1 missing values",
    "long window": ": 100 steps for validation hold no window of 150 steps",
    "no column": ": no column 'then'; there are: when, a, b, is_anomaly",
}


@pytest.mark.parametrize("case", LINES)
def test_what_cannot_be_used_is_one_line(tmp_path, case):
    path, options = bad(case, tmp_path)
    with pytest.raises(ValueError, match=f"^{re.escape(str(path) + LINES[case])}") as error:
        look(path, Options(**options))
    assert "\n" not in str(error.value)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=300))
def test_any_bytes_are_one_line(tmp_path_factory, content):
    for name in ("a.ts", "a.npy", "a.csv"):
        path = tmp_path_factory.mktemp("x") / name
        path.write_bytes(b"@data\n" + content if name == "a.ts" else content)
        with pytest.raises(ValueError, match=re.escape(str(path))) as error:
            look(path, Options(window=8))
        assert "\n" not in str(error.value)


@pytest.mark.parametrize(("window", "stride", "line"), [(3, None, "window: 3"), (10, 0, "stride: 0")])
def test_wrong_windows_are_refused(window, stride, line):
    with pytest.raises(ValueError, match=f"^{line} is out of range"):
        Options(window=window, stride=stride)


@pytest.mark.parametrize("name", ["gunpoint", "italy_power", "basic_motions", "pulses"])
def test_the_examples_are_there(name):
    source = published.SOURCES[name]
    x, y = published.fetch(name, ())["train"]
    assert x.shape == (sum(source.sizes.values()), *source.axes)
    assert sorted(set(y.tolist())) == list(range(len(source.classes)))
    assert np.isfinite(x).all()
    assert len(source.columns()) == x.shape[2]


def test_a_window_has_the_label_of_what_is_unusual():
    assert series.mark(["0"] * 9 + ["1"]) == "1"
    assert series.mark(["walk"] * 6 + ["run"] * 4) == "walk"
