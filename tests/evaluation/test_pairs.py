"""The two nets that look at pairs: right where the answer is known, at chance where nothing can be known."""

import pytest
import torch

from aelab.evaluation import pairs


def random(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def images(digits):
    return digits[0][:1000], digits[0][1000:1500]


def test_a_code_that_is_the_image_needs_from_another_s(images):
    codes = [x.flatten(1)[:, ::5] for x in images]
    assert pairs.matching(images, codes, 150, random())["infomax_accuracy"] > 0.9


@pytest.mark.parametrize("constant", [True, False])
def test_a_code_that_says_nothing_is_at_chance(images, constant):
    codes = [torch.zeros(len(x), 3) if constant else torch.randn(len(x), 3, generator=random(5)) for x in images]
    assert pairs.matching(images, codes, 60, random())["infomax_accuracy"] == pytest.approx(0.5, abs=0.06)


def test_a_code_that_is_the_class_makes_one_class_known():
    y = torch.arange(500) % 5
    coded = torch.eye(5)[y], y
    assert pairs.same_class(coded, coded, 100, random())["same_class_accuracy"] > 0.98


def test_a_code_without_the_class_leaves_it_at_chance():
    y = torch.arange(500) % 5
    coded = torch.randn(500, 4, generator=random(3)), y
    other = torch.randn(500, 4, generator=random(4)), y
    assert pairs.same_class(coded, other, 60, random())["same_class_accuracy"] == pytest.approx(0.5, abs=0.06)


def test_labels_of_the_test_split_teach_nothing():
    y = torch.arange(500) % 5
    coded = torch.eye(5)[y], y
    wrong = coded[0], torch.arange(500) // 100  # classes that the codes do not hold
    assert pairs.same_class(coded, wrong, 100, random())["same_class_accuracy"] == pytest.approx(0.5, abs=0.06)


def test_accuracy_by_hand():
    assert pairs.accuracy(torch.tensor([1.0, 2, -1, 0]), torch.tensor([-1.0, 0])) == 0.75


def test_true_and_false_pairs_weigh_the_same():
    """With codes that say nothing the best score is that of one true for one false pair: 0."""
    critic = pairs.Critic(pairs.net(1, random()), pairs.net(1, random()))
    zeros, everything = torch.zeros(64, 1), torch.ones(64, 64, dtype=torch.bool)
    with torch.no_grad():
        critic.bias.fill_(1.0)
    pairs.learn(
        critic,
        64,
        lambda rows: (zeros[rows], zeros[rows], rows[:, None] == rows, everything[rows][:, rows]),
        800,
        random(),
    )
    assert abs(critic(zeros[:1], zeros[:1]).item()) < 0.1
