# pyright: reportPrivateImportUsage=false
"""Optimizers and learning rate schedules: torch's fused kernels without `torch.optim`, whose first step imports the
compiler.

That import takes as long as importing torch itself, in every stage. One update changes all parameters in one call.
Tests compare each optimizer and schedule with torch's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor

from aelab.training.settings import Training

BETAS = (0.9, 0.999)  # Kingma & Ba 2015
EPSILON = 1e-8
MOMENTUM = 0.9


class Optimizer(Protocol):
    """Updates parameters from their gradients."""

    def step(self, lr: float | Tensor) -> None:
        """One update with this learning rate (a tensor inside a CUDA graph); then the gradients are removed."""
        ...

    def state(self) -> list[Tensor]:
        """The tensors of the optimizer's state, in a fixed order."""
        ...


class Adam:
    """Adam (Kingma & Ba 2015), weight decay added to the gradient; `decoupled`: AdamW (Loshchilov & Hutter 2019)."""

    def __init__(
        self, parameters: Sequence[Tensor], weight_decay: float, decoupled: bool, stacked: bool = False
    ) -> None:
        self.groups = [(_Moments(group), decay) for group, decay in groups(parameters, weight_decay, stacked)]
        self.update = torch._fused_adamw_ if decoupled else torch._fused_adam_

    def step(self, lr: float | Tensor) -> None:
        for moments, decay in self.groups:
            gradients = taken(moments.parameters)
            moments.step += 1
            with torch.no_grad():
                self.update(
                    moments.parameters,
                    gradients,
                    moments.first,
                    moments.second,
                    [],
                    [moments.step] * len(gradients),
                    lr=lr,
                    beta1=BETAS[0],
                    beta2=BETAS[1],
                    weight_decay=decay,
                    eps=EPSILON,
                    amsgrad=False,
                    maximize=False,
                )

    def state(self) -> list[Tensor]:
        return [item for moments, _ in self.groups for item in (*moments.first, *moments.second, moments.step)]


class _Moments:
    """Parameters, running means of their gradients and squared gradients, and the number of steps."""

    def __init__(self, parameters: list[Tensor]) -> None:
        self.parameters = parameters
        self.first = [torch.zeros_like(p) for p in parameters]
        self.second = [torch.zeros_like(p) for p in parameters]
        self.step = torch.zeros((), device=parameters[0].device)


class SGD:
    """Gradient descent with momentum 0.9, weight decay added to the gradient."""

    def __init__(self, parameters: Sequence[Tensor], weight_decay: float, stacked: bool = False) -> None:
        self.groups = [
            (group, [torch.zeros_like(p) for p in group], decay)
            for group, decay in groups(parameters, weight_decay, stacked)
        ]

    def step(self, lr: float | Tensor) -> None:
        for parameters, velocity, decay in self.groups:
            gradients = taken(parameters)
            with torch.no_grad():
                if decay:
                    torch._foreach_add_(gradients, parameters, alpha=decay)
                torch._foreach_mul_(velocity, MOMENTUM)
                torch._foreach_add_(velocity, gradients)
                if isinstance(lr, Tensor):  # `alpha` must be a number
                    torch._foreach_add_(parameters, torch._foreach_mul(velocity, -lr))
                else:
                    torch._foreach_add_(parameters, velocity, alpha=-lr)

    def state(self) -> list[Tensor]:
        return [item for _, velocity, _ in self.groups for item in velocity]


def groups(parameters: Sequence[Tensor], weight_decay: float, stacked: bool) -> list[tuple[list[Tensor], float]]:
    """Parameter groups with their weight decay: weights decay, biases and other vectors do not."""
    vector = 2 if stacked else 1  # number of axes of a vector
    decay = [p for p in parameters if weight_decay and p.dim() > vector]
    result = [(decay, weight_decay), ([p for p in parameters if not (weight_decay and p.dim() > vector)], 0.0)]
    return [(group, decay) for group, decay in result if group]


def taken(parameters: list[Tensor]) -> list[Tensor]:
    """The gradients, removed from their parameters. Raises ValueError for a parameter without a gradient."""
    gradients = []
    for parameter in parameters:
        if parameter.grad is None:
            raise ValueError(
                f"a parameter of shape {tuple(parameter.shape)} has no gradient: its phase does not use it"
            )
        gradients.append(parameter.grad)
        parameter.grad = None
    return gradients


def build(parameters: Sequence[Tensor], settings: Training, stacked: bool = False) -> Optimizer:
    """The optimizer of the settings. stacked: the first axis of every parameter is the seed."""
    if settings.optimizer == "sgd":
        return SGD(parameters, settings.weight_decay, stacked)
    return Adam(parameters, settings.weight_decay, settings.optimizer == "adamw", stacked)


def rate(settings: Training, step: int, steps: int) -> float:
    """The learning rate of step `step` (from 0) of `steps`.

    one_cycle (Smith & Topin 2018): along cosines from lr / 25 up to lr over the first 30% of the steps, then down to lr
    / 250,000.
    """
    if settings.schedule == "constant":
        return settings.lr
    peak = 0.3 * steps - 1
    low, lowest = settings.lr / 25, settings.lr / 25 / 1e4
    if step <= peak:
        return _cosine(low, settings.lr, step / peak)
    return _cosine(settings.lr, lowest, (step - peak) / (steps - 1 - peak))


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
