"""Stochastic encoder and decoder: binary hidden units that are sampled (Goodfellow, Bengio & Courville 2016, 14.4).

    h ~ p(h|x) = Bernoulli(sigmoid(W x + b)),   x ~ p(x|h) = Bernoulli(sigmoid(V h + c)),   loss = E_h[-log p(x|h)].

No prior and no KL term, unlike in `gumbel_vae`: only the sampling limits the information in h, and training pushes the
probabilities towards 0 and 1, where a draw loses least. So the code is nearly binary, and there is no distribution to
sample h from.

A draw has no gradient. The straight-through estimator (Bengio, Leonard & Courville 2013) uses that of its probability
instead, dh/da = s (1 - s) with s = sigmoid(a): one draw, low variance, and biased, because f(h) = -log p(x|h) is not
linear between h = 0 and 1. Unbiased estimators have more variance and train more slowly: with DisARM (Dong, Mnih &
Tucker 2020; 200 units, 4,000 digits, 15 epochs at lr 3e-3) the validation loss fell to 110 nats, straight-through to 90
in 70% of the time.

The last bias starts at the training mean's logit (Hinton 2012, section 8), so that no unit has to represent the mean.
Expect a reconstruction error some nats above that of a sigmoid autoencoder of the same size.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn

from aelab.models.common import Autoencoder, Batch, Losses, Output, Spec, initialise, require, start_at_mean

KINDS = ("image",)


@dataclass(frozen=True)
class Config:
    """units: number of hidden units."""

    units: int

    def __post_init__(self) -> None:
        require(self.units > 0, "units", self.units, "1 or more")


class StochasticBinaryAutoencoder(Autoencoder):
    """The code used downstream is p(h = 1|x), the mean of h; a reconstruction is p(x|h) at that mean."""

    def __init__(self, config: Config, spec: Spec) -> None:
        encoder = nn.Sequential(nn.Flatten(), nn.Linear(spec.pixels, config.units), nn.Sigmoid())
        decoder = nn.Sequential(nn.Linear(config.units, spec.pixels), nn.Unflatten(1, spec.shape))
        super().__init__(spec, encoder, decoder, Output("sigmoid", "bce", "sum"))

    def fit_statistics(self, clean: Tensor, label: Tensor) -> None:
        start_at_mean(self.decoder, clean)

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """-log p(x|h) in nats at one draw of h per image."""
        h = drawn(self.encoder(batch.noisy), generator)
        error = self.output.error(self.decoder(h), batch.clean)
        return Losses(error, {"reconstruction": error})


def drawn(chance: Tensor, generator: Generator) -> Tensor:
    """Zeros and ones, 1 with this probability; the gradient is that of the probability."""
    u = torch.rand(chance.shape, generator=generator, device=chance.device, dtype=chance.dtype)
    return chance + ((u < chance).to(chance.dtype) - chance).detach()


def build(config: Config, spec: Spec, generator: Generator) -> StochasticBinaryAutoencoder:
    model = StochasticBinaryAutoencoder(config, spec)
    initialise(model, generator)
    return model
