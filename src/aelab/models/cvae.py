"""Conditional variational autoencoders (Sohn, Lee & Yan 2015): with the label given, the code need not hold it.

loss = E_q(z|x,y)[-log p(x|z,y)] + KL(q(z|x,y) || N(0, I)): minus their eq. 4, with label y and image x in the roles of
their x and y, and a prior that does not depend on the label. The difference from `vae`: encoder and decoder also see
the label as a one-hot vector (the `condition` argument), z is the code without it, and images of a given class can be
generated.

MNIST, 784-400-20: a bound on log p(x|y), not on log p(x), so its loss, a few nats below the 106 of `vae`, is not
comparable; the better the model, the less of the class a linear probe finds in z.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.common import (
    ACTIVATIONS,
    Activation,
    Autoencoder,
    Batch,
    Losses,
    Output,
    Spec,
    gaussian_draw,
    gaussian_kl,
    initialise,
    mlp,
    require,
    require_widths,
)

KINDS = ("image",)


@dataclass(frozen=True)
class Config:
    """hidden: widths of the encoder's hidden layers, mirrored in the decoder; latent_dim: K."""

    hidden: tuple[int, ...]
    latent_dim: int
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        require_widths("hidden", self.hidden)
        require(self.latent_dim > 0, "latent_dim", self.latent_dim, "1 or more")


class ConditionalVAE(Autoencoder):
    """The encoder's first layer is W x + V y + b, as for x and y concatenated; the decoder gets z and y
    concatenated."""

    uses_labels = True

    def __init__(self, config: Config, spec: Spec) -> None:
        first, *rest = config.hidden
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(spec.pixels, first))
        back = [config.latent_dim + spec.classes, *reversed(config.hidden), spec.pixels]
        decoder = nn.Sequential(*mlp(back, config.activation), nn.Unflatten(1, spec.shape))
        super().__init__(spec, encoder, decoder, Output("sigmoid", "bce", "sum"))
        self.told = nn.Linear(spec.classes, first, bias=False)
        upper = mlp([first, *rest, 2 * config.latent_dim], config.activation)
        self.upper = nn.Sequential(ACTIVATIONS[config.activation](), *upper)
        self.latent_dim = config.latent_dim

    def one_hot(self, condition: Tensor | None) -> Tensor:
        """Labels int64 [B] -> [B, classes]. Raises ValueError without labels."""
        if condition is None:
            raise ValueError(
                "condition: None is wrong; allowed: the images' labels, int64 [B], for a model that needs labels"
            )
        return F.one_hot(condition, self.spec.classes).float()

    def posterior(self, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W], one-hot labels [B, classes] -> mu [B, K], log sigma^2 [B, K] of q(z|x,y)."""
        mu, logvar = self.upper(self.encoder(x) + self.told(y)).chunk(2, dim=1)
        return mu, logvar

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """mu [B, K]; the label is not part of the code. Raises ValueError without labels."""
        return self.posterior(x, self.one_hot(condition))[0]

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Codes [B, K] and labels [B] -> images [B, C, H, W]. Raises ValueError without labels."""
        return self.output(self.decoder(torch.cat([z, self.one_hot(condition)], 1)))

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        y = self.one_hot(batch.label)
        mu, logvar = self.posterior(batch.noisy, y)
        raw = self.decoder(torch.cat([gaussian_draw(mu, logvar, generator), y], 1))
        distortion, rate = self.output.error(raw, batch.clean), gaussian_kl(mu, logvar).mean()
        return Losses(distortion + rate, {"reconstruction": distortion, "kl": rate})

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Image i is of class i modulo the number of classes, so that classes are equally frequent."""
        z = torch.randn(n, self.latent_dim, generator=generator, device=generator.device)
        return self.decode(z, torch.arange(n, device=z.device) % self.spec.classes)


def build(config: Config, spec: Spec, generator: Generator) -> ConditionalVAE:
    model = ConditionalVAE(config, spec)
    initialise(model, generator)
    return model
