"""How much generated images are like test images, as two clouds of points in the features of the judge.

Features are float32 [N, F]. All three numbers lean on how many images there are, so both sides have the same number.
"""

from __future__ import annotations

import torch
from torch import Generator, Tensor

NEIGHBOURS = 3  # k of the manifolds (Kynkäänniemi et al. 2019)


def measure(real: Tensor, made: Tensor) -> dict[str, float]:
    """frechet_distance (see `distance`), precision and recall of `made` against `real` features. Raises what `distance` does."""
    return {"frechet_distance": distance(real, made), "precision": covered(real, made), "recall": covered(made, real)}


def distance(real: Tensor, made: Tensor) -> float:
    """The Frechet distance over the total variance of `real`: in no unit, 1 is as far as real images vary.

    Raises ValueError for too few images, and for real ones that are all alike.
    """
    if min(len(real), len(made)) <= NEIGHBOURS:
        raise ValueError(f"{len(made)} and {len(real)} images are too few to compare; {NEIGHBOURS + 1} are enough")
    variance = real.double().var(0).sum().item()
    if variance == 0:
        raise ValueError("the real images are all alike, so nothing can be compared with how they vary")
    return frechet_distance(real, made) / variance


def frechet_distance(a: Tensor, b: Tensor) -> float:
    """|m_a - m_b|^2 + tr(S_a + S_b - 2 (S_a S_b)^(1/2)), of the gaussians with the clouds' means m and covariances S
    (Heusel et al. 2017): 0 for equal clouds, in squared units of the features.
    """
    a, b = a.double(), b.double()
    cov_a, cov_b = torch.cov(a.T), torch.cov(b.T)
    values, vectors = torch.linalg.eigh(cov_a)
    root = vectors * values.clamp_min(0).sqrt() @ vectors.T
    crossed = torch.linalg.eigvalsh(root @ cov_b @ root).clamp_min(0).sqrt().sum()  # trace of (S_a S_b)^(1/2)
    apart = (a.mean(0) - b.mean(0)).square().sum()
    return (apart + cov_a.trace() + cov_b.trace() - 2 * crossed).clamp_min(0).item()


def covered(manifold: Tensor, points: Tensor) -> float:
    """The share of `points` within the reach of some row of `manifold`: no further than its NEIGHBOURS-th neighbour
    among the others (Kynkäänniemi et al. 2019, eq. 1). Real manifold, made points: precision; the reverse: recall.
    """
    manifold, points = manifold.double(), points.double()
    reach = distances(manifold, manifold).topk(NEIGHBOURS + 1, largest=False).values[:, -1]  # the nearest is itself
    return (distances(points, manifold) <= reach).any(1).double().mean().item()


def distances(a: Tensor, b: Tensor) -> Tensor:
    """|a - b|, float64 [A, B]; exact where two rows are equal."""
    return torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist")


def random_codes(codes: Tensor, n: int, generator: Generator) -> Tensor:
    """n codes [n, K] drawn from the gaussian with the mean and the covariance of `codes` [N, K].

    Weighted sums of the centred codes with gaussian weights are just that, with no covariance to factorise.
    """
    mean = codes.mean(0)
    weights = torch.randn(n, len(codes), generator=generator, device=codes.device) / max(1, len(codes) - 1) ** 0.5
    return mean + weights @ (codes - mean)
