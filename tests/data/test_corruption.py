"""Each kind of noise does what its row in corruption.py says, no more and no less."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aelab.data.corruption import IMAGE_NOISES, LIMITS, Noise, Noises, corrupt

KINDS = sorted(IMAGE_NOISES)
LARGE = torch.full((500_000,), 0.4)  # far from 0 and 1: every change shows


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def noises(draw) -> Noise:
    kind = draw(st.sampled_from(KINDS))
    return Noise(kind, draw(st.floats(0, LIMITS[kind])))


@st.composite
def images(draw) -> torch.Tensor:
    """A small array with values in [0, 1], its ends included."""
    shape = draw(st.lists(st.integers(1, 5), min_size=1, max_size=4))
    values = st.one_of(st.sampled_from([0.0, 1.0]), st.floats(0, 1, width=32))
    return torch.tensor(draw(st.lists(values, min_size=math.prod(shape), max_size=math.prod(shape)))).reshape(shape)


def share_close_to(share: float, expected: float) -> None:
    """Within five standard errors of a draw of LARGE's size."""
    error = 5 * math.sqrt(max(expected * (1 - expected), 1e-9) / len(LARGE))
    assert abs(share - expected) < error, (share, expected)


@given(images(), noises(), st.integers(0, 2**63 - 1))
def test_values_stay_in_range_the_input_is_untouched_and_a_seed_repeats(x, noise, seed):
    before = x.clone()
    noisy = corrupt(x, noise.kind, noise.level, generator(seed))
    assert torch.equal(x, before)
    assert noisy.data_ptr() != x.data_ptr()
    assert (noisy.shape, noisy.dtype) == (x.shape, x.dtype)
    assert noisy.isfinite().all()
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert torch.equal(noisy, corrupt(x, noise.kind, noise.level, generator(seed)))


@pytest.mark.parametrize("kind", KINDS)
def test_another_seed_gives_another_result(kind):
    assert not torch.equal(corrupt(LARGE, kind, 0.3, generator(1)), corrupt(LARGE, kind, 0.3, generator(2)))


@given(images(), st.sampled_from(KINDS), st.integers(0, 2**63 - 1))
def test_level_zero_changes_nothing(x, kind, seed):
    assert torch.equal(corrupt(x, kind, 0, generator(seed)), x)


@pytest.mark.parametrize("level", [0.02, 0.1, 0.25, 0.5])
@pytest.mark.parametrize(("kind", "factor"), [("masking", 1), ("salt_pepper", 1), ("salt", 1), ("impulse", 2)])
def test_the_share_of_changed_values_is_the_level(kind, factor, level):
    changed = corrupt(LARGE, kind, level, generator()) != LARGE
    share_close_to(changed.double().mean().item(), factor * level)


@pytest.mark.parametrize(("kind", "level"), [("masking", 1), ("salt_pepper", 1), ("salt", 1), ("impulse", 0.5)])
def test_the_highest_level_changes_every_value(kind, level):
    assert (corrupt(LARGE, kind, level, generator()) != LARGE).all()


@given(images(), st.floats(0, 1), st.integers(0, 2**63 - 1))
def test_salt_only_raises_to_one_and_masking_only_lowers_to_zero(x, level, seed):
    salt, masked = (corrupt(x, kind, level, generator(seed)) for kind in ("salt", "masking"))
    assert ((salt == x) | (salt == 1)).all()
    assert ((masked == x) | (masked == 0)).all()


def test_salt_and_pepper_are_half_and_half():
    noisy = corrupt(LARGE, "salt_pepper", 0.3, generator())
    changed = noisy[noisy != LARGE]
    assert set(changed.tolist()) == {0.0, 1.0}
    share_close_to((noisy == 1).double().mean().item(), 0.15)
    share_close_to((noisy == 0).double().mean().item(), 0.15)


def test_impulses_are_uniform():
    noisy = corrupt(LARGE, "impulse", 0.25, generator())
    changed = noisy[noisy != LARGE].double()
    shares = torch.histc(changed, 10, 0, 1) / len(changed)
    assert (shares - 0.1).abs().max() < 5 * math.sqrt(0.09 / len(changed))


