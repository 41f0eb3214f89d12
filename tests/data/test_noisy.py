"""The fixed noisy twins: reproducible, and of their own draws for validation and test."""

import numpy as np
import pytest

from aelab.config import seeding
from aelab.data import noisy, splits
from aelab.data.corruption import Noise

SPLITS = ("validation", "test")


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (20, 1, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("kind", ["gaussian", "masking", "salt_pepper", "salt", "impulse"])
def test_a_noisy_twin_is_made_by_its_seed_alone(images, kind):
    before, noise = images.copy(), Noise(kind, 0.25)
    first, again, other = (noisy.corrupted(images, noise, seed) for seed in (3, 3, 4))
    assert (first.shape, first.dtype) == (images.shape, np.uint8)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    assert np.array_equal(images, before)


def test_every_grey_value_survives_the_way_to_floats_and_back():
    grey = np.arange(256, dtype=np.uint8).reshape(1, 1, 16, 16)
    assert np.array_equal(noisy.corrupted(grey, Noise("masking", 0), 0), grey)


def test_corrupt_makes_the_same_noise_in_any_process_and_another_for_each_split(prepared, monkeypatch):
    # the same clean images in both splits: what differs then is the noise
    folder = prepared.folder / "data/prepare"
    for name in ("x.npy", "y.npy"):
        (folder / "test" / name).write_bytes((folder / "learning/validation" / name).read_bytes())
    prepared.run("corrupt")
    monkeypatch.chdir(prepared.folder)
    twins, clean = {split: noisy.load(split) for split in SPLITS}, splits.load("validation").x
    labels = ["gaussian-0.25", "gaussian-0.5", "masking-0.25", "masking-0.5", "salt_pepper-0.1", "salt_pepper-0.25"]
    assert list(twins["test"]) == list(twins["validation"]) == [*labels, "salt-0.1", "impulse-0.1"]
    for label in twins["test"]:
        validation, test = twins["validation"][label], twins["test"][label]
        assert validation.shape == test.shape == clean.shape
        assert not np.array_equal(validation, test)
        assert not np.array_equal(validation, clean)
        kind, level = label.split("-")
        for split in SPLITS:
            again = noisy.corrupted(clean, Noise(kind, float(level)), seeding.derive(1, "corrupt", split, label))
            assert np.array_equal(twins[split][label], again)
    # one kind at two levels hits pixels of its own: the draws are not shared
    few, many = (twins["test"][label] != clean for label in ("masking-0.25", "masking-0.5"))
    assert (few & ~many).any()
