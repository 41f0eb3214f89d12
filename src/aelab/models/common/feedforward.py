"""Dense autoencoders: their parameters and parts."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

from torch import nn

from aelab.config.options import OPTION, Options
from aelab.models.common.layers import (
    ACTIVATIONS,
    Activation,
    BatchNorm,
    Init,
    Transposed,
    dense,
    require,
    require_widths,
)
from aelab.models.common.output import Output, OutputActivation, ReconstructionLoss, Reduction
from aelab.models.common.protocol import Spec


@dataclass(frozen=True)
class DenseConfig(Options):
    """The parameters of every dense autoencoder."""

    widths: tuple[int, ...]  # widths of the encoder's layers; the last is the code
    activation: Activation = "relu"  # of the hidden layers
    code_activation: Activation = "linear"  # of the code layer
    output: OutputActivation = "sigmoid"
    loss: ReconstructionLoss = "bce"
    reduction: Reduction = "sum"
    decoder: tuple[int, ...] = field(default=())  # widths of the decoder's hidden layers; empty: the encoder's mirror
    tied: bool = False  # decoder weights are the encoder's transposes
    dropout: float = 0.0  # dropout of the hidden layers during training
    batch_norm: bool = field(
        default=False, kw_only=True, metadata=OPTION
    )  # of the hidden layers, before their activation
    init: Init = field(
        default="glorot", kw_only=True, metadata=OPTION
    )  # the initial weights: glorot, or torch's default
    standard: tuple[float, float] | None = field(
        default=None, kw_only=True, metadata=OPTION
    )  # (mean, deviation) of pixels, for a net on standardised ones

    def __post_init__(self) -> None:
        require_widths("widths", self.widths)
        require(not (self.tied and self.decoder), "decoder", list(self.decoder), "none where tied")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "0 up to, without, 1")


def dense_parts(config: DenseConfig, spec: Spec) -> tuple[nn.Sequential, nn.Sequential, Output]:
    """Encoder blocks [B, C, H, W] -> [B, K], decoder [B, K] -> raw [B, C, H, W], output; weights not yet
    initialised."""
    sizes = [spec.pixels, *config.widths]
    acts: list[Activation] = [config.activation for _ in config.widths[:-1]]
    acts.append(config.code_activation)
    normal = [*[config.batch_norm] * (len(acts) - 1), False]
    blocks = [
        dense(a, b, act, batch_norm=bn) for (a, b), act, bn in zip(itertools.pairwise(sizes), acts, normal, strict=True)
    ]
    if config.tied:
        layers: list[nn.Module] = [Transposed(block[0]) for block in reversed(blocks)]  # type: ignore[arg-type]
    else:
        back = [sizes[-1], *(config.decoder or sizes[-2:0:-1]), spec.pixels]
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(back)]
    decoder: list[nn.Module] = []
    for layer in layers[:-1]:
        width = layer.out_features if isinstance(layer, nn.Linear) else len(layer.bias)  # type: ignore[arg-type]
        decoder += [layer, *([BatchNorm(width)] if config.batch_norm else []), ACTIVATIONS[config.activation]()]
    if config.dropout:
        for block in blocks[: max(1, len(blocks) - 1)]:  # dropout acts on hidden layers, and on the only layer
            block.append(nn.Dropout(config.dropout))
    decoder += [layers[-1], nn.Unflatten(1, spec.shape)]
    blocks[0].insert(0, nn.Flatten())
    return (
        nn.Sequential(*blocks),
        nn.Sequential(*decoder),
        spec.output(config.output, config.loss, config.reduction, config.standard),
    )
