"""Convolutional autoencoders of series: convolutions along time, each with half the steps of the one before.

    [T, D] -> conv k, stride 2 -> ... -> dense code [K] -> ... -> transposed conv, stride 2 -> [T, D]

The layers are those of 2-D convolutional autoencoders (Masci et al. 2011) with one axis, as Wang et al. 2017 use them
to classify series. With `latent_dim: 0` the last map, flattened, is the code. Expect: behind a dense net on few short
series, ahead where the same shape occurs at any time.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

from torch import Generator, Tensor, nn

from aelab.models.common import (
    ACTIVATIONS,
    Activation,
    Autoencoder,
    OutputActivation,
    ReconstructionLoss,
    Reduction,
    Spec,
    initialise,
    require,
    require_widths,
)

KINDS = ("series",)


@dataclass(frozen=True)
class Config:
    """channels: of each halving of the time steps; latent_dim: of the dense code, 0: the last map is the code; kernel:
    steps of a filter, odd."""

    channels: tuple[int, ...]
    latent_dim: int = 0
    kernel: int = 5
    activation: Activation = "relu"
    output: OutputActivation = "linear"
    loss: ReconstructionLoss = "mse"
    reduction: Reduction = "sum"

    def __post_init__(self) -> None:
        require_widths("channels", self.channels)
        require(self.latent_dim >= 0, "latent_dim", self.latent_dim, "0 or more")
        require(self.kernel > 0 and self.kernel % 2 == 1, "kernel", self.kernel, "odd numbers")


class Turned(nn.Module):
    """Series with features and time exchanged: [B, T, D] <-> [B, D, T]."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


class Shortened(nn.Module):
    """The first `steps` of maps [B, C, T]."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.steps]


def build(config: Config, spec: Spec, generator: Generator) -> Autoencoder:
    steps, features = spec.shape
    most = max(1, (steps - 1).bit_length())
    channels = config.channels
    require(len(channels) <= most, "channels", f"{len(channels)} downsamplings of {steps} steps", f"at most {most}")
    forth: list[nn.Module] = [Turned()]
    back: list[nn.Module] = []
    act, half = ACTIVATIONS[config.activation], config.kernel // 2
    for a, b in itertools.pairwise([features, *channels]):
        forth += [nn.Conv1d(a, b, config.kernel, stride=2, padding=half), act()]
        up = nn.ConvTranspose1d(b, a, config.kernel, stride=2, padding=half, output_padding=1)
        back = [act(), up, *([Shortened(steps)] if steps % 2 else []), *back]
        steps = -(-steps // 2)
    inner = (channels[-1], steps)
    if config.latent_dim:
        forth += [nn.Flatten(), nn.Linear(math.prod(inner), config.latent_dim)]
        start: list[nn.Module] = [nn.Linear(config.latent_dim, math.prod(inner)), nn.Unflatten(1, inner)]
    else:
        start, back = [nn.Unflatten(1, inner)], back[1:]
    decoder = nn.Sequential(*start, *back, Turned())
    output = spec.output(config.output, config.loss, config.reduction)
    model = Autoencoder(spec, nn.Sequential(*forth), decoder, output)
    initialise(model, generator)
    return model
