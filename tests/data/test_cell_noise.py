"""Noise of tables and series changes whole cells, never flags or halves of categories."""

import pytest
import torch

from aelab.data.columns import Column
from aelab.data.corruption import CELL_NOISES, IMAGE_NOISES, LIMITS, Noises, corrupt
from aelab.data.layout import Layout

COLUMNS = (Column("n", knots=((0, 0), (1, 1))), Column("c", ("a", "b")), Column("m", flag=True, knots=((0, 0), (1, 1))))
LAYOUT = Layout.of(COLUMNS)  # inputs: n; a, b, other; m and its flag


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def rows(n: int = 20_000) -> torch.Tensor:
    """Random numbers, categories a and b, a third of m missing."""
    draw = generator(7)
    x = torch.zeros(n, 6)
    x[:, 0] = torch.randn(n, generator=draw)
    x[torch.arange(n), 1 + torch.randint(2, (n,), generator=draw)] = 1
    x[:, 5] = (torch.rand(n, generator=draw) > 1 / 3).float()
    x[:, 4] = torch.randn(n, generator=draw) * x[:, 5]
    return x


def test_every_noise_is_one_of_images_or_of_cells():
    assert {*IMAGE_NOISES} | {*CELL_NOISES} == {*LIMITS}


@pytest.mark.parametrize("kind", [kind for kind in CELL_NOISES if kind != "span"])
def test_the_input_stays_and_a_seed_repeats(kind):
    x = rows(200)
    before = x.clone()
    noisy = corrupt(x, kind, 0.3, generator(1), LAYOUT)
    assert torch.equal(x, before)
    assert torch.equal(noisy, corrupt(x, kind, 0.3, generator(1), LAYOUT))
    assert not torch.equal(noisy, corrupt(x, kind, 0.3, generator(2), LAYOUT))
    assert torch.equal(corrupt(x, kind, 0.0, generator(1), LAYOUT), x)


def test_masking_hides_whole_cells():
    x = rows()
    noisy = corrupt(x, "masking", 0.25, generator(), LAYOUT)
    hidden = noisy[:, 1:4].sum(1) == 0
    assert hidden.double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert torch.equal(noisy[~hidden, 1:4], x[~hidden, 1:4])
    gone = (noisy[:, 5] == 0) & (x[:, 5] == 1)
    assert (noisy[gone, 4] == 0).all()
    assert gone[x[:, 5] == 1].double().mean().item() == pytest.approx(0.25, abs=0.02)
    assert (hidden & gone).double().mean().item() == pytest.approx(0.25**2 * 2 / 3, abs=0.01), "cells are independent"


def test_swap_takes_whole_cells_of_other_rows_and_keeps_each_columns_values():
    x = rows()
    noisy = corrupt(x, "swap", 0.15, generator(), LAYOUT)
    assert (noisy[:, 1:4].sum(1) == 1).all()
    changed = noisy[:, 0] != x[:, 0]
    assert changed.double().mean().item() == pytest.approx(0.15, abs=0.01)
    assert torch.isin(noisy[:, 0], x[:, 0]).all()
    pairs = {tuple(pair) for pair in x[:, 4:].tolist()}
    assert {tuple(pair) for pair in noisy[:, 4:].tolist()} <= pairs
    torch.testing.assert_close(noisy.mean(0), x.mean(0), atol=0.03, rtol=0)


@pytest.mark.parametrize("kind", ["gaussian", "salt_pepper"])
def test_noise_of_numbers_leaves_categories_flags_and_missing_cells_alone(kind):
    x = rows()
    noisy = corrupt(x, kind, 0.2, generator(), LAYOUT)
    assert torch.equal(noisy[:, [1, 2, 3, 5]], x[:, [1, 2, 3, 5]])
    assert (noisy[x[:, 5] == 0, 4] == 0).all()
    difference = (noisy - x)[:, 0]
    if kind == "gaussian":
        assert difference.std().item() == pytest.approx(0.2, abs=0.01)
    else:
        hit = difference != 0
        assert hit.double().mean().item() == pytest.approx(0.2, abs=0.01)
        assert noisy[hit, 0].abs().eq(3).all()


def test_a_span_hides_one_stretch_of_all_features():
    x = torch.randn(500, 50, 2, generator=generator(3))
    layout = Layout.of([Column("a", knots=((0, 0), (1, 1))), Column("b", knots=((0, 0), (1, 1)))])
    hidden = (corrupt(x, "span", 0.2, generator(), layout) == 0).all(2)
    assert (hidden.sum(1) == 10).all()
    edges = hidden[:, 1:].int() - hidden[:, :-1].int()
    assert (edges.abs().sum(1) <= 2).all()
    assert hidden.any(0).all(), "everywhere at some time"


@pytest.mark.parametrize(
    ("kind", "shape", "layout", "line"),
    [
        ("salt", (4, 6), LAYOUT, "salt is no noise of tables; allowed: gaussian, masking, swap, salt_pepper"),
        ("span", (4, 6), LAYOUT, "span is no noise of tables; allowed: gaussian, masking, swap, salt_pepper"),
        ("impulse", (4, 9, 6), LAYOUT, "impulse is no noise of series; allowed: gaussian, .*, span"),
        ("swap", (4, 1, 6, 6), None, "swap is no noise of images; allowed: gaussian, masking, "),
    ],
)
def test_a_noise_that_the_data_cannot_have_is_refused(kind, shape, layout, line):
    with pytest.raises(ValueError, match=f"^noise: {line}"):
        corrupt(torch.zeros(shape), kind, 0.1, generator(), layout)


def test_a_mix_gives_each_row_one_of_them():
    noises = Noises.parse(["masking 1.0", "gaussian 0.0"], LAYOUT)
    noisy = noises(rows(1000), generator())
    hidden = (noisy == 0).all(1)
    assert 0.4 < hidden.double().mean().item() < 0.6
    assert torch.equal(noisy[~hidden], rows(1000)[~hidden])
