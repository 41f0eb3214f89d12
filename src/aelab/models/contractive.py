"""Contractive autoencoders (Rifai et al. 2011): a code that moves little when the image does.

To the error comes weight * ||dh/dx||_F^2, the squared Frobenius norm of the code's Jacobian, mean over images. For one
sigmoid layer h = s(W x + b) it has a closed form (their eq. 7), as cheap as the layer itself:

    ||dh/dx||_F^2 = sum_j (h_j (1 - h_j))^2 sum_i W_ji^2.

What differs from denoising: that makes the whole reconstruction robust to one kind of noise, this the code alone to
small changes of any kind. Expect a larger error than weight 0 and saturated units (their figure 1).
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Generator, Tensor, nn

from aelab.models.common import Autoencoder, DenseConfig, Spec, dense_parts, initialise, require


@dataclass(frozen=True)
class Config(DenseConfig):
    """weight: lambda, the factor of the Jacobian's squared norm in the loss; the closed form asks for one layer."""

    weight: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(len(self.widths) == 1, "widths", list(self.widths), "one layer")
        require(self.code_activation == "sigmoid", "code_activation", self.code_activation, "sigmoid")
        require(self.weight >= 0, "weight", self.weight, "0 or more")


class ContractiveAutoencoder(Autoencoder):
    """Overrides the penalty alone."""

    def __init__(self, config: Config, spec: Spec) -> None:
        super().__init__(spec, *dense_parts(config, spec))
        self.weight = config.weight

    def penalty(self, hidden: list[Tensor]) -> dict[str, Tensor]:
        (layer,) = (module for module in self.encoder.modules() if isinstance(module, nn.Linear))
        return {"contraction": self.weight * jacobian_norm(hidden[0], layer.weight).mean()}


def jacobian_norm(h: Tensor, weight: Tensor) -> Tensor:
    """||dh/dx||_F^2 per image [B] of h = sigmoid(W x + b): h [B, units], W [units, inputs]."""
    return (h * (1 - h)).square() @ weight.square().sum(1)


def build(config: Config, spec: Spec, generator: Generator) -> ContractiveAutoencoder:
    model = ContractiveAutoencoder(config, spec)
    initialise(model, generator)
    return model
