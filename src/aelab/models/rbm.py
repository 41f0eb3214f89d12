"""The restricted Boltzmann machine: binary pixels and hidden units with symmetric weights.

    p(v, h) = e^(b'v + c'h + h'Wv) / Z,   -d ln p(v)/d theta = dF(v)/d theta - E_p(v')[dF(v')/d theta],

with the free energy F(v) = -b'v - sum of ln(1 + e^(c + Wv)). The model's samples v' come from k Gibbs steps that start
at the data (contrastive divergence, CD-k; Hinton 2002), or (`persistent`) at the end of the last batch's chains (PCD;
Tieleman 2008). The loss F(data) - F(sample), the sample detached, has this gradient and no other meaning: the monitored
term is the cross-entropy of the reconstruction, and the pseudo-likelihood is logged. Initial weights are N(0, 0.01^2),
visible biases the training mean's logits (Hinton 2010, section 8). Grey pixels are treated as probabilities.

deeplearning.net, MNIST 50,000, 500 hidden units, PCD-15, lr 0.1, batch 20, 15 epochs: pseudo-likelihood -62.8 nats.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.common import (
    Autoencoder,
    Batch,
    Losses,
    Output,
    Phase,
    RBMLayer,
    Spec,
    Transposed,
    bernoulli,
    require,
)

CHAINS = 500  # of PCD, side by side: each starts at another training image
STEPS = 500  # Gibbs steps per sample
DEVIATION = 0.01  # of the initial weights
KINDS = ("image",)


@dataclass(frozen=True)
class Config:
    """units: number of hidden units; k: Gibbs steps per update; persistent: chains continue from batch to batch
    (PCD)."""

    units: int
    k: int = 1
    persistent: bool = False

    def __post_init__(self) -> None:
        for key in ("units", "k"):
            require(getattr(self, key) > 0, key, getattr(self, key), "1 or more")


class RestrictedBoltzmannMachine(Autoencoder):
    """encode: p(h = 1|v), the code used downstream; decode: p(v = 1|h)."""

    chain: Tensor | None  # the states of PCD's chains, pixels [CHAINS, V]

    def __init__(self, config: Config, spec: Spec) -> None:
        forth = nn.Linear(spec.pixels, config.units)
        back = Transposed(forth)
        encoder = nn.Sequential(nn.Flatten(), forth, nn.Sigmoid())
        decoder = nn.Sequential(back, nn.Unflatten(1, spec.shape))
        super().__init__(spec, encoder, decoder, Output("sigmoid", "bce", "sum"))
        self.machine, self.k = RBMLayer(forth, back), config.k
        self.register_buffer("chain", torch.zeros(CHAINS, spec.pixels) if config.persistent else None)

    def fit_statistics(self, clean: Tensor, label: Tensor) -> None:
        with torch.no_grad():
            self.machine.back.bias.copy_(clean.flatten(1).mean(0).clamp(1e-3, 1 - 1e-3).logit())
            if self.chain is not None:
                rows = torch.arange(CHAINS, device=clean.device) * len(clean) // CHAINS
                self.chain.copy_(clean[rows].flatten(1).round())

    def phases(self) -> list[Phase]:
        return [Phase("all", self.machine.parameters(), self.loss, "reconstruction")]

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """F(data) - F(sample) in nats per image; in evaluation also the pseudo-likelihood.

        PCD's chains move during training only.
        """
        v = batch.noisy.flatten(1)
        sample = self.machine.gibbs(v if self.chain is None else self.chain, self.k, generator)
        if self.chain is not None and self.training:
            self.chain.copy_(sample)
        losses = self.machine.contrast(v, sample, batch.clean.flatten(1))
        if not self.training:
            losses.terms["pseudo_likelihood"] = self.pseudo_likelihood(batch.clean, generator).mean()
        return losses

    def pseudo_likelihood(self, x: Tensor, generator: Generator) -> Tensor:
        """An estimate of the sum over pixels i of ln p(v_i | all other pixels), [B, C, H, W] -> [B], in nats:

            V ln sigmoid(F(v with bit i turned) - F(v)),   one i per image drawn at random, v = x rounded

        (deeplearning.net, "Restricted Boltzmann Machines", which takes the same i for a whole batch).
        """
        v = (x.flatten(1) > 0.5).to(x.dtype)
        i = torch.randint(v.shape[1], (len(v), 1), generator=generator, device=v.device)
        turned = v.scatter(1, i, 1 - v.gather(1, i))
        return v.shape[1] * F.logsigmoid(self.machine.free_energy(turned) - self.machine.free_energy(v))

    def sample(self, n: int, generator: Generator) -> Tensor:
        """p(v = 1|h) at the end of n chains of STEPS Gibbs steps.

        They start from PCD's chains, each once before any is taken again, or from draws of the visible biases.
        """
        if self.chain is None:
            start = bernoulli(torch.sigmoid(self.machine.back.bias).expand(n, -1), generator)
        else:
            order = torch.randperm(CHAINS, generator=generator, device=self.chain.device)
            start = self.chain[order.repeat(-(-n // CHAINS))[:n]]
        with torch.no_grad():
            v = self.machine.gibbs(start, STEPS - 1, generator)
            return self.machine.chances(v, generator).view(n, *self.spec.shape)


def build(config: Config, spec: Spec, generator: Generator) -> RestrictedBoltzmannMachine:
    model = RestrictedBoltzmannMachine(config, spec)
    nn.init.normal_(model.machine.forth.weight, std=DEVIATION, generator=generator)
    nn.init.zeros_(model.machine.forth.bias)
    return model
