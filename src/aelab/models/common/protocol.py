"""The interface of every model.

Axes: B images of a batch, C channels, H rows, W columns, K numbers of a code. Images [B, C, H, W] are float32 in [0,
1]. What is said of images holds for rows of tables [B, D] and for series [B, T, D] too, whose inputs D are those of
columns (see data/columns.py).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn

from aelab.data.columns import KINDS, Column, Kind
from aelab.data.layout import Layout
from aelab.models.common.layers import ACTIVATIONS, BatchNorm, require
from aelab.models.common.output import CellOutput, Output, OutputActivation, ReconstructionLoss, Reduction

DROPOUT = "dropout draws from torch's own generator, not from each seed's"
BATCH_NORM = "batch normalisation updates running statistics in place"


@dataclass(frozen=True)
class Spec:
    """The shape of the data, the number of classes, and the columns of tables and series.

    shape: (C, H, W) of images, (D,) of a table's rows, (T, D) of series.
    """

    shape: tuple[int, ...]
    classes: int
    columns: tuple[Column, ...] = ()

    @property
    def pixels(self) -> int:
        return math.prod(self.shape)

    @property
    def kind(self) -> Kind:
        return KINDS[len(self.shape)]

    @cached_property
    def layout(self) -> Layout | None:
        """Where the inputs of columns are; None for images."""
        return Layout.of(self.columns) if self.columns else None

    def output(
        self,
        activation: OutputActivation,
        loss: ReconstructionLoss,
        reduction: Reduction,
        standard: tuple[float, float] | None = None,
    ) -> Output:
        """The last step of a decoder. Raises ValueError where it does not suit the data."""
        if self.layout is None:
            return Output(activation, loss, reduction, standard)
        require(standard is None, "standard", standard, f"null for a {self.kind}, whose columns are standardised")
        suits = activation == "linear" and loss == "mse"
        require(suits, "output", f"{activation} with loss {loss}", f"linear with loss mse, for a {self.kind}")
        return CellOutput(self.layout, len(self.shape), reduction)

    def likelihood(self) -> Output:
        """The last step of a decoder that makes the parameters of p(x|z), whose -log is the error."""
        if self.layout is None:
            return Output("sigmoid", "bce", "sum")
        return CellOutput(self.layout, len(self.shape), "sum", share=0.5)

    @property
    def outputs(self) -> dict[str, Any]:
        """Parameters of a dense net whose outputs suit the data; none for images, which have the defaults."""
        return {} if self.layout is None else {"output": "linear", "loss": "mse"}


class Batch(NamedTuple):
    """The input of a loss: clean images [B, ...], the model's input (noisy, same shape), labels [B]."""

    clean: Tensor
    noisy: Tensor
    label: Tensor


class Losses(NamedTuple):
    """A batch's loss (scalar) and its named parts (scalars, detached by the loop), means over the batch's images."""

    total: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Phase:
    """One optimisation: its parameters, its loss, and the term that early stopping and the best epoch monitor.

    rate: times the learning rate of the settings.

    `inputs` maps images to the inputs of this phase (through frozen layers below); the loop applies it once, before
    noise.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[[Batch, Generator], Losses]
    monitor: str = "total"
    inputs: Callable[[Tensor], Tensor] | None = None
    rate: float = 1.0


@runtime_checkable
class Generative(Protocol):
    """A model that can generate images."""

    def sample(self, n: int, generator: Generator) -> Tensor:
        """n images [n, C, H, W] from the model's prior."""
        ...


