"""Autoencoders with a gaussian posterior, and their log-probabilities."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn

from aelab.models.common.protocol import Autoencoder, Batch, Losses, Spec


class GaussianAutoencoder(Autoencoder):
    """The encoder outputs mu and log sigma^2 of q(z|x) = N(mu, diag(sigma^2)); p(z) = N(0, I); pixels are Bernoulli,
    numbers of tables and series N(x_hat, 1).

    loss = E_q(z|x)[-log p(x|z)] + beta * KL(q(z|x) || p(z)), the negative ELBO at beta 1, with one draw of z per image
    (Kingma & Welling 2013, eq. 10). The code used downstream is mu.
    """

    def __init__(self, spec: Spec, encoder: nn.Sequential, decoder: nn.Module, latent: int, beta: float = 1.0) -> None:
        super().__init__(spec, encoder, decoder, spec.likelihood())
        self.latent_dim, self.beta = latent, beta

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] -> mu [B, K], log sigma^2 [B, K] of q(z|x)."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.posterior(x)[0]

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        mu, logvar = self.posterior(batch.noisy)
        distortion = self.output.error(self.decoder(gaussian_draw(mu, logvar, generator)), batch.clean)
        rate = gaussian_kl(mu, logvar).mean()
        return Losses(distortion + self.beta * rate, {"reconstruction": distortion, "kl": rate})

    def rate_distortion(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        mu, logvar = self.posterior(x)
        return gaussian_kl(mu, logvar), -self.output.log_probability(
            x, self.decoder(gaussian_draw(mu, logvar, generator))
        )

    def log_weights(self, x: Tensor, k: int, generator: Generator) -> Tensor:
        """log p(x|z) p(z) / q(z|x), [k, B] in nats, for k draws of z per image; their log-mean-exp estimates log
        p(x)."""
        likelihood, ratio = self.log_parts(x, x, k, generator)
        return likelihood + ratio

    def log_parts(self, seen: Tensor, target: Tensor, k: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """log p(target|z) and log p(z) - log q(z|seen), both [k, B], for k draws of z per image."""
        mu, logvar = self.posterior(seen)
        eps = torch.randn(k, *mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
        z = mu + (0.5 * logvar).exp() * eps  # [k, B, K]
        raw = self.decoder(z.flatten(0, 1)).view(k, *target.shape)
        return self.output.log_probability(target, raw), 0.5 * (eps.square() - z.square() + logvar).sum(-1)

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.decode(torch.randn(n, self.latent_dim, generator=generator, device=generator.device))


def gaussian_draw(mu: Tensor, logvar: Tensor, generator: Generator) -> Tensor:
    """z = mu + sigma * eps, eps ~ N(0, I) (Kingma & Welling 2013, eq. 10)."""
    eps = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
    return mu + (0.5 * logvar).exp() * eps


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, I)) per image [B], in nats (Kingma & Welling 2013, appendix B)."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)
