"""Stacked networks for greedy layer-wise pretraining (Hinton 2006, Bengio 2007, Vincent 2008).

Each layer is trained by itself, with tied weights, on the codes of the fixed layers below it; together the layers are
the encoder that fine-tuning starts from. How a layer is trained:

autoencoder   cross-entropy of the reconstruction of its input; with `noise:`, only its own input is corrupted: no layer
              is trained on corrupted codes of the layer below (Vincent 2008)
contractive   plus weight * ||dh/dv||_F^2 (Rifai 2011)
sparse        plus weight * the sum over units of KL(rho || the unit's mean over the batch) (Ng, CS294A 2011)
rbm           as a restricted Boltzmann machine by CD-k (Hinton 2006)
random        not at all: the control

MNIST 50,000/10,000/10,000, 3 layers, test error: denoising 1.28%, plain 1.40%, rbm 1.24% (Vincent 2010). Narrow stacks
have a linear code (in an RBM: gaussian units) and are unrolled: 784-1000-500-250-30, pretrained by RBMs and fine-tuned,
has a squared error of 3.00 per test image (Hinton & Salakhutdinov 2006).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Generator, Tensor, nn

from aelab.config.options import OPTION, Options
from aelab.models.common import (
    Autoencoder,
    Batch,
    DenseConfig,
    GreedyStack,
    Losses,
    Phase,
    RBMLayer,
    Spec,
    Transposed,
    bernoulli_kl,
    cross_entropy,
    dense_parts,
    initialise,
    require,
    require_widths,
    widen,
)

KINDS = ("image",)


@dataclass(frozen=True)
class Config(Options):
    """widths: units per layer from the bottom; layer: how each is pretrained; code_activation: of the top units."""

    widths: tuple[int, ...]
    layer: Literal["autoencoder", "contractive", "sparse", "rbm", "random"]
    code_activation: Literal["sigmoid", "linear"] = "sigmoid"
    weight: float = 0.0  # factor of the contractive or the sparse penalty
    rho: float = 0.05  # target mean activation of a sparse layer
    k: int = 1  # Gibbs steps per update of an RBM
    dropout: float = 0.0  # dropout of each layer in fine-tuning; pretraining has none
    # times the learning rate, of the top layer (Hinton & Salakhutdinov 2006: 0.01, as it is linear)
    code_rate: float = field(default=1.0, kw_only=True, metadata=OPTION)

    def __post_init__(self) -> None:
        require_widths("widths", self.widths)
        penalised = self.layer in ("contractive", "sparse")
        require(
            self.code_activation == "sigmoid" or not penalised,
            "code_activation",
            f"{self.code_activation} on {self.layer} layers",
            "sigmoid",
        )
        require(self.weight > 0 if penalised else self.weight == 0, "weight", self.weight, _allowed(penalised))
        require(0 < self.rho < 1, "rho", self.rho, "between 0 and 1")
        require(self.k > 0, "k", self.k, "1 or more")
        require(self.code_rate > 0, "code_rate", self.code_rate, "above 0")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "0 up to, without, 1")


def _allowed(penalised: bool) -> str:
    return "above 0" if penalised else "0 where layers are neither contractive nor sparse"


class Layer:
    """A tied autoencoder of its input v [B, V]: h = f(c + Wv) [B, H], v_hat = sigmoid(b + W'h)."""

    def __init__(self, forth: nn.Sequential, back: Transposed, config: Config) -> None:
        self.forth, self.back, self.config = forth, back, config

    def parameters(self) -> list[nn.Parameter]:
        return [*self.forth.parameters(), *self.back.parameters()]

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """Cross-entropy of v_hat against v in nats per image (Vincent 2008, eq. 2), plus the penalty."""
        h = self.forth(batch.noisy)
        error = cross_entropy(self.back(h), batch.clean.flatten(1)) / len(h)
        terms = {"reconstruction": error} | self.penalty(h)
        return Losses(torch.stack(list(terms.values())).sum(), terms)

    def penalty(self, h: Tensor) -> dict[str, Tensor]:
        """Further terms of the loss, by name; none here."""
        return {}


class Contractive(Layer):
    def penalty(self, h: Tensor) -> dict[str, Tensor]:
        """weight * ||dh/dv||_F^2 = weight * sum_j (h_j (1 - h_j))^2 sum_i W_ji^2, mean over images (Rifai 2011)."""
        squares = linear(self.forth).weight.square().sum(1)  # [H]
        return {"contraction": self.config.weight * ((h * (1 - h)).square() @ squares).mean()}


class Sparse(Layer):
    def penalty(self, h: Tensor) -> dict[str, Tensor]:
        """weight * the sum over units of KL(rho || rho_hat), rho_hat their means over the batch."""
        return {"sparsity": self.config.weight * bernoulli_kl(self.config.rho, h.mean(0)).sum()}


class RBMPretraining(Layer):
    """An RBM; a linear layer has gaussian hidden units of variance 1."""

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """CD-k: F(v) - F(v after k Gibbs steps) in nats per image (see RBMLayer.contrast)."""
        machine = RBMLayer(linear(self.forth), self.back, gaussian=isinstance(self.forth[-1], nn.Identity))
        v = batch.noisy.flatten(1)
        return machine.contrast(v, machine.gibbs(v, self.config.k, generator), batch.clean.flatten(1))


LAYERS = {"autoencoder": Layer, "contractive": Contractive, "sparse": Sparse, "rbm": RBMPretraining}


class Stack(GreedyStack):
    """Sigmoid layers with tied weights: x_hat = g1(g2(...f2(f1(x))))."""

    def __init__(self, config: Config, spec: Spec) -> None:
        self.net = DenseConfig(config.widths, activation="sigmoid", code_activation=config.code_activation, tied=True)
        super().__init__(spec, *dense_parts(self.net, spec))
        self.tuned_dropout, self.code_rate = config.dropout, config.code_rate
        if config.layer != "random":
            pairs = zip(self.encoder, reversed(self.backs()), strict=True)
            self.layers = [LAYERS[config.layer](forth, back, config) for forth, back in pairs]  # type: ignore[arg-type]

    def phases(self) -> list[Phase]:
        phases = super().phases()
        return [*phases[:-1], *(dataclasses.replace(phase, rate=self.code_rate) for phase in phases[-1:])]

    def backs(self) -> list[Transposed]:
        """The decoder's layers, top first."""
        return [module for module in self.decoder.modules() if isinstance(module, Transposed)]

    def unrolled(self) -> tuple[DenseConfig, Autoencoder]:
        """The dense autoencoder with the same encoder and a decoder that starts as its transpose and is no longer tied
        to it.

        Hinton & Salakhutdinov 2006. Also the config with which the family `dense` builds it.
        """
        config = dataclasses.replace(self.net, tied=False)
        model = Autoencoder(self.spec, *dense_parts(config, self.spec))
        model.encoder.load_state_dict(self.encoder.state_dict())
        own = [module for module in model.decoder.modules() if isinstance(module, nn.Linear)]
        with torch.no_grad():
            for to, back, forth in zip(own, self.backs(), reversed(self.encoder), strict=True):
                to.weight.copy_(linear(forth).weight.T)
                to.bias.copy_(back.bias)
        return config, model


def linear(block: nn.Module) -> nn.Linear:
    """The dense layer of an encoder block."""
    return next(module for module in block.modules() if isinstance(module, nn.Linear))


def build(config: Config, spec: Spec, generator: Generator) -> Stack:
    model = Stack(config, spec)
    initialise(model, generator)
    widen(model.encoder)
    return model
