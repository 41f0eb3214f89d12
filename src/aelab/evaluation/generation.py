"""How similar generated images are to test images, as two point clouds of features of the feature classifier.

Features are float32 [N, F]. All metrics depend on the number of images, so both sides have the same number.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

NEIGHBOURS = 3  # k of the manifolds (Kynkäänniemi et al. 2019)


def measure(real: Tensor, made: Tensor) -> dict[str, float]:
    """frechet_distance (see `distance`), precision and recall of `made` against `real` features.

    Raises what `distance` raises.
    """
    return {"frechet_distance": distance(real, made), "precision": covered(real, made), "recall": covered(made, real)}


def distance(real: Tensor, made: Tensor) -> float:
    """The Fréchet distance over the total variance of `real`: without unit, 1 is as far as real images vary.

    Raises ValueError for too few images, and for identical real ones.
    """
    if min(len(real), len(made)) <= NEIGHBOURS:
        raise ValueError(f"{len(made)} and {len(real)} images are too few to compare; {NEIGHBOURS + 1} are enough")
    variance = real.double().var(0).sum().item()
    if variance == 0:
        raise ValueError("the real images are all alike, so nothing can be compared with how they vary")
    return frechet_distance(real, made) / variance


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), for gaussians with the clouds' means m and covariances S.

    Heusel et al. 2017. 0 for equal clouds, in squared units of the features.
    """
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    crossed = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()  # trace of (S_a S_b)^(1/2)
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return (apart + cov_a.trace() + cov_b.trace() - 2 * crossed).clamp_min(0).item()


def covered(manifold: Tensor, points: Tensor) -> float:
    """The share of `points` within reach of `manifold` (Kynkäänniemi et al. 2019, eq. 1).

    A row of the manifold reaches as far as its NEIGHBOURS-th neighbour among the others. Real manifold, generated
    points: precision; the reverse: recall.
    """
    manifold, points = manifold.double(), points.double()
    # the nearest is the point itself
    reach = distances(manifold, manifold).topk(NEIGHBOURS + 1, largest=False).values[:, -1]
    return (distances(points, manifold) <= reach).any(1).double().mean().item()


def distances(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|, float64 [A, B]; exact where two rows are equal."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def normal_codes(codes: Tensor, n: int, generator: Generator) -> Tensor:
    """n codes [n, K] drawn from N(0, I), of the size of `codes` [N, K]."""
    return torch.randn(n, codes.shape[1], generator=generator, device=codes.device)


def fitted_codes(codes: Tensor, n: int, generator: Generator) -> Tensor:
    """n codes [n, K] drawn from the gaussian with the mean and covariance of `codes` [N, K].

    They are sums of the centred codes with gaussian weights, which needs no factorisation of the covariance.
    """
    mean = codes.mean(0)
    weights = torch.randn(n, len(codes), generator=generator, device=codes.device) / max(1, len(codes) - 1) ** 0.5
    return mean + weights @ (codes - mean)
