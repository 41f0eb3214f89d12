"""Recurrent autoencoders: a series read step by step, an image row by row (Sutskever, Vinyals & Le 2014; Srivastava et
al. 2015).

An LSTM reads the T steps, or the H rows from the top; its final state is the code; a second LSTM starts from that state
and outputs them in reverse, the last one first, because the state remembers the last ones best (Sutskever 2014). The
decoder has no other input than the state (Srivastava's unconditioned decoder).

With `predict_rows` it is Srivastava's composite model: only the rows above them are read, and from the one state one
decoder reconstructs those in reverse and another predicts the other rows from the top down; both losses are added.

With `predict_next`, for series, a head on the reading LSTM predicts at every step how the next value differs from the
last one: x_hat_{t+1} = x_t + W h_t. Its squared error is added to the loss. (A head that predicts the value itself is
behind repeating the last value on smooth series.)

Compared with the dense families it has far fewer weights, shared by all rows. Expect: behind a dense net of the same
code size after few epochs, because gradients pass through 2 H steps. No score is published for still digits
(Srivastava's are of moving ones); `prediction` should be above `reconstruction`, because the top half does not
determine the bottom half.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.common import (
    Autoencoder,
    Batch,
    Losses,
    Output,
    OutputActivation,
    ReconstructionLoss,
    Reduction,
    Spec,
    initialise,
    require,
)

KINDS = ("series", "image")


@dataclass(frozen=True)
class Config:
    """units: of each LSTM, whose state of 2 x units values is the code; predict_rows: rows at the bottom (of series:
    last steps) that are not read; predict_next: whether each step's next value is predicted."""

    units: int
    predict_rows: int = 0
    predict_next: bool = False
    output: OutputActivation = "sigmoid"
    loss: ReconstructionLoss = "bce"
    reduction: Reduction = "sum"

    def __post_init__(self) -> None:
        require(self.units > 0, "units", self.units, "1 or more")
        require(self.predict_rows >= 0, "predict_rows", self.predict_rows, "0 or more")
        both = self.predict_rows > 0 and self.predict_next
        require(not both, "predict_next", self.predict_next, "false where predict_rows")


