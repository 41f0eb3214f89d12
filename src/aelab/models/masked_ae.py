"""Masked autoencoders (He et al. 2021): three quarters of an image's patches, or of a series' stretches, are hidden and
reconstructed from the others.

    patchify, hide 75% of the patches at random, encode the visible ones only, add a mask token for every hidden one,
    decode them all with a light decoder; the loss covers the hidden patches only.

Both are transformers (Dosovitskiy et al. 2020) on 4x4 patches with fixed sine-cosine positions. As in the paper the
number of visible patches is rounded down: 12 of 49, so 37 (75.5%) are hidden. The differences: cross-entropy on pixels
instead of squared error on standardised patches, no class token, and a small net (the code has `embed_dim` values).

The code is the mean over all tokens of the whole image, nothing hidden. It does not decode by itself: `decodes` is
False. reconstruct() hides the same fixed 37 patches of every image and reconstructs them; the 12 visible ones are
copied, so errors over whole images are too good and `hidden_error` is the honest metric. Expect: a worse reconstruction
than any autoencoder that sees the whole image, and codes with a good linear probe after long training (He: 800 epochs).
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
    Block,
    Losses,
    Output,
    Spec,
    grid_positions,
    initialise,
    require,
)

FIXED_MASK = 0  # seed of the one mask that reconstruct() uses, the same for every model

KINDS = ("series", "image")


@dataclass(frozen=True)
class Config:
    """embed_dim, depth, heads: of the encoder; decoder_embed_dim, decoder_depth: of the decoder, with as many heads.
    patch: rows and columns of a patch, of series its steps; mask_ratio: the share of hidden patches."""

    embed_dim: int
    depth: int
    heads: int
    decoder_embed_dim: int
    decoder_depth: int
    patch: int = 4
    mask_ratio: float = 0.75

    def __post_init__(self) -> None:
        for key in ("depth", "heads", "decoder_depth", "patch"):
            require(getattr(self, key) > 0, key, getattr(self, key), "1 or more")
        for key in ("embed_dim", "decoder_embed_dim"):
            allowed = f"multiples of 4 and of {self.heads} heads"
            width = getattr(self, key)
            require(width > 0 and width % 4 == 0 and width % self.heads == 0, key, width, allowed)
        require(0 < self.mask_ratio < 1, "mask_ratio", self.mask_ratio, "between 0 and 1")


def patchify(x: Tensor, size: int) -> Tensor:
    """Images [B, C, H, W] -> patches [B, T, size^2 C], T = (H / size) (W / size), row by row; series [B, S, D] -> [B,
    T, size D], T = S / size."""
    if x.dim() == 3:
        return x.unflatten(1, (-1, size)).flatten(2)
    b, c, h, w = x.shape
    x = x.reshape(b, c, h // size, size, w // size, size)
    return x.permute(0, 2, 4, 3, 5, 1).reshape(b, (h // size) * (w // size), size * size * c)


def unpatchify(patches: Tensor, size: int, shape: tuple[int, ...]) -> Tensor:
    """Patches [B, T, P] -> images or series [B, *shape], the inverse of `patchify`."""
    if len(shape) == 2:
        return patches.reshape(-1, *shape)
    c, h, w = shape
    x = patches.reshape(patches.shape[0], h // size, w // size, size, size, c)
    return x.permute(0, 5, 1, 3, 2, 4).reshape(patches.shape[0], c, h, w)


def pick(rows: Tensor, which: Tensor) -> Tensor:
    """Select rows of each image: [B or 1, T, D] at `which` [B, n] -> [B, n, D]."""
    index = which[:, :, None].expand(-1, -1, rows.shape[2])
    return rows.expand(which.shape[0], -1, -1).gather(1, index)


class MaskedAutoencoder(Autoencoder):
    """Tokens carry their positions, so their order is free: visible patches first, hidden ones after them."""

    decodes = False

    def __init__(self, config: Config, spec: Spec) -> None:
        series = spec.kind == "series"
        output = spec.output("linear", "mse", "sum") if series else Output("sigmoid", "bce", "sum")
        super().__init__(spec, nn.Sequential(), nn.Identity(), output)
        self.patch = config.patch
        rows, columns = (spec.shape[0] // config.patch, 1) if series else (n // config.patch for n in spec.shape[1:])
        self.patches = rows * columns
        pixels = spec.pixels // self.patches
        self.visible = int(self.patches * (1 - config.mask_ratio))
        self.embed = nn.Linear(pixels, config.embed_dim)
        self.blocks = nn.Sequential(*(Block(config.embed_dim, config.heads) for _ in range(config.depth)))
        self.norm = nn.LayerNorm(config.embed_dim)
        self.narrow = nn.Linear(config.embed_dim, config.decoder_embed_dim)
        self.mask_token = nn.Parameter(torch.zeros(config.decoder_embed_dim))
        light = (Block(config.decoder_embed_dim, config.heads) for _ in range(config.decoder_depth))
        self.light = nn.Sequential(
            *light, nn.LayerNorm(config.decoder_embed_dim), nn.Linear(config.decoder_embed_dim, pixels)
        )
        fixed = torch.randperm(self.patches, generator=torch.Generator().manual_seed(FIXED_MASK))
        self.register_buffer("where", grid_positions(rows, columns, config.embed_dim)[None], persistent=False)
        self.register_buffer(
            "light_where", grid_positions(rows, columns, config.decoder_embed_dim)[None], persistent=False
        )
        self.register_buffer("fixed", fixed[None], persistent=False)

    where: Tensor  # positions of the encoder's tokens [1, T, embed_dim]
    light_where: Tensor  # and of the decoder's [1, T, decoder_embed_dim]
    fixed: Tensor  # the fixed order of patches in reconstruct() [1, T]

    def shuffled(self, n: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """For each of n images a random choice of visible [n, V] and hidden patches [n, T - V]."""
        noise = torch.rand(n, self.patches, generator=generator, device=generator.device)
        return self.cut(noise.argsort(1))

    def cut(self, order: Tensor) -> tuple[Tensor, Tensor]:
        """An order of patches [B, T] -> visible [B, V] and hidden ones [B, T - V]."""
        return order[:, : self.visible], order[:, self.visible :]

    def tokens(self, patches: Tensor, which: Tensor) -> Tensor:
        """The encoder: patches [B, T, P], of which it sees `which` [B, V] -> tokens [B, V, embed_dim]."""
        return self.norm(self.blocks(self.embed(pick(patches, which)) + pick(self.where, which)))

    def predict(self, patches: Tensor, visible: Tensor, hidden: Tensor) -> Tensor:
        """Raw outputs for the hidden patches [B, T - V, P], from the visible ones only."""
        seen = self.narrow(self.tokens(patches, visible))
        masks = self.mask_token.expand(*hidden.shape, -1)
        x = torch.cat([seen, masks], 1) + pick(self.light_where, torch.cat([visible, hidden], 1))
        return self.light(x)[:, self.visible :]

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """Cross-entropy of the hidden patches, in nats, or squared error of series: summed over their values, mean over
        images."""
        visible, hidden = self.shuffled(len(batch.clean), generator)
        raw = self.predict(patchify(batch.noisy, self.patch), visible, hidden)
        error = self.output.error(self.apart(raw), self.apart(pick(patchify(batch.clean, self.patch), hidden)))
        return Losses(error, {"reconstruction": error})

    def hidden_error(self, x: Tensor, generator: Generator) -> Tensor:
        """Squared error per hidden pixel of each image [B], with one random mask for each."""
        visible, hidden = self.shuffled(len(x), generator)
        patches = patchify(x, self.patch)
        rebuilt, target = self.output(self.apart(self.predict(patches, visible, hidden))), pick(patches, hidden)
        if self.spec.layout is None:
            return F.mse_loss(rebuilt, target, reduction="none").mean((1, 2))
        known = self.spec.layout.known(target := self.apart(target))
        return (known * (rebuilt - target).square()).flatten(1).sum(1) / known.flatten(1).sum(1).clamp_min(1)

    def apart(self, patches: Tensor) -> Tensor:
        """Patches [B, n, P], of series with their steps and features apart: [B, n, patch, D]."""
        return patches if self.spec.layout is None else patches.unflatten(2, (self.patch, -1))

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """The mean token of the whole image: [B, C, H, W] -> [B, embed_dim]."""
        everything = torch.arange(self.patches, device=x.device).expand(x.shape[0], -1)
        return self.tokens(patchify(x, self.patch), everything).mean(1)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Raises NotImplementedError: a mean of tokens has lost the positions."""
        raise NotImplementedError("masked_ae: a code does not decode by itself; reconstruct(x) rebuilds hidden patches")

    def reconstruct(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images with the fixed hidden patches reconstructed from the visible ones, which are copied."""
        visible, hidden = self.cut(self.fixed.expand(len(x), -1))
        patches = patchify(x, self.patch)
        rebuilt = self.output(self.apart(self.predict(patches, visible, hidden))).flatten(2)
        where = hidden[:, :, None].expand_as(rebuilt)
        return unpatchify(patches.scatter(1, where, rebuilt), self.patch, self.spec.shape)


def build(config: Config, spec: Spec, generator: Generator) -> MaskedAutoencoder:
    sides = spec.shape[:1] if spec.kind == "series" else spec.shape[1:]
    for n in sides:
        words = f"the series' {n} steps" if spec.kind == "series" else f"the image's {n} rows or columns"
        require(n % config.patch == 0, "patch", config.patch, f"a divisor of {words}")
    patches = math.prod(n // config.patch for n in sides)
    require(
        int(patches * (1 - config.mask_ratio)) > 0,
        "mask_ratio",
        config.mask_ratio,
        f"what leaves one of {patches} patches",
    )
    model = MaskedAutoencoder(config, spec)
    initialise(model, generator)
    nn.init.normal_(model.mask_token, std=0.02, generator=generator)
    return model