@runtime_checkable
class Likelihood(Protocol):
    """A model with an evidence lower bound on log p(x)."""

    targets: Literal["grey", "binary"]

    def rate_distortion(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Per image [B], in nats: the rate KL(q(z|x) || p(z)) and the distortion -log p(x|z) at one draw of z."""
        ...


class Autoencoder(nn.Module):
    """The base of all families: an encoder in blocks, a decoder to raw outputs, one reconstruction loss.

    A variant overrides one method, usually `penalty` (as in Locatello et al.'s disentanglement_lib).
    """

    uses_labels = False  # whether training or encoding needs labels
    decodes = True  # whether a code alone decodes to an image
    inactive_value = 0.0  # the value of an inactive unit of the code
    vmap_unsupported_reason = (
        ""  # why seeds cannot train in one loop with stacked weights (training/vectorized.py); empty: they can
    )
    # targets of its likelihood: grey pixels, or binary ones drawn from them
    targets: Literal["grey", "binary"] = "grey"
    learned_buffers: tuple[str, ...] = ()  # names of buffers that hold learned values, like parameters
    tuned_dropout = 0.0  # dropout of each encoder block while a classifier on top is fine-tuned

    def __init__(self, spec: Spec, encoder: nn.Sequential, decoder: nn.Module, output: Output) -> None:
        super().__init__()
        self.spec, self.encoder, self.decoder, self.output = spec, encoder, decoder, output
        if any(isinstance(module, nn.Dropout) for module in self.modules()):
            self.vmap_unsupported_reason = DROPOUT
        if any(isinstance(module, BatchNorm) for module in self.modules()):
            self.vmap_unsupported_reason = BATCH_NORM

    @property
    def bounded(self) -> bool:
        """Whether reconstructions lie in [0, 1]."""
        return self.output.bounded

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images [B, C, H, W] -> codes [B, K] as used downstream; `condition`: labels, for models that need them."""
        return self.encoder(self.output.scale(x)).flatten(1)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Codes [B, K] -> images [B, C, H, W] in data units."""
        return self.output(self.decoder(z))

    def code_bits(self, numbers: int) -> float:
        """Bits of one stored code of this latent dimension; float32 unless a family says otherwise."""
        return 32.0 * numbers

    def reconstruct(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images -> their reconstructions, both [B, C, H, W]."""
        return self.decode(self.encode(x, condition), condition)

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """The reconstruction error of the clean images from the noisy ones, plus the family's penalties."""
        hidden = self.activations(batch.noisy)
        terms = {"reconstruction": self.output.error(self.decoder(hidden[-1].flatten(1)), batch.clean)}
        terms |= self.penalty(hidden)
        return Losses(torch.stack(list(terms.values())).sum(), terms)

    def penalty(self, hidden: list[Tensor]) -> dict[str, Tensor]:
        """Further terms of the loss, by name, from the activations of each encoder block [B, ...]; none here."""
        return {}

    def activations(self, x: Tensor) -> list[Tensor]:
        """The outputs of every encoder block for images [B, C, H, W]; the last one is the code."""
        hidden = [self.output.scale(x)]
        for block in self.encoder:
            hidden.append(block(hidden[-1]))
        return hidden[1:]

    def hidden(self, x: Tensor, condition: Tensor | None = None) -> list[Tensor]:
        """The activations of the encoder's hidden layers for images [B, C, H, W], and last the code: each [B, n].

        A layer, its batch normalisation and its activation function count once.
        """
        found: list[Tensor] = []
        hooks = [
            block.register_forward_hook(lambda _, given, out: found.append(out.reshape(len(x), -1)))
            for block, after in itertools.pairwise(self.encoder)
            if not isinstance(block, nn.Flatten) and not isinstance(after, (BatchNorm, *ACTIVATIONS.values()))
        ]
        try:
            code = self.encode(x, condition)
        finally:
            for hook in hooks:
                hook.remove()
        return [*found, code]

    def phases(self) -> list[Phase]:
        """What to optimise, in order. Default: one phase, all parameters."""
        return [Phase("all", list(self.parameters()), self.loss)]

    def fit_statistics(self, clean: Tensor, label: Tensor) -> None:
        """Called once before training with the training set [N, C, H, W], [N]; closed-form models solve here."""
