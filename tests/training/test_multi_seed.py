"""The preview: digits as a model rebuilds them in the course of learning; and which labels a replicate learns from."""

import dataclasses
import itertools

import numpy as np
import pytest
import torch
from torch import nn

from aelab.config.runtime import Runtime
from aelab.data.tensors import Tensors
from aelab.models.common import Spec
from aelab.report import results
from aelab.training import multi_seed, weight_files
from aelab.training.callbacks import ReconstructionPreview
from aelab.training.settings import Training
from aelab.training.task import Task, labelled_subset, new_model_task

MACHINE = Runtime("cpu", 1, "float32", True)
SETTINGS = Training("adam", 1e-3, "constant", 0.0, 1, 1, None, None, None, 1, (), (), (1,))


class Copy(nn.Module):
    def reconstruct(self, x, condition=None):
        return x


class Recorder:
    def __init__(self):
        self.images = []

    def image(self, name, picture, step):
        self.images.append((name, picture.shape, step))


def preview(item="one", noise=()):
    labels = torch.arange(30) % 10
    digits = (labels / 9)[:, None, None, None].expand(-1, 1, 8, 8).contiguous()
    settings = dataclasses.replace(SETTINGS, noise=noise)
    return ReconstructionPreview(Tensors(digits, labels), settings, (1, "train", item), Recorder())


def test_a_model_of_clean_images_is_shown_the_noise_too():
    made = preview()
    made.draw(Copy(), 1)
    made.draw(Copy(), 12, kept=True)
    keys = {f"{kind}{name}" for kind in ("", "noisy-") for name in ("input", "step-00001", "step-00012")}
    assert set(made.pictures) == keys
    clean, noisy = made.pictures["input"], made.pictures["noisy-input"]
    assert clean[:, 0, 0, 0].tolist() == [round(255 * k / 9) for k in range(10)], "one digit per class"
    assert (clean != noisy).mean() == pytest.approx(2 * ReconstructionPreview.NOISE.level, abs=0.07)
    np.testing.assert_array_equal(made.pictures["noisy-step-00012"], noisy)
    assert made.recorder.images == [("preview", (16, 80), 1), ("preview", (16, 80), 12), ("preview_best", (16, 80), 0)]


def test_the_noise_is_the_same_for_every_model():
    first, second = preview("one"), preview("two")
    for made in (first, second):
        made.draw(Copy(), 1)
    np.testing.assert_array_equal(first.pictures["noisy-input"], second.pictures["noisy-input"])


def test_a_model_that_met_noise_is_shown_its_own_alone():
    made = preview(noise=("masking 0.5",))
    made.draw(Copy(), 1)
    assert set(made.pictures) == {"input", "step-00001"}


def test_a_classifier_draws_nothing():
    made = preview()
    made.draw(nn.Identity(), 1)
    assert made.pictures == {}


def test_the_figure_s_words_are_true():
    noise = ReconstructionPreview.NOISE
    assert f"{noise.kind} {noise.level:g}" == results.PREVIEW_NOISE
    assert 2 * noise.level == 1 / 10, "a tenth of the pixels become random"


# Labels


def numbered(n, first):
    """n images of ten classes, whose pixel is their number from `first` on."""
    return Tensors(torch.arange(first, first + n).float().view(n, 1, 1, 1), torch.arange(n) % 10)


DATA = numbered(400, 0), numbered(60, 1000)


def seen(n, replicate=0, seed=1):
    """The numbers of the training and of the validation images that a replicate sees, in order."""
    return [split.x.flatten().tolist() for split in labelled_subset(n, seed)(DATA, replicate)]


