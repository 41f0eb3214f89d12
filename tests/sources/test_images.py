"""The user's own images: every form of a folder, and every refusal."""

import csv
import os
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from aelab.sources import image_files
from aelab.sources.images import FEWEST, Options, look


def picture(path: Path, seed: int = 0, size=(12, 14), mode: str = "RGB", **how) -> np.ndarray:
    """An image file of random pixels; returns them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    width, height = size
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    pixels = np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path, **how)
    return pixels


def many(folder: Path, n: int = FEWEST, first: int = 0, **how) -> list[np.ndarray]:
    return [picture(folder / f"{i:03}.png", i, **how) for i in range(first, first + n)]


def written(found, folder: Path) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    folder.mkdir()
    found.write(folder)
    return {part.name: (np.load(part / "x.npy"), np.load(part / "y.npy")) for part in folder.iterdir()}


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_flat_folder_has_no_classes_and_its_pixels_are_kept(tmp_path, mode):
    pixels = many(tmp_path / "Böse Bilder", mode=mode)
    (tmp_path / "Böse Bilder" / "notes.txt").write_text("no image")
    (tmp_path / "Böse Bilder" / ".DS_Store").write_text("of the system")
    found = look(tmp_path / "Böse Bilder", Options())
    channels = 3 if mode == "RGB" else 1
    assert (found.shape, found.classes) == ((channels, 14, 12), ())
    assert found.says()[-1] == "1 files left out that are no images"
    x, y = written(found, tmp_path / "out")["train"]
    assert (x.dtype, y.tolist()) == (np.uint8, [0] * FEWEST)
    np.testing.assert_array_equal(x, np.stack(pixels).reshape(FEWEST, 14, 12, channels).transpose(0, 3, 1, 2))


def test_folders_are_classes(tmp_path):
    many(tmp_path / "cat", 30)
    many(tmp_path / "dog" / "brown", 25, first=30)  # deeper folders belong to their class
    found = look(tmp_path, Options())
    assert found.classes == ("cat", "dog")
    assert found.says() == ["55 colour images, 12 x 14 pixels", "2 classes: cat 30, dog 25"]
    assert written(found, tmp_path / "out")["train"][1].tolist() == [0] * 30 + [1] * 25


def test_one_folder_is_no_class(tmp_path):
    many(tmp_path / "all")
    assert look(tmp_path, Options()).classes == ()


@pytest.mark.parametrize("held_out", ["val", "valid", "validation", ""])
def test_its_own_splits_stay(tmp_path, held_out):
    sizes = {"train": 40, held_out or "train": 20, "test": 15}
    for part, n in sizes.items():
        many(tmp_path / part / "a", n)
        many(tmp_path / part / "b", n, first=n)
    found = look(tmp_path, Options())
    parts = written(found, tmp_path / "out")
    names = {"train", "test", *(["validation"] if held_out else [])}
    assert set(parts) == names
    assert len(parts["test"][1]) == 2 * sizes["test"]
    assert found.says()[2].startswith("splits of its own: ")
    leaked = "30 of the test equal one of the training split, so errors there look too small"
    assert found.says()[3].endswith(leaked)


def test_training_and_validation_alone_are_drawn_anew(tmp_path):
    many(tmp_path / "train", 40)
    many(tmp_path / "val", 20, first=40)
    assert {name: len(found) for name, found in look(tmp_path, Options()).parts().items()} == {"train": 60}


def test_mvtec_s_layout(tmp_path):
    many(tmp_path / "train" / "good", 40)
    many(tmp_path / "test" / "good", 10, first=40)
    many(tmp_path / "test" / "scratch", 10, first=50)
    many(tmp_path / "ground_truth" / "scratch", 10, mode="L")
    found = look(tmp_path, Options())
    assert found.classes == ("good", "scratch")
    assert written(found, tmp_path / "out")["test"][1].tolist() == [0] * 10 + [1] * 10


def table(folder: Path, rows: list[list[str]]) -> None:
    with (folder / "metadata.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)


@pytest.mark.parametrize(("label", "classes"), [(None, ("0", "1")), ("kind", ("x", "y", "z"))])
def test_a_metadata_csv_names_the_classes(tmp_path, label, classes):
    many(tmp_path)
    table(tmp_path, [["file_name", "label", "kind"], *([f"{i:03}.png", str(i % 2), "xyz"[i % 3]] for i in range(50))])
    found = look(tmp_path, Options(label=label))
    assert found.classes == classes


def test_sizes_colours_and_turns(tmp_path):
    many(tmp_path, 49, mode="L")
    picture(tmp_path / "wide.jpg", size=(40, 20), exif=turned())
    found = look(tmp_path, Options(size=16, channels=1))
    assert found.shape == (1, 16, 16)
    assert found.says()[0] == "50 grey images, 16 x 16 pixels, scaled and cut to that size"
    assert written(found, tmp_path / "out")["train"][0].shape == (50, 1, 16, 16)
    assert image_files.header(tmp_path / "wide.jpg")[0] == (20, 40), "as it is seen"


def turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_sixteen_bits_become_eight(tmp_path):
    for i in range(50):
        Image.fromarray(np.full((12, 12), 257 * i, np.uint16)).save(tmp_path / f"{i:02}.png")
    x, _ = written(look(tmp_path, Options()), tmp_path / "out")["train"]
    assert x[:, 0, 0, 0].tolist() == list(range(50))


@pytest.mark.parametrize("axes", [(0, 1, 2), (0, 1, 2, 3), (0, 2, 3, 1)])
@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays(tmp_path, axes, suffix):
    x = np.random.default_rng(0).integers(0, 256, (60, 3, 13, 12), dtype=np.uint8)
    path = tmp_path / f"a{suffix}"
    given = x[:, 0] if len(axes) == 3 else x.transpose(axes)
    np.save(path, given) if suffix == ".npy" else np.savez(path, images=given, labels=np.arange(60) % 3)
    found = look(path, Options())
    assert found.classes == (() if suffix == ".npy" else ("0", "1", "2"))
    kept, y = written(found, tmp_path / "out")["train"]
    np.testing.assert_array_equal(kept, x[:, :1] if len(axes) == 3 else x)
    assert y.tolist() == ([0] * 60 if suffix == ".npy" else (np.arange(60) % 3).tolist())


def refused(path: Path, message: str, **options) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(message.format(path))}$"):
        look(path, Options(**options))


def test_what_is_refused(tmp_path):
    refused(tmp_path, "{}: no images (.png, .jpg, .jpeg, .bmp, .gif, .tif, .tiff, .webp)")
    many(tmp_path, 10)
    refused(tmp_path, "{}: 10 images; allowed: 50 or more")
    refused(tmp_path, "{}: no metadata.csv, in which 'x' could be a column", label="x")
    many(tmp_path, 49)
    picture(tmp_path / "999.png", size=(20, 20))
    first = "000.png has 12 x 14 pixels, 999.png 20 x 20"
    refused(tmp_path, "{}: " + first + "; all alike, or add --size, such as --size 64")
    picture(tmp_path / "999.png", mode="L")
    colours = "999.png is grey, 000.png has colours"
    refused(tmp_path, "{}: " + colours + "; add --channels 1 or --channels 3")
    many(tmp_path / "cat", 10)
    refused(tmp_path, f"{{}}: {tmp_path}/000.png lies beside folders of images; allowed: all in folders, or none")


def test_small_images_are_refused(tmp_path):
    many(tmp_path, size=(10, 40))
    refused(tmp_path, "{}: images of 10 x 40 pixels; allowed: 11 x 11 or more")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([["name"], ["a"]], "no column file_name"),
        ([["file_name"]], "no column file_name"),
        ([["file_name", "x"], ["000.png", "1"]], "no column 'y'; there are: x"),
        ([["file_name", "y"], ["absent.png", "1"]], "line 2: absent.png does not exist"),
        ([["file_name", "y"], ["000.png", "1"], ["001.png", ""]], "line 3: no y"),
        ([["file_name", "y"], ["../000.png", "1"]], "line 2: ../000.png lies outside the folder"),
    ],
)
def test_a_wrong_metadata_csv_is_refused(tmp_path, rows, message):
    many(tmp_path)
    table(tmp_path, rows)
    path = re.escape(str(tmp_path / "metadata.csv"))
    with pytest.raises(ValueError, match=f"^{path}.*{re.escape(message)}$"):
        look(tmp_path, Options(label="y"))


@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_damaged_files_are_named_or_left_out(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    many(folder, FEWEST + 1)
    path = folder / "007.png"
    whole = path.read_bytes()
    cut = data.draw(st.integers(0, 40))
    path.write_bytes(data.draw(st.binary(max_size=60)) + whole[len(whole) - cut :] * bool(cut))
    with pytest.raises(ValueError, match=r"007.png: not a readable image; mend it, or add --skip-broken$"):
        look(folder, Options())
    found = look(folder, Options(skip_broken=True))
    assert found.broken == (path,)
    assert found.says()[-1] == f"1 files left out that cannot be read, such as {path}"


def test_a_file_cut_in_its_pixels_is_named_when_it_is_read(tmp_path):
    many(tmp_path)
    path = tmp_path / "003.png"
    path.write_bytes(path.read_bytes()[:-200])
    (tmp_path / "out").mkdir()
    with pytest.raises(ValueError, match=r"003.png: not a readable image"):
        look(tmp_path, Options()).write(tmp_path / "out")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission_is_named(tmp_path):
    many(tmp_path)
    (tmp_path / "003.png").chmod(0)
    with pytest.raises(PermissionError, match=r"003.png"):
        look(tmp_path, Options())


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (np.zeros((60, 12, 12)), "images float64 [60, 12, 12]; allowed: uint8"),
        (np.zeros((60, 12), np.uint8), "images uint8 [60, 12]; allowed: uint8"),
        (np.zeros((60, 5, 12, 12), np.uint8), "images uint8 [60, 5, 12, 12]; allowed: uint8"),
        (np.zeros((9, 12, 12), np.uint8), "9 images; allowed: 50 or more"),
    ],
)
def test_wrong_arrays_are_refused(tmp_path, array, message):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(ValueError, match=f"^{re.escape(str(tmp_path / 'a.npy'))}: {re.escape(message)}"):
        look(tmp_path / "a.npy", Options())


def test_an_archive_without_images_is_refused(tmp_path):
    np.savez(tmp_path / "a.npz", pixels=np.zeros((60, 12, 12), np.uint8))
    refused(tmp_path / "a.npz", "{}: no array images or x; there are: pixels")
    np.savez(tmp_path / "a.npz", x=np.zeros((60, 12, 12), np.uint8), y=np.zeros(3))
    refused(tmp_path / "a.npz", "{}: labels of shape [3]; allowed: [60], one per image")
    (tmp_path / "a.mat").write_bytes(b"")
    refused(tmp_path / "a.mat", "{}: unknown kind of file; allowed: a folder, .npy, .npz")
