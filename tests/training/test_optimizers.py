"""Ours against torch's: the same numbers after the same steps."""

import dataclasses

import pytest
import torch

from aelab.training import optimizers
from aelab.training.settings import Training

SETTINGS = Training("adam", 1e-2, "constant", 0.0, 128, 10, {}, {}, {}, None, 1, (), (), ())


def path(make, steps=20):
    """Parameters after some steps on a fixed loss."""
    generator = torch.Generator().manual_seed(0)
    w, b = (torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((5, 3), (3,)))
    step = make([w, b])
    for _ in range(steps):
        x = torch.randn(7, 5, generator=generator)
        (torch.tanh(x @ w + b) - x[:, :3]).square().sum().backward()
        step()
    return torch.cat([w.detach().flatten(), b.detach()])


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
@pytest.mark.parametrize("weight_decay", [0.0, 0.1])
def test_an_optimizer_moves_as_torch_s_does(name, weight_decay):
    settings = dataclasses.replace(SETTINGS, optimizer=name, weight_decay=weight_decay)

    def ours(parameters):
        optimizer = optimizers.build(parameters, settings)
        return lambda: optimizer.step(settings.lr)

    def theirs(parameters):
        kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
        keys = {"lr": settings.lr, "weight_decay": weight_decay}
        parameters = [{"params": parameters[:1]}, {"params": parameters[1:], "weight_decay": 0.0}]  # no decay of biases
        if name == "sgd":
            optimizer = torch.optim.SGD(parameters, momentum=0.9, **keys)
        else:
            optimizer = kinds[name](parameters, fused=True, **keys)

        def step():
            optimizer.step()
            optimizer.zero_grad()

        return step

    torch.testing.assert_close(path(ours), path(theirs), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("steps", [10, 117])
def test_one_cycle_is_torch_s(steps):
    settings = dataclasses.replace(SETTINGS, schedule="one_cycle")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=settings.lr, total_steps=steps)
    for step in range(steps):
        assert optimizers.rate(settings, step, steps) == pytest.approx(optimizer.param_groups[0]["lr"], rel=1e-9)
        optimizer.step()
        if step < steps - 1:
            theirs.step()


def test_a_constant_rate_is_constant():
    assert {optimizers.rate(SETTINGS, step, 5) for step in range(5)} == {SETTINGS.lr}


def test_a_parameter_without_gradient_is_an_error():
    with pytest.raises(ValueError, match="no gradient"):
        optimizers.build([torch.nn.Parameter(torch.zeros(2))], SETTINGS).step(0.1)
