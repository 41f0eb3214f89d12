"""Variational autoencoders with categorical codes (Jang, Gu & Poole 2016; Maddison, Mnih & Teh 2016).

The code is `num_latents` choices among `categories`; q(z|x) = product of softmax(logits), the prior is uniform. A draw
is argmax(logits + g), g ~ Gumbel(0, 1); training uses its relaxation, which has a gradient (eq. 2):

    z = softmax((logits + g) / temperature),
    temperature = max(min_temperature, exp(-anneal_rate * step))   (their appendix C),
    loss = E[-log p(x|z)] + KL(q(z|x) || uniform).

At a high temperature z is a mixture, which carries more information than a choice, and how much more changes with the
temperature. So the best epoch is selected by the term `negative_elbo`, the same loss at the draw's argmax: the true
bound, at any temperature.

With one variable of ten categories the code is a clustering, and the rate is at most log 10 = 2.3 nats. The last bias
starts at the training mean's logit (Hinton 2012, section 8): otherwise one category takes all images, because the
category drawn first learns the mean image. The difference from `vq_vae`: codes are drawn, not looked up.

MNIST, 20 x 10, binarised: a bound of 101.5 nats (their table 1); grey targets and a few epochs: expect 110 to 120. One
of ten: about 165, ten blurred prototypes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.common import (
    Activation,
    Autoencoder,
    Batch,
    Losses,
    Output,
    Phase,
    Spec,
    initialise,
    log_bernoulli,
    mlp,
    require,
    require_widths,
    start_at_mean,
)

KINDS = ("image",)


@dataclass(frozen=True)
class Config:
    """hidden: widths of the encoder's hidden layers, mirrored in the decoder; num_latents, categories: of the code.

    anneal_rate: rate per training step at which the temperature falls from 1 to `min_temperature`.
    """

    hidden: tuple[int, ...]
    num_latents: int = 1
    categories: int = 10
    anneal_rate: float = 1e-3
    min_temperature: float = 0.5
    activation: Activation = "relu"

    def __post_init__(self) -> None:
        require_widths("hidden", self.hidden)
        require(self.num_latents > 0, "num_latents", self.num_latents, "1 or more")
        require(self.categories > 1, "categories", self.categories, "2 or more")
        require(self.anneal_rate >= 0, "anneal_rate", self.anneal_rate, "0 or more")
        require(0 < self.min_temperature <= 1, "min_temperature", self.min_temperature, "above 0, up to 1")


class GumbelVAE(Autoencoder):
    """V variables of C categories; the code used downstream is the most likely category of each, one-hot [B, V * C]."""

    steps: Tensor  # training steps so far

    def __init__(self, config: Config, spec: Spec) -> None:
        shape = (config.num_latents, config.categories)
        sizes = [spec.pixels, *config.hidden, math.prod(shape)]
        encoder = nn.Sequential(nn.Flatten(), *mlp(sizes, config.activation), nn.Unflatten(1, shape))
        decoder = nn.Sequential(nn.Flatten(), *mlp(sizes[::-1], config.activation), nn.Unflatten(1, spec.shape))
        super().__init__(spec, encoder, decoder, Output("sigmoid", "bce", "sum"))
        self.config, self.shape = config, shape
        self.register_buffer("steps", torch.zeros(()))

    def fit_statistics(self, clean: Tensor, label: Tensor) -> None:
        start_at_mean(self.decoder, clean)

    @property
    def temperature(self) -> Tensor:
        return (-self.config.anneal_rate * self.steps).exp().clamp_min(self.config.min_temperature)

    def assign(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> the most likely category of each variable, int64 [B, V]: with one variable, the
        cluster."""
        return self.encoder(x).argmax(-1)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return one_hot(self.encoder(x)).flatten(1)

    def code_bits(self, numbers: int) -> float:
        """The bits of one category per variable."""
        return self.config.num_latents * math.log2(self.config.categories)

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        logits = self.encoder(batch.noisy)  # [B, V, C]
        noisy = logits + gumbel(logits, generator)
        relaxed = self.output.error(self.decoder((noisy / self.temperature).softmax(-1)), batch.clean)
        rate = categorical_kl(logits).mean()
        with torch.no_grad():
            drawn = self.output.error(self.decoder(one_hot(noisy)), batch.clean)
        if self.training and torch.is_grad_enabled():
            self.steps += 1
        terms = {"reconstruction": relaxed, "kl": rate, "negative_elbo": drawn + rate.detach()}
        return Losses(relaxed + rate, terms)

    def phases(self) -> list[Phase]:
        return [Phase("all", list(self.parameters()), self.loss, "negative_elbo")]

    def rate_distortion(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """At a discrete draw, not a relaxed one."""
        logits = self.encoder(x)
        raw = self.decoder(one_hot(logits + gumbel(logits, generator)))
        distortion = -log_bernoulli(x, raw)
        return categorical_kl(logits), distortion

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Images of uniformly drawn categories."""
        return self.decode(one_hot(torch.rand(n, *self.shape, generator=generator, device=generator.device)))


def gumbel(like: Tensor, generator: Generator) -> Tensor:
    """Gumbel(0, 1) noise of the shape of `like`: -log of exponential draws; argmax(logits + noise) samples from
    softmax."""
    smallest = torch.finfo(like.dtype).tiny  # the logarithm of 0 is infinite
    return -torch.empty_like(like).exponential_(generator=generator).clamp_min(smallest).log()


def one_hot(scores: Tensor) -> Tensor:
    """1 at the largest score of the last axis, 0 elsewhere, same shape."""
    return F.one_hot(scores.argmax(-1), scores.shape[-1]).to(scores.dtype)


def categorical_kl(logits: Tensor) -> Tensor:
    """KL(softmax(logits) || uniform) per image, [B, V, C] -> [B], in nats: sum of q log q + V log C."""
    log_q = logits.log_softmax(-1)
    return (log_q.exp() * (log_q + math.log(logits.shape[-1]))).sum((1, 2))


def build(config: Config, spec: Spec, generator: Generator) -> GumbelVAE:
    model = GumbelVAE(config, spec)
    initialise(model, generator)
    return model
