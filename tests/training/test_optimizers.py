"""The optimizer and schedule that settings stand for."""

import dataclasses

import pytest
import torch

from aelab.training import optimizers
from aelab.training.settings import Training

SETTINGS = Training("adam", 1e-2, "constant", 0.0, 128, 10, None, None, None, 1, (), (), ())


def parameters(*shapes):
    return [torch.nn.Parameter(torch.ones(shape)) for shape in shapes]


@pytest.mark.parametrize(
    ("name", "wanted"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW), ("sgd", torch.optim.SGD)]
)
def test_weights_decay_and_biases_do_not(name, wanted):
    settings = dataclasses.replace(SETTINGS, optimizer=name, weight_decay=0.1)
    weight, bias = parameters((5, 3), (3,))
    optimizer, _ = optimizers.build([bias, weight], settings, 5)
    assert type(optimizer) is wanted
    weight.grad, bias.grad = torch.zeros_like(weight), torch.zeros_like(bias)
    optimizer.step()
    assert (weight < 1).all()
    assert (bias == 1).all()


def test_the_biases_of_stacked_seeds_have_two_axes():
    optimizer, _ = optimizers.build(
        parameters((2, 5, 3), (2, 3)), dataclasses.replace(SETTINGS, weight_decay=0.1), 5, True
    )
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.1, 0.0]


@pytest.mark.parametrize("schedule", ["constant", "one_cycle"])
def test_the_rates_of_a_schedule(schedule):
    (weight,) = parameters((2, 2))
    optimizer, scheduler = optimizers.build([weight], dataclasses.replace(SETTINGS, schedule=schedule), 11)
    rates = []
    for _ in range(11):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        scheduler.step()
    if schedule == "constant":
        assert rates == [0.01] * 11
    else:
        assert rates[0] == pytest.approx(0.01 / 25)
        assert rates[-1] == pytest.approx(0.01 / 250_000)
        assert max(rates) == pytest.approx(0.01, rel=0.03)
        assert rates.index(max(rates)) in (2, 3)


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_created_state_is_that_before_the_first_step(name):
    settings = dataclasses.replace(SETTINGS, optimizer=name, weight_decay=0.1)
    ends = []
    for create in (False, True):
        (weight,) = parameters((3, 2))
        optimizer, _ = optimizers.build([weight], settings, 5)
        if create:
            optimizers.create_state(optimizer)
            assert optimizer.state
            assert (weight == 1).all()
        for step in range(3):
            weight.grad = torch.full_like(weight, step - 0.5)
            optimizer.step()
        ends.append(weight.detach())
    assert torch.equal(*ends)
