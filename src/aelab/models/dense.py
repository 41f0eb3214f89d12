"""Dense autoencoders, from one hidden layer to deep stacks, and (with training noise) denoising ones.

x_hat = g(f(x)), trained to minimise L(x, g(f(x~))) (Rumelhart, Hinton & Williams 1986); x~ = x, or a corrupted x where
the entry names `noise` (Vincent et al. 2008). With linear layers and squared error it finds PCA's subspace (Baldi &
Hornik 1989).
"""

from __future__ import annotations

from torch import Generator

from aelab.models.base import Autoencoder, DenseConfig, Spec, dense_parts, initialise

Config = DenseConfig


def build(config: Config, spec: Spec, generator: Generator) -> Autoencoder:
    model = Autoencoder(spec, *dense_parts(config, spec))
    initialise(model, generator)
    return model
