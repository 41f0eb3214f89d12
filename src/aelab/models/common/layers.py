"""Building blocks of networks, and their initialisation."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

Activation = Literal["linear", "relu", "leaky_relu", "sigmoid", "tanh", "silu"]

Init = Literal["glorot", "torch"]  # see `initialise`

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leaky_relu": nn.LeakyReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
}


def require(condition: bool, key: str, value: object, allowed: str) -> None:
    """Raise ValueError "key: value is wrong; allowed: ..." unless `condition` holds (see params.check)."""
    if not condition:
        raise ValueError(f"{key}: {value} is wrong; allowed: {allowed}")


def require_widths(key: str, widths: Sequence[int]) -> None:
    """Raise ValueError unless there is at least one width and all are positive."""
    require(len(widths) > 0 and min(widths) > 0, key, list(widths), "one or more positive numbers")


def dense(
    inputs: int, outputs: int, activation: Activation, bias: bool = True, batch_norm: bool = False
) -> nn.Sequential:
    """A dense layer, where asked for batch normalisation, and the activation: [B, inputs] -> [B, outputs]."""
    normal = [BatchNorm(outputs)] if batch_norm else []
    return nn.Sequential(nn.Linear(inputs, outputs, bias=bias), *normal, ACTIVATIONS[activation]())


def mlp(sizes: Sequence[int], activation: Activation, batch_norm: bool = False) -> list[nn.Module]:
    """Dense layers of these widths, the first being the input's, with `activation` in between; the last layer is
    linear."""
    *hidden, last = itertools.pairwise(sizes)
    blocks = [dense(a, b, activation, batch_norm=batch_norm) for a, b in hidden]
    return [*itertools.chain(*blocks), nn.Linear(*last)]


class BatchNorm(nn.BatchNorm1d):
    """Batch normalisation (Ioffe & Szegedy 2015); a batch of one item, which has no variance, is normalised by the
    running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        if self.training and len(input) > 1:
            return super().forward(input)
        return F.batch_norm(input, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps)


def downsample_stack(
    shape: tuple[int, ...], channels: Sequence[int], activation: Activation
) -> tuple[list[nn.Module], list[nn.Module], tuple[int, int, int]]:
    """Layers that halve images [B, *shape] once per number of channels, layers that double them again, and the shape in
    between.

    The latter begin with an activation. Half of an odd size is rounded up, and its double cropped. Raises ValueError
    that begins with `channels`.
    """
    colours, height, width = shape
    most = max(1, (min(height, width) - 1).bit_length())
    pixels = f"{len(channels)} downsamplings of {height} x {width} pixels"
    require(len(channels) <= most, "channels", pixels, f"at most {most}")
    forth: list[nn.Module] = []
    back: list[nn.Module] = []
    for a, b in itertools.pairwise([colours, *channels]):
        forth += [nn.Conv2d(a, b, 3, stride=2, padding=1), ACTIVATIONS[activation]()]
        crop = [Crop(height, width)] if height % 2 or width % 2 else []
        back = [ACTIVATIONS[activation](), nn.ConvTranspose2d(b, a, 4, stride=2, padding=1), *crop, *back]
        height, width = -(-height // 2), -(-width // 2)
    return forth, back, (channels[-1], height, width)


class Crop(nn.Module):
    """The upper left height x width pixels of maps [B, C, H, W]."""

    def __init__(self, height: int, width: int) -> None:
        super().__init__()
        self.height, self.width = height, width

    def forward(self, x: Tensor) -> Tensor:
        return x[..., : self.height, : self.width]


class Transposed(nn.Module):
    """A dense layer whose weight is another's transpose, with its own bias: [B, out] -> [B, in]."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        self._source = (source,)  # in a tuple, so that the weight is registered, saved and updated once
        self.bias = nn.Parameter(torch.zeros(source.in_features))

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(z, self._source[0].weight.t(), self.bias)


def initialise(model: nn.Module, generator: Generator, init: Init = "glorot") -> None:
    """glorot: uniform weights, zero biases (Glorot & Bengio 2010); torch: its default, with which narrow ReLU codes
    often die, weights and biases uniform up to 1 / sqrt(inputs of an output)."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose1d, nn.ConvTranspose2d)):
            if init == "torch":
                most = 1 / math.sqrt(module.weight[0].numel())
                for part in (module.weight, *([] if module.bias is None else [module.bias])):
                    nn.init.uniform_(part, -most, most, generator=generator)
                continue
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def initialise_relu(model: nn.Module, generator: Generator) -> None:
    """As `initialise`, but He uniform weights for convolutions (He et al. 2015), of the inputs that each output has.

    Glorot's variance halves with every ReLU, and it counts outputs that a strided convolution does not have: signals
    fade within three layers, and learning stalls for hundreds of steps.
    """
    initialise(model, generator)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
            up = math.prod(module.stride) if isinstance(module, nn.ConvTranspose2d) else 1
            inputs = module.in_channels // module.groups * math.prod(module.kernel_size) // up
            nn.init.uniform_(module.weight, -math.sqrt(6 / inputs), math.sqrt(6 / inputs), generator=generator)


def widen(encoder: nn.Sequential) -> None:
    """Multiply the weights of an encoder's sigmoid blocks by four (as deeplearning.net's SdA and DBN).

    The slope of a sigmoid is at most 1/4, so deep stacks with smaller initial weights train very slowly.
    """
    with torch.no_grad():
        for block in encoder:
            if any(isinstance(module, nn.Sigmoid) for module in block.modules()):
                for module in block.modules():
                    if isinstance(module, (nn.Linear, nn.Conv2d)):
                        module.weight.mul_(4)


def start_at_mean(decoder: nn.Module, clean: Tensor) -> None:
    """Set the last dense layer's bias to the logit of the mean of images [N, C, H, W], clipped to 0.001 to 0.999."""
    last = [layer for layer in decoder.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.copy_(clean.flatten(1).mean(0).clamp(1e-3, 1 - 1e-3).logit())


def bernoulli_kl(rho: float, rho_hat: Tensor) -> Tensor:
    """KL(rho || rho_hat) of two Bernoulli distributions in nats, elementwise; 0 if they are equal."""
    rho_hat = rho_hat.float().clamp(1e-6, 1 - 1e-6)  # a unit that is inactive on a whole batch has log 0
    p = rho_hat.new_full((), rho)
    return p * (p / rho_hat).log() + (1 - p) * ((1 - p) / (1 - rho_hat)).log()
