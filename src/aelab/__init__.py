"""AE Lab: one DVC pipeline, every classic autoencoder, one honest comparison."""

__version__ = "0.1.0"