def test_gaussian_noise_has_mean_zero_and_the_level_as_deviation():
    middle = torch.full((500_000,), 0.5)
    noise = corrupt(middle, "gaussian", 0.05, generator()).double() - 0.5  # ten deviations from the clip
    assert abs(noise.mean()) < 5 * 0.05 / math.sqrt(len(noise))
    assert abs(noise.std() / 0.05 - 1) < 5 / math.sqrt(2 * len(noise))
    assert abs((noise / 0.05).pow(4).mean() - 3) < 5 * math.sqrt(96 / len(noise))


def test_gaussian_noise_is_clipped_not_folded():
    black = corrupt(torch.zeros(500_000), "gaussian", 0.2, generator())
    share_close_to((black == 0).double().mean().item(), 0.5)


@pytest.mark.parametrize("number", [1, 2, 3, 5])
def test_a_mixed_batch_meets_every_noise_equally_often(number):
    # each noise leaves a mark of its own on a grey image: the value that its pixels take
    kinds = [
        Noise("masking", 1),
        Noise("salt", 1),
        Noise("gaussian", 0),
        Noise("salt_pepper", 1),
        Noise("impulse", 0.5),
    ]
    x = torch.full((3000, 1, 4, 4), 0.4)
    noisy = Noises(tuple(kinds[:number]))(x, generator()).flatten(1)
    low, high = noisy.min(1).values, noisy.max(1).values
    binary = ((noisy == 0) | (noisy == 1)).all(1)
    found = [high == 0, low == 1, (low == high) & (low == 0.4), binary & (low < high)]
    found.append(~(found[0] | found[1] | found[2] | found[3]))
    counts = [int(each.sum()) for each in found]
    for count in counts[:number]:
        assert abs(count / 3000 - 1 / number) < 5 * math.sqrt(1 / number / 3000)
    assert sum(counts[number:]) == 0
    assert (x == 0.4).all()


@given(st.integers(0, 2**63 - 1), st.lists(noises(), min_size=1, max_size=4))
def test_a_mixed_batch_of_one_is_one_of_the_noises(seed, several):
    x = torch.full((1, 1, 3, 3), 0.4)
    noisy = Noises(tuple(several))(x, generator(seed))
    assert noisy.shape == x.shape
    assert noisy.min() >= 0
    assert noisy.max() <= 1
    assert torch.equal(noisy, Noises(tuple(several))(x, generator(seed)))
    assert (x == 0.4).all()


def test_no_noises_leave_the_batch_alone():
    x = torch.full((2, 3), 0.4)
    assert torch.equal(Noises()(x, generator()), x)


@pytest.mark.parametrize("kind", ["gausian", "", "Masking", "salt-pepper"])
def test_an_unknown_kind_is_named(kind):
    with pytest.raises(ValueError, match=f"^{kind!r} is an unknown noise; allowed: gaussian, masking, "):
        corrupt(LARGE, kind, 0.1, generator())


@pytest.mark.parametrize(
    ("kind", "level", "allowed"),
    [
        ("masking", 1.5, "0 to 1"),
        ("salt", -0.1, "0 to 1"),
        ("impulse", 0.6, "0 to 0.5"),
        ("gaussian", math.nan, "0 to 10"),
    ],
)
def test_a_level_out_of_range_is_named(kind, level, allowed):
    with pytest.raises(ValueError, match=f"^{kind} {level} is out of range; allowed: {allowed}$"):
        corrupt(LARGE, kind, level, generator())


@given(noises())
def test_a_noise_is_read_back_as_it_was_written(noise):
    assert Noise.parse(f"{noise.kind} {noise.level}") == noise


@pytest.mark.parametrize(
    "words", ["", "masking", "0.3 masking", "masking 0.3 0.4", "masking much", "masking 2", "mask 0.3"]
)
def test_words_that_are_no_noise_are_refused_with_their_key(words):
    with pytest.raises(ValueError, match=r"^noises: .*allowed: "):
        Noise.parse(words, "noises")
