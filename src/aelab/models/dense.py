"""Dense autoencoders, from one hidden layer to deep ones, and (with training noise) denoising ones.

x_hat = g(f(x)), trained to minimise L(x, g(f(x~))) (Rumelhart, Hinton & Williams 1986); x~ = x, or a corrupted x if the
entry has `noise` (Vincent et al. 2008). With linear layers and squared error it finds PCA's subspace (Baldi & Hornik
1989). With `emphasis` a denoising one gives pixels changed by the noise a larger weight (Vincent et al. 2010, section
3.3): L = alpha * sum over changed pixels + beta * sum over unchanged pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator

from aelab.models.common import Autoencoder, Batch, DenseConfig, Losses, Spec, dense_parts, initialise, require


@dataclass(frozen=True)
class Config(DenseConfig):
    """emphasis: the weights (alpha, beta) of changed and unchanged pixels; null: 1 for all."""

    emphasis: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        positive = self.emphasis is None or (min(self.emphasis) >= 0 and max(self.emphasis) > 0)
        require(positive, "emphasis", self.emphasis, "two numbers of 0 or more, not both 0")


class EmphasisedAutoencoder(Autoencoder):
    """Overrides the loss only."""

    def __init__(self, config: Config, emphasis: tuple[float, float], spec: Spec) -> None:
        super().__init__(spec, *dense_parts(config, spec))
        self.changed, self.unchanged = emphasis

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """The weighted error; the term `reconstruction` has equal weights."""
        raw = self.decoder(self.encoder(self.output.scale(batch.noisy)))
        weight = torch.where(batch.noisy == batch.clean, self.unchanged, self.changed)
        with torch.no_grad():
            alike = self.output.error(raw, batch.clean)
        return Losses(self.output.error(raw, batch.clean, weight), {"reconstruction": alike})


def build(config: Config, spec: Spec, generator: Generator) -> Autoencoder:
    if config.emphasis is None:
        model = Autoencoder(spec, *dense_parts(config, spec))
    else:
        model = EmphasisedAutoencoder(config, config.emphasis, spec)
    initialise(model, generator, config.init)
    return model