@pytest.mark.parametrize(("n", "validation"), [(10, 10), (50, 50), (100, 60), (400, 60)])
def test_as_many_training_images_as_have_labels_and_no_more_validation_images(n, validation):
    parts = labelled_subset(n, 1)(DATA, 0)
    assert [len(split.x) for split in parts] == [n, validation]
    for split, all_of_it, first in zip(parts, DATA, (0, 1000), strict=True):
        numbers = split.x.flatten().long() - first
        assert len(numbers.unique()) == len(numbers)
        assert torch.equal(all_of_it.y[numbers], split.y), "images keep their labels"
        assert torch.bincount(split.y).tolist() == [len(numbers) // 10] * 10


def test_the_images_of_a_smaller_budget_are_the_first_of_a_larger_one():
    for replicate in (0, 1):
        budgets = [seen(n, replicate) for n in (10, 40, 400)]
        for few, many in itertools.pairwise(budgets):
            for kind in (0, 1):
                assert few[kind] == many[kind][: len(few[kind])]


def test_another_replicate_and_another_seed_draw_other_images():
    for kind in (0, 1):
        draws = [frozenset(seen(20, replicate, seed)[kind]) for replicate, seed in ((0, 1), (1, 1), (2, 1), (0, 2))]
        assert len(set(draws)) == 4
    train, validation = labelled_subset(20, 1)((DATA[0], DATA[0]), 0)
    assert not torch.equal(train.x, validation.x), "each split has draws of its own"


def test_every_stack_learns_from_the_same_images(monkeypatch, tmp_path):
    learned = []
    monkeypatch.setattr(multi_seed, "fit", lambda model, *splits_and_more: learned.append(splits_and_more[:2]))

    def drawing(replicate, generator):
        torch.rand(replicate + len(learned), generator=generator)  # one stack may use up more chance than another
        return nn.Linear(1, 1)

    for stack in ("stack_ae", "stack_rbm"):
        torch.manual_seed(len(stack))
        task = Task(drawing, {}, SETTINGS, (1, "finetune", stack, "20"), labelled_subset(20, 1))
        for replicate in (0, 1):
            seed = multi_seed._seed(task, replicate, DATA, lambda *values, **more: None, None)
            multi_seed._train_one(task, seed, MACHINE, tmp_path, None)
    for replicate in (0, 1):
        ours, theirs = ([split.x.flatten().tolist() for split in learned[i + replicate]] for i in (0, 2))
        assert ours == theirs == seen(20, replicate)


# Seeds on a GPU (the same code on a CPU)


def learnt(folder, config, learn):
    """Three seeds of a dense net in `folder`: their histories, and the bytes of all files."""
    folder.mkdir()
    digits = torch.rand(60, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = tuple(Tensors(digits[part], torch.arange(30) % 10) for part in (slice(30), slice(30, 60)))
    settings = dataclasses.replace(SETTINGS, batch_size=10, max_epochs=3, noise=("masking 0.3",))
    task = new_model_task("dense", config, Spec((1, 8, 8), 10), settings, (1, "train", "one"))
    drawn = ReconstructionPreview(data[1], settings, task.stream, Recorder())
    seeds = [
        multi_seed._seed(task, i, data, lambda *values, **more: None, None if i else drawn)  # type: ignore[arg-type]
        for i in range(3)
    ]
    histories = learn(task, seeds, folder)
    return histories, drawn.pictures, {path.name: path.read_bytes() for path in folder.iterdir()}


def one_by_one(task, seeds, folder):
    return [multi_seed._train_one(task, seed, MACHINE, folder, None) for seed in seeds]


def on_a_gpu(task, seeds, folder):
    return multi_seed._train_vectorized(task, seeds, MACHINE, folder, None)


def test_seeds_that_learn_together_leave_what_seeds_alone_leave(tmp_path):
    config = {"widths": (12, 4)}
    alone, together = learnt(tmp_path / "a", config, one_by_one), learnt(tmp_path / "b", config, on_a_gpu)
    assert alone[1].keys() == together[1].keys()
    assert alone[2].keys() == together[2].keys() == {f"weights-{i}.safetensors" for i in range(3)}
    for mine, theirs in zip(alone[0], together[0], strict=True):
        assert len(mine) == len(theirs) == 3
        for a, b in zip(mine, theirs, strict=True):
            assert a["validation"]["total"] == pytest.approx(b["validation"]["total"], rel=1e-4)
    for name in alone[2]:
        a, b = (weight_files.load_weights(tmp_path / kind / name) for kind in "ab")
        for weight in a:
            torch.testing.assert_close(a[weight], b[weight], rtol=1e-3, atol=1e-4)


def test_seeds_of_a_model_that_has_to_be_alone_learn_one_by_one(tmp_path):
    config = {"widths": (12, 4), "dropout": 0.5}
    alone, together = learnt(tmp_path / "a", config, one_by_one), learnt(tmp_path / "b", config, on_a_gpu)
    assert alone[0] == together[0]
    assert alone[2] == together[2]
