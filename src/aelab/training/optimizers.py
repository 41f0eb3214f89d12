"""The optimizer and the learning rate schedule of the settings: torch's."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from aelab.training.settings import Training

MOMENTUM = 0.9
EARLY, LATE_FROM = 0.5, 0.1  # with rising_momentum: the momentum before this share of the steps


def build(
    parameters: Sequence[Tensor], settings: Training, steps: int, stacked: bool = False, rate: float = 1.0
) -> tuple[Optimizer, LRScheduler]:
    """The optimizer of the settings, and its schedule over `steps` steps.

    Weights decay, biases and other vectors do not. stacked: the first axis of every parameter is the seed. rate: times
    the learning rate.
    """
    lr = rate * settings.lr
    vector = 2 if stacked else 1  # number of axes of a vector
    groups = [
        {"params": [p for p in parameters if p.dim() > vector], "weight_decay": settings.weight_decay},
        {"params": [p for p in parameters if p.dim() <= vector], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    on_gpu = parameters[0].is_cuda  # where a step may become part of a CUDA graph
    match settings.optimizer:
        case "sgd":
            optimizer: Optimizer = torch.optim.SGD(groups, lr, momentum=MOMENTUM, fused=on_gpu)
        case "adam":
            optimizer = torch.optim.Adam(groups, lr, fused=True, capturable=on_gpu)
        case "adamw":
            optimizer = torch.optim.AdamW(groups, lr, fused=True, capturable=on_gpu)
    if settings.schedule == "constant":
        return optimizer, LambdaLR(optimizer, lambda step: 1.0)
    if settings.schedule == "rising_momentum":

        def momentum(step: int) -> float:
            for group in optimizer.param_groups:
                group["momentum"] = EARLY if step < LATE_FROM * steps else MOMENTUM
            return 1.0

        return optimizer, LambdaLR(optimizer, momentum)
    # Smith & Topin 2018: up from lr / 25 over the first 30% of the steps, then down to lr / 250,000
    return optimizer, OneCycleLR(optimizer, lr, total_steps=steps, cycle_momentum=False)


def create_state(optimizer: Optimizer) -> None:
    """Create the state of an optimizer that has made no step, as zeros; the parameters stay as they are."""
    rates = [group["lr"] for group in optimizer.param_groups]
    for group in optimizer.param_groups:
        group["lr"] = 0.0
        for parameter in group["params"]:
            parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    optimizer.zero_grad()
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    for state in optimizer.state.values():
        for tensor in state.values():
            tensor.zero_()