class LSTM(nn.Module):
    """Long short-term memory with forget gates (Hochreiter & Schmidhuber 1997, Gers 2000):

        i, f, o = sigmoid(W x_t + U h + b), g = tanh(W x_t + U h + b)    each with its own weights
        c = f * c + i * g
        h = o * tanh(c)

    inputs = 0: without W x_t. The weights of the four gates are one matrix, in the order i, f, g, o.
    """

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.inputs = nn.Parameter(torch.zeros(4 * units, inputs)) if inputs else None  # W
        self.recurrent = nn.Parameter(torch.zeros(4 * units, units))  # U
        self.bias = nn.Parameter(torch.zeros(4 * units))

    def initialise(self, generator: Generator) -> None:
        """Glorot uniform gate by gate, bias 1 of the forget gate (Gers 2000), 0 elsewhere: the cell remembers at
        first."""
        for weight in (self.inputs, self.recurrent):
            for gate in weight.data.chunk(4) if weight is not None else ():
                nn.init.xavier_uniform_(gate, generator=generator)
        nn.init.zeros_(self.bias)
        nn.init.ones_(self.bias.data.chunk(4)[1])

    def step(self, given: Tensor, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """One step: W x_t + b, `given` [B or 1, 4 units], and the state h, c [B, units] -> the next h, c."""
        i, f, g, o = (F.linear(h, self.recurrent) + given).chunk(4, 1)
        c = f.sigmoid() * c + i.sigmoid() * g.tanh()
        return o.sigmoid() * c.tanh(), c


def steps_of(x: Tensor, most: int) -> Tensor:
    """The first steps of series [B, T, D], or the upper rows of images [B, C, H, W], in order: [most, B, values]."""
    return x[:, :most].transpose(0, 1) if x.dim() == 3 else x[:, :, :most].permute(2, 0, 1, 3).flatten(2)


class Reader(LSTM):
    """Steps in order -> the final state: series [B, T, D] or images [B, C, H, W] -> [B, 2 units], first h, then c."""

    def __init__(self, rows: int, inputs: int, units: int) -> None:
        super().__init__(inputs, units)
        self.rows = rows

    def forward(self, x: Tensor) -> Tensor:
        h, c = self.states(x)[-1]
        return torch.cat([h, c], 1)

    def states(self, x: Tensor) -> list[tuple[Tensor, Tensor]]:
        """The states h, c [B, units] after each step."""
        assert self.inputs is not None
        given = F.linear(steps_of(x, self.rows), self.inputs, self.bias)  # all at once: [rows, B, 4 units]
        h = c = x.new_zeros(x.shape[0], self.recurrent.shape[1])
        result = []
        for row in given:
            h, c = self.step(row, h, c)
            result.append((h, c))
        return result


class Writer(LSTM):
    """A state [B, 2 units] -> raw steps [B, steps, D] or rows [B, C, rows, W], the last one first if `reverse`."""

    def __init__(self, shape: tuple[int, ...], units: int, reverse: bool) -> None:
        super().__init__(0, units)
        self.shape, self.reverse = shape, reverse
        self.steps = shape[-2]
        self.row = nn.Linear(units, math.prod(shape) // self.steps)

    def initialise(self, generator: Generator) -> None:
        super().initialise(generator)
        nn.init.xavier_uniform_(self.row.weight, generator=generator)
        nn.init.zeros_(self.row.bias)

    def forward(self, z: Tensor) -> Tensor:
        h, c = z.chunk(2, 1)
        states = []
        for _ in range(self.steps):
            h, c = self.step(self.bias, h, c)
            states.append(h)
        top_down = states[::-1] if self.reverse else states
        rows = self.row(torch.stack(top_down, 1))  # [B, rows, C W]
        if len(self.shape) == 2:
            return rows
        return rows.unflatten(2, (self.shape[0], self.shape[2])).transpose(1, 2)


class Halves(nn.Module):
    """Two decoders of one state: the rows that were read, above those that were not; [B, 2 units] -> [B, ..., H, W]."""

    def __init__(self, seen: Writer, unseen: Writer) -> None:
        super().__init__()
        self.seen, self.unseen = seen, unseen

    def forward(self, z: Tensor) -> Tensor:
        return torch.cat([self.seen(z), self.unseen(z)], -2)


class CompositeAutoencoder(Autoencoder):
    """The composite model: encode() reads the top rows only.

    reconstruct() returns the whole image, the top reconstructed and the bottom predicted, both from the top rows.
    """

    def __init__(self, spec: Spec, encoder: nn.Sequential, decoder: Halves, output: Output) -> None:
        super().__init__(spec, encoder, decoder, output)
        self.seen = decoder.seen.steps

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        raw = self.decoder(self.encoder(self.output.scale(batch.noisy)))
        top, bottom = slice(None, self.seen), slice(self.seen, None)
        rebuilt = self.output.error(raw[..., top, :], batch.clean[..., top, :])
        predicted = self.output.error(raw[..., bottom, :], batch.clean[..., bottom, :])
        return Losses(rebuilt + predicted, {"reconstruction": rebuilt, "prediction": predicted})


class Forecaster(Autoencoder):
    """An autoencoder of series whose reading LSTM also predicts each next step."""

    def __init__(self, spec: Spec, reader: Reader, decoder: Writer, output: Output, units: int) -> None:
        super().__init__(spec, nn.Sequential(reader), decoder, output)
        self.reader = (reader,)  # in a tuple, so that its weights are registered once
        self.change = nn.Linear(units, spec.shape[1])

    def next_steps(self, x: Tensor) -> Tensor:
        """Each next step of series [B, T, D], predicted from all before: of the second one on, [B, T - 1, D]."""
        h = torch.stack([h for h, _ in self.reader[0].states(x)[:-1]], 1)
        return x[:, :-1] + self.change(h)

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        losses = super().loss(batch, generator)
        prediction = self.output.error(self.next_steps(batch.noisy), batch.clean[:, 1:])
        return Losses(losses.total + prediction, losses.terms | {"prediction": prediction})


def build(config: Config, spec: Spec, generator: Generator) -> Autoencoder:
    steps = spec.shape[-2]
    inputs = spec.pixels // steps
    require(config.predict_rows < steps, "predict_rows", config.predict_rows, f"below the {steps} rows or steps")
    require(not config.predict_next or spec.kind == "series", "predict_next", config.predict_next, "true for series")
    seen = steps - config.predict_rows
    reader = Reader(seen, inputs, config.units)
    writer = Writer((*spec.shape[:-2], seen, spec.shape[-1]), config.units, reverse=True)
    output = spec.output(config.output, config.loss, config.reduction)
    if config.predict_rows:
        shape = (*spec.shape[:-2], config.predict_rows, spec.shape[-1])
        further = Writer(shape, config.units, reverse=False)
        model: Autoencoder = CompositeAutoencoder(spec, nn.Sequential(reader), Halves(writer, further), output)
    elif config.predict_next:
        model = Forecaster(spec, reader, writer, output, config.units)
        initialise(model, generator)
    else:
        model = Autoencoder(spec, nn.Sequential(reader), writer, output)
    for module in model.modules():
        if isinstance(module, LSTM):
            module.initialise(generator)
    return model
