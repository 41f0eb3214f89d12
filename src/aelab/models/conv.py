"""Convolutional autoencoders, written layer by layer as papers write them (Masci et al. 2011).

A layer is a few words in params.yaml. A convolution: its kind, how many channels, and what differs from kernel 3,
stride 1, padding 0, no activation. A pooling: its kind, its window, and what differs from a stride of that size and
padding 0. `up`: how many times as large.

    conv 16 k3 s3 p1 relu     convt 8 k5 s3 p1 relu     maxpool 3 s2 p1     avgpool 9     up 2

With noise (`noise:`) it is a denoising one. Code: the encoder's last feature map, flattened. Or, for images of any
size, `channels` instead of layers: each halves the image, mirrored in the decoder, with a dense code in between.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field

import torch
from torch import Generator, nn

from aelab.config.options import OPTION, Options
from aelab.models.common import (
    ACTIVATIONS,
    Autoencoder,
    Init,
    OutputActivation,
    ReconstructionLoss,
    Reduction,
    Spec,
    downsample_stack,
    initialise,
    initialise_relu,
    require,
    require_widths,
)

KERNEL, STRIDE, PADDING = "k<kernel>", "s<stride>", "p<padding>"
ACTIVATION = ", ".join(ACTIVATIONS)
TAKES = {  # what may follow a layer's kind and number
    "conv": {"k": KERNEL, "s": STRIDE, "p": PADDING, "activation": ACTIVATION},
    "convt": {"k": KERNEL, "s": STRIDE, "p": PADDING, "activation": ACTIVATION},
    "maxpool": {"s": STRIDE, "p": PADDING},
    "avgpool": {"s": STRIDE, "p": PADDING},
    "up": {},
}
LAYER = re.compile(rf"({'|'.join(TAKES)})\s+([1-9]\d*)(\s.*)?")
SUFFIX = re.compile(r"([ks])([1-9]\d*)|(p)(\d+)")
KINDS = ("image",)


@dataclass(frozen=True)
class Config(Options):
    """encoder, decoder: layers in words (see the head of this file); the decoder ends in raw outputs.

    channels: instead of them, of each halving of the image; latent_dim: of the dense code, 0: the last map is the code.
    """

    encoder: tuple[str, ...] = ()
    decoder: tuple[str, ...] = ()
    channels: tuple[int, ...] = ()
    latent_dim: int = 0
    output: OutputActivation = "sigmoid"
    loss: ReconstructionLoss = "bce"
    reduction: Reduction = "sum"
    init: Init = field(
        default="glorot", kw_only=True, metadata=OPTION
    )  # of layers in words: glorot, or torch's default

    def __post_init__(self) -> None:
        for key in ("encoder", "decoder"):
            for text in getattr(self, key):
                parsed(text, key)
            given = bool(getattr(self, key))
            require(given != bool(self.channels), key, list(getattr(self, key)), "layers, or channels instead")
        require_widths("channels", self.channels or (1,))
        require(self.init == "glorot" or not self.channels, "init", self.init, "glorot with channels")
        allowed = "0 or more" if self.channels else "0 without channels"
        require(
            self.latent_dim == 0 or self.latent_dim > 0 < len(self.channels), "latent_dim", self.latent_dim, allowed
        )


def layer(words: str, channels: int, key: str = "layer") -> nn.Module:
    """One layer from its words, for maps of so many channels. Raises what `parsed` does."""
    kind, number, options = parsed(words, key)
    if kind == "up":
        return nn.Upsample(scale_factor=number, mode="nearest")
    padding = int(options.get("p", 0))
    if kind in ("maxpool", "avgpool"):
        pool = nn.MaxPool2d if kind == "maxpool" else nn.AvgPool2d
        return pool(number, int(options.get("s", number)), padding)
    maker = nn.Conv2d if kind == "conv" else nn.ConvTranspose2d
    conv = maker(channels, number, int(options.get("k", 3)), int(options.get("s", 1)), padding)
    return nn.Sequential(conv, ACTIVATIONS[options.get("activation", "linear")]())


def parsed(words: str, key: str) -> tuple[str, int, dict[str, str]]:
    """The words of a layer: its kind, its number, and by name (k, s, p, activation) what follows.

    Raises ValueError that begins with `key` for words that are no layer, and for one that its kind does not take.
    """
    result = LAYER.fullmatch(words)
    if not result:
        raise ValueError(f"{key}: {words!r} is not a layer; allowed: {', '.join(TAKES)}, e.g. conv 16 k3 s2 p1 relu")
    kind, number, rest = result.groups("")
    options: dict[str, str] = {}
    for word in rest.split():
        option = SUFFIX.fullmatch(word)
        name, value = (option[1] or option[3], option[2] or option[4]) if option else ("activation", word)
        fits = name in TAKES[kind] and name not in options and (option or word in ACTIVATIONS)
        allowed = ", ".join(TAKES[kind].values())
        require(bool(fits), key, f"{word} of {words!r}", f"{allowed}, each once" if allowed else "nothing after it")
        options[name] = value
    if kind in ("maxpool", "avgpool"):
        most = int(number) // 2
        require(int(options.get("p", 0)) <= most, key, f"padding of {words!r}", f"p0 to p{most}, half the window")
    return kind, int(number), options


def network(layers: tuple[str, ...], shape: tuple[int, ...], key: str) -> tuple[nn.Sequential, tuple[int, ...]]:
    """Layers in words as one module that takes images [B, *shape], and the shape of what it puts out.

    Raises ValueError that begins with `key` for words that are no layer, and for a layer that is too large for its map.
    """
    modules = []
    for text in layers:
        module = layer(text, shape[0], key)
        try:
            with torch.no_grad():
                after = tuple(module(torch.zeros(1, *shape)).shape[1:])
        except RuntimeError as error:
            if "memory" in str(error):
                raise
            size = f"{shape[1]} x {shape[2]}"
            raise ValueError(f"{key}: {text!r} cannot take maps of {size}; allowed: windows within the map") from None
        modules.append(module)
        shape = after
    return nn.Sequential(*modules), shape


def sized(config: Config, spec: Spec) -> tuple[nn.Sequential, nn.Sequential]:
    """Encoder and decoder that fit the images, of `channels`."""
    forth, back, inner = downsample_stack(spec.shape, config.channels, "relu")
    if not config.latent_dim:
        return nn.Sequential(*forth), nn.Sequential(nn.Unflatten(1, inner), *back[1:])
    dense = nn.Linear(math.prod(inner), config.latent_dim)
    widened = nn.Linear(config.latent_dim, math.prod(inner))
    return nn.Sequential(*forth, nn.Flatten(), dense), nn.Sequential(widened, nn.Unflatten(1, inner), *back)


def build(config: Config, spec: Spec, generator: Generator) -> Autoencoder:
    if config.channels:
        encoder, decoder = sized(config, spec)
    else:
        encoder, code = network(config.encoder, spec.shape, "encoder")
        layers, shape = network(config.decoder, code, "decoder")
        decoder = nn.Sequential(nn.Unflatten(1, code), *layers)
        require(shape == spec.shape, "decoder", f"an output of {shape}", f"the image's shape {spec.shape}")
    model = Autoencoder(spec, encoder, decoder, spec.output(config.output, config.loss, config.reduction))
    if config.channels:
        initialise_relu(model, generator)
    else:
        initialise(model, generator, config.init)
    return model
