"""How much a code tells about its image, and about the class: two small nets that classify pairs.

Both score a pair by f(a) . g(b) + bias, f and g with one hidden layer each. They are trained on pairs of TRAINING
images and tested on pairs of test images, half of them true: an accuracy of 0.5 is chance. (The discriminator of Deep
InfoMax, Hjelm et al. 2019, in its form with two encoders, appendix A.2.)
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.evaluation.representation import Coded, standardised
from aelab.models.common import initialise, mlp

HIDDEN, SHARED = 64, 32  # units and outputs of f and g
BATCH = 128
JUDGED = 2000  # maximum number of test codes that are paired by class
RATE = 2e-3


class Critic(nn.Module):
    """The scores of all pairs: a [B, A], b [B, K] -> f(a_i) . g(b_j) + bias, [B, B]."""

    def __init__(self, f: nn.Module, g: nn.Module) -> None:
        super().__init__()
        self.f, self.g, self.bias = f, g, nn.Parameter(torch.zeros(()))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        return self.f(a) @ self.g(b).T + self.bias

    def paired(self, a: Tensor, b: Tensor) -> Tensor:
        """The scores [B] of a_i with b_i."""
        return (self.f(a) * self.g(b)).sum(1) + self.bias


def matching(
    images: tuple[Tensor, Tensor], codes: tuple[Tensor, Tensor], steps: int, generator: Generator
) -> dict[str, float]:
    """infomax_accuracy: distinguishing (image A, code of A) from (image A, code of B). images, codes: of training and
    test."""
    a, test_a = standardised(*(item.flatten(1) for item in images))
    b, test_b = standardised(*codes)
    weights = on_cpu(generator)
    critic = Critic(net(a.shape[1], weights), net(b.shape[1], weights)).to(a.device)

    def pairs(rows: Tensor) -> tuple[Tensor, ...]:
        own = torch.eye(len(rows), device=rows.device, dtype=torch.bool)
        return a[rows], b[rows], own, own | (rows[:, None] != rows)

    learn(critic, len(a), pairs, steps, generator)
    order = torch.randperm(len(test_a), generator=generator, device=a.device)
    other = torch.empty_like(order).scatter_(0, order, order.roll(1))  # no code is paired with itself
    with torch.no_grad():
        return {"infomax_accuracy": accuracy(critic.paired(test_a, test_b), critic.paired(test_a, test_b[other]))}


def same_class(train: Coded, test: Coded, steps: int, generator: Generator) -> dict[str, float]:
    """same_class_accuracy: distinguishing codes of two images of one class from codes of two classes."""
    x, queries = standardised(train[0], test[0][:JUDGED])
    labels, truth = train[1], test[1][:JUDGED]
    f = net(x.shape[1], on_cpu(generator))
    critic = Critic(f, f).to(x.device)

    def pairs(rows: Tensor) -> tuple[Tensor, ...]:
        return x[rows], x[rows], labels[rows, None] == labels[rows], rows[:, None] != rows

    learn(critic, len(x), pairs, steps, generator)
    alike = truth[:, None] == truth
    same, others = (alike & ~torch.eye(len(truth), device=x.device, dtype=torch.bool)).float(), (~alike).float()
    asked = ((same.sum(1) > 0) & (others.sum(1) > 0)).nonzero()[:, 0]
    partners = [torch.multinomial(item[asked], 1, generator=generator)[:, 0] for item in (same, others)]
    with torch.no_grad():
        scores = [critic.paired(queries[asked], queries[partner]) for partner in partners]
    return {"same_class_accuracy": accuracy(*scores)}


def net(inputs: int, weights: Generator) -> nn.Module:
    """One side of a critic: [B, inputs] -> [B, SHARED]."""
    made = nn.Sequential(*mlp([inputs, HIDDEN, SHARED], "relu"))
    initialise(made, weights)
    return made


def on_cpu(generator: Generator) -> Generator:
    """A generator of initial weights, which are drawn on the CPU for every device."""
    return torch.Generator().manual_seed(generator.initial_seed())


def learn(
    critic: Critic,
    n: int,
    pairs: Callable[[Tensor], tuple[Tensor, ...]],
    steps: int,
    generator: Generator,
) -> None:
    """Train `steps` steps of Adam on cross-entropy over all pairs of a batch, true and false pairs with equal weight.

    pairs(rows [B]) -> a [B, A], b [B, K], which a_i and b_j belong together [B, B], which pairs count [B, B].
    """
    optimizer = torch.optim.Adam(critic.parameters(), RATE, fused=True)
    for _ in range(steps):
        a, b, together, counts = pairs(torch.randint(n, (min(BATCH, n),), generator=generator, device=generator.device))
        true, false = (together & counts).float(), (~together & counts).float()
        weight = true / true.sum().clamp_min(1) + false / false.sum().clamp_min(1)
        F.binary_cross_entropy_with_logits(critic(a, b), true, weight, reduction="sum").backward()
        optimizer.step()
        optimizer.zero_grad()


def accuracy(true: Tensor, false: Tensor) -> float:
    """The accuracy with half of the pairs true: true pairs should score above 0, false ones below."""
    return ((true > 0).double().mean().item() + (false <= 0).double().mean().item()) / 2
