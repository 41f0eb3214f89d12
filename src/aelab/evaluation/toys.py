"""Autoencoders of points in the plane and in space, where all that they do is visible.

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
SHEET = 300  # points of the sheet
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


def sheet(generator: Generator) -> dict[str, np.ndarray]:
    """Points on a sheet bent like an S, and their codes of two numbers by PCA and by an autoencoder 3-32-32-2-32-32-3.

    `sheet_points` [N, 3], `sheet_turn` [N] how far along the S, `sheet_pca`, `sheet_ae` [N, 2], `sheet_errors` [2] the
    mean squared distances of the points to their reconstructions.
    """
    turn, across = torch.rand(2, SHEET, generator=generator) * 2 - 1
    angle = 1.5 * math.pi * turn
    x = torch.stack([angle.sin(), across, angle.sign() * (angle.cos() - 1)], 1)
    x = x - x.mean(0)
    pca, encoder = PCA(x), _net([3, 32, 32, 2], generator)
    decoder = _net([2, 32, 32, 3], generator)
    _learn(nn.Sequential(encoder, decoder), lambda: (x, x))
    with torch.no_grad():
        codes = pca.encode(x, 2), encoder(x)
        rebuilt = pca.decode(codes[0]), decoder(codes[1])
        errors = torch.stack([(x - x_hat).square().sum(1).mean() for x_hat in rebuilt])
    kept = {"points": x, "turn": turn, "pca": codes[0], "ae": codes[1], "errors": errors}
    return {f"toy/sheet_{name}": value.numpy() for name, value in kept.items()}


def directions(generator: Generator) -> dict[str, np.ndarray]:
    """Two classes of points that differ across the direction of most variance: what PCA and LDA look along.

    `directions_points` [POINTS, 2], `directions_labels` [POINTS], `directions_pca`, `directions_lda` [2]: unit vectors;
    that of LDA is S^-1 (m_1 - m_0), S the covariance within classes (Fisher 1936).
    """
    labels = torch.arange(POINTS) % 2
    spread = torch.randn(POINTS, 2, generator=generator) * torch.tensor([0.5, 0.12])
    x = spread + torch.tensor([0.15, 0.3]) * (2 * labels[:, None] - 1)
    means = torch.stack([x[labels == label].mean(0) for label in (0, 1)])
    lda = torch.linalg.solve(torch.cov((x - means[labels]).T), means[1] - means[0])
    kept = {"points": x, "labels": labels, "pca": PCA(x).directions[:, 0], "lda": lda / lda.norm()}
    return {f"toy/directions_{name}": value.numpy() for name, value in kept.items()}


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
