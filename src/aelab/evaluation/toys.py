"""Autoencoders of points in the plane, where all that they do is visible.

Always on the CPU, in float32: the same figures for every device.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor, nn

from aelab.evaluation.pca import PCA
from aelab.models.common import initialise, mlp

POINTS = 200
STEPS = 1000  # of Adam, each on all points
LR = 0.01  # initial value; it decays to 0 along half a cosine
NOISE = 0.3  # standard deviation of the noise that the denoising autoencoder removes
REACH, GRID = 1.6, 21  # the field covers -REACH to REACH in both directions with GRID places each


def manifolds(generator: Generator) -> dict[str, np.ndarray]:
    """Points near a straight line and near a curve, and the lines that PCA and an autoencoder with one latent find.

    For each kind: `points` [POINTS, 2], `pca` [2, 2] the ends of PCA's line, `ae` [POINTS, 2] the curve of the decoder
    of an autoencoder 2-32-1-32-2, `errors` [2] the mean squared distances of the points to their reconstructions by PCA
    and by the autoencoder.
    """
    result = {}
    along = torch.linspace(-1, 1, POINTS)
    off = 0.05 * torch.randn(POINTS, 2, generator=generator)
    for kind, across in (("straight", 0.6 * along), ("bent", 1.6 * along.square() - 0.6)):
        x = torch.stack([along, across], 1) + off
        pca = PCA(x)
        code = pca.encode(x, 1)
        ends = torch.stack([code.min(0).values, code.max(0).values])
        encoder, decoder = _net([2, 32, 1], generator), _net([1, 32, 2], generator)
        _learn(nn.Sequential(encoder, decoder), lambda x=x: (x, x))
        with torch.no_grad():
            z = encoder(x)
            walk = torch.lerp(z.min(), z.max(), torch.linspace(0, 1, POINTS))[:, None]
            rebuilt = pca.decode(code), decoder(z)
            errors = torch.stack([(x - x_hat).square().sum(1).mean() for x_hat in rebuilt])
            kept = {"points": x, "pca": pca.decode(ends), "ae": decoder(walk), "errors": errors}
        result |= {f"toy/{kind}_{name}": value.numpy() for name, value in kept.items()}
    return result


def field(generator: Generator) -> dict[str, np.ndarray]:
    """The vector field of a denoising autoencoder, g(f(x)) - x, for points on a circle (Alain & Bengio 2014, fig. 4).

    `field_points` [POINTS, 2], `field_places` [GRID^2, 2], `field_moves` [GRID^2, 2]: the vector at each place, about
    NOISE^2 times the gradient of the log density of the noisy points (their theorem 1).
    """
    turn = torch.linspace(0, 2 * math.pi, POINTS + 1)[:-1]
    x = torch.stack([turn.cos(), turn.sin()], 1)
    net = _net([2, 64, 64, 2], generator)
    _learn(net, lambda: (x + NOISE * torch.randn(x.shape, generator=generator), x))
    axis = torch.linspace(-REACH, REACH, GRID)
    places = torch.cartesian_prod(axis, axis)
    with torch.no_grad():
        moves = net(places) - places
    kept = {"points": x, "places": places, "moves": moves}
    return {f"toy/field_{name}": value.numpy() for name, value in kept.items()}


def _net(sizes: list[int], generator: Generator) -> nn.Sequential:
    net = nn.Sequential(*mlp(sizes, "tanh"))
    initialise(net, generator)
    return net


def _learn(net: nn.Module, draw: Callable[[], tuple[Tensor, Tensor]]) -> None:
    """Minimise the squared error of net(input) against the target, for pairs that `draw` makes anew at each step."""
    optimizer = torch.optim.Adam(net.parameters(), LR, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        given, target = draw()
        (net(given) - target).square().sum(1).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        schedule.step()
