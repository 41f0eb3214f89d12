"""The panel: digits as a model rebuilds them in the course of learning, noisy ones too where it learns from clean."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from aelab.data.tensors import Tensors
from aelab.learning.replicates import Panel
from aelab.learning.settings import Training

SETTINGS = Training("adam", 1e-3, "constant", 0.0, 1, 1, {}, {}, None, 1, (), (), (1,))


class Copy(nn.Module):
    def reconstruct(self, x, condition=None):
        return x


class Recorder:
    def __init__(self):
        self.images = []

    def image(self, name, picture, step):
        self.images.append((name, picture.shape, step))


def panel(item="one", noise=()):
    labels = torch.arange(30) % 10
    digits = (labels / 9)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    settings = dataclasses.replace(SETTINGS, noise=noise)
    return Panel(Tensors(digits, labels), settings, (1, "train", item), Recorder())


def test_a_model_of_clean_images_is_shown_the_noise_too():
    made = panel()
    made.draw(Copy(), 1)
    made.draw(Copy(), 12)
    keys = {f"{kind}{name}" for kind in ("", "noisy-") for name in ("input", "epoch-001", "epoch-012")}
    assert set(made.pictures) == keys
    clean, noisy = made.pictures["input"], made.pictures["noisy-input"]
    assert clean[:, 0, 0, 0].tolist() == [round(255 * k / 9) for k in range(10)], "one digit per class"
    assert (clean != noisy).mean() == pytest.approx(2 * Panel.NOISE.level, abs=0.07)
    np.testing.assert_array_equal(made.pictures["noisy-epoch-012"], noisy)
    assert made.recorder.images == [("panel", (16, 80), 1), ("panel", (16, 80), 12)]


def test_the_noise_is_the_same_for_every_model():
    first, second = panel("one"), panel("two")
    for made in (first, second):
        made.draw(Copy(), 1)
    np.testing.assert_array_equal(first.pictures["noisy-input"], second.pictures["noisy-input"])


def test_a_model_that_met_noise_is_shown_its_own_alone():
    made = panel(noise=("masking 0.5",))
    made.draw(Copy(), 1)
    assert set(made.pictures) == {"input", "epoch-001"}


def test_a_classifier_draws_nothing():
    made = panel()
    made.draw(nn.Identity(), 1)
    assert made.pictures == {}


def test_the_figure_s_words_are_true():
    words = f"noise: {Panel.NOISE.kind} {Panel.NOISE.level:g}, a fifth of the pixels"
    assert 2 * Panel.NOISE.level == 1 / 5
    assert words in Path(__file__).parents[2].joinpath("src/aelab/report/pictures.py").read_text()
