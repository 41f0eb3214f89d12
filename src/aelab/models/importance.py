"""Importance-weighted autoencoders (Burda, Grosse & Salakhutdinov 2015); with one draw, their variational autoencoder.

The bound of K draws z_k ~ q(z|x) (their eq. 8) and its gradient (eq. 13, 14), which is what autograd gives:

    L_K = E[log 1/K sum_k w_k] <= log p(x),   w_k = p(x|z_k) p(z_k) / q(z_k|x),
    grad L_K = E[sum_k w_k / (sum_j w_j) grad log w_k].

L_1 is the evidence lower bound, and L_K rises with K. Unlike `variational`, pixels are binarised afresh at every step
(a grey value is the chance of a 1), so losses are in nats per BINARY image and cannot be set beside grey-target ones.

784-200-200-50, MNIST, test negative log-likelihood from 5,000 draws after 3,280 epochs: K = 1 86.76, K = 5 85.54,
K = 50 84.78. They also used batches of 20 and a falling learning rate; a few dozen epochs end several nats higher. As
in their code the last bias starts at the training mean's logit: without it, learning stays long at the mean image.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.base import ACTIVATIONS, Activation, Autoencoder, Batch, Losses, Output, Spec, initialise, require


@dataclass(frozen=True)
class Config:
    """hidden: widths of the encoder's hidden layers, mirrored in the decoder; latent: numbers per code; draws: K."""

    hidden: tuple[int, ...]
    latent: int
    draws: int = 1
    activation: Activation = "tanh"

    def __post_init__(self) -> None:
        positive = len(self.hidden) > 0 and min(self.hidden) > 0
        require(positive, "hidden", list(self.hidden), "one or more positive numbers")
        require(self.latent > 0, "latent", self.latent, "1 or more")
        require(self.draws > 0, "draws", self.draws, "1 or more")


class ImportanceWeighted(Autoencoder):
    """The code used downstream is mu of the grey image, not of a binarised one, so that it is not random."""

    def __init__(self, config: Config, spec: Spec) -> None:
        sizes = [spec.pixels, *config.hidden]
        encoder = nn.Sequential(nn.Flatten(), *mlp([*sizes, 2 * config.latent], config.activation))
        decoder = nn.Sequential(*mlp([config.latent, *sizes[::-1]], config.activation), nn.Unflatten(1, spec.shape))
        super().__init__(spec, encoder, decoder, Output("sigmoid", "bce", "sum"))
        self.latent, self.draws = config.latent, config.draws

    def observe(self, clean: Tensor, label: Tensor) -> None:
        start_at_mean(self.decoder, clean)

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] -> mu [B, K], log sigma^2 [B, K] of q(z|x)."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.posterior(x)[0]

    def log_parts(self, seen: Tensor, target: Tensor, k: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """log p(target|z) and log p(z) - log q(z|seen), both [k, B], for k draws of z per image."""
        mu, logvar = self.posterior(seen)
        eps = torch.randn(k, *mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
        z = mu + (0.5 * logvar).exp() * eps  # [k, B, K]
        raw = self.decoder(z.flatten(0, 1)).view(k, *target.shape)
        return log_bernoulli(target, raw), 0.5 * (eps.square() - z.square() + logvar).sum(-1)

    def log_weights(self, x: Tensor, k: int, generator: Generator) -> Tensor:
        """log w [k, B] in nats, of one binary image per image of x; x that is binary already stays as it is.

        log p(x) is about the log of their mean over k, from below.
        """
        (x,) = binarised(generator, x)
        likelihood, ratio = self.log_parts(x, x, k, generator)
        return likelihood + ratio

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """Minus the bound; the terms are what it would be at one draw: reconstruction + kl = -L_1 >= -L_K."""
        clean, noisy = binarised(generator, batch.clean, batch.noisy)
        likelihood, ratio = self.log_parts(noisy, clean, self.draws, generator)
        bound = log_mean_exp(likelihood + ratio).mean()
        return Losses(-bound, {"reconstruction": -likelihood.mean(), "kl": -ratio.mean()})

    def rate_distortion(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Of one binary image per image of x (see log_weights)."""
        (x,) = binarised(generator, x)
        likelihood, _ = self.log_parts(x, x, 1, generator)
        return gaussian_kl(*self.posterior(x)), -likelihood[0]

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Images as chances of a 1, not binarised."""
        return self.decode(torch.randn(n, self.latent, generator=generator, device=generator.device))


def mlp(sizes: list[int], activation: Activation) -> list[nn.Module]:
    """Dense layers of these widths with `activation` between them; the last one is linear."""
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), ACTIVATIONS[activation]()]
    return layers[:-1]


def binarised(generator: Generator, *images: Tensor) -> list[Tensor]:
    """Each tensor of grey images, all of one shape, as zeros and ones; equal grey values give equal pixels."""
    threshold = torch.rand(images[0].shape, generator=generator, device=images[0].device, dtype=images[0].dtype)
    return [(threshold < x).to(x.dtype) for x in images]


def log_bernoulli(x: Tensor, raw: Tensor) -> Tensor:
    """log p(x) = sum over pixels of x raw - log(1 + e^raw), for logits raw [..., C, H, W]: [...], in nats."""
    return -F.binary_cross_entropy_with_logits(raw, x.expand_as(raw), reduction="none").flatten(-3).sum(-1)


def log_mean_exp(log_weights: Tensor) -> Tensor:
    """log 1/K sum_k exp(log w_k), [K, B] -> [B]."""
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, I)) per image [B], in nats (Kingma & Welling 2013, appendix B)."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)


def start_at_mean(decoder: nn.Module, clean: Tensor) -> None:
    """Set the last dense layer's bias to the logit of the mean of images [N, C, H, W], kept within 0.001 and 0.999."""
    last = [layer for layer in decoder.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.copy_(clean.flatten(1).mean(0).clamp(1e-3, 1 - 1e-3).logit())


def build(config: Config, spec: Spec, generator: Generator) -> ImportanceWeighted:
    model = ImportanceWeighted(config, spec)
    initialise(model, generator)
    return model
