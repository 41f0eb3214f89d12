"""Vector-quantised autoencoders (van den Oord, Vinyals & Kavukcuoglu 2017): an image becomes a map of indices.

Each vector z_e of the encoder's map is replaced by its nearest code e of a codebook (eq. 1, 2), and the decoder's
gradient is copied to z_e (straight-through). Per image, with sg = no gradient (eq. 3),

    loss = -log p(x|e) + commitment * sum ||z_e - sg[e]||^2.

The codebook is not a parameter: each code follows the mean of its vectors (exponential moving averages N of their
number, m of their sum; appendix A.1): N <- decay N + (1 - decay) n, m <- decay m + (1 - decay) sum z_e, e = m / N.

Not in the paper: codes start at vectors of the data; a code with N < 1, i.e. with less than one vector per batch, is
dead and moves to a random vector of the batch (Dhariwal et al. 2020, Jukebox). Bernoulli pixels replace their gaussian
ones. Unlike in `gumbel_vae` codes are not drawn and there is no KL term: with a uniform prior over the codes it is the
constant (vectors per image) * log(codes).

Samples need a prior over whole maps of indices. It is learned afterwards, in a phase of its own, from the maps of the
training images (section 3.2 of the paper, which takes a PixelCNN): here a small causal transformer, row by row,

    -log p(k) = -sum over places t of log p(k_t | k_1 ... k_t-1).

MNIST, 7 x 7 vectors of 128 codes (43 bytes): expect a reconstruction error far below that of `vae`, and most codes in
use (perplexity of 50 or more).
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
    Phase,
    Spec,
    downsample_stack,
    grid_positions,
    initialise,
    require,
    require_widths,
)

SEEDS = 1000  # training images that initialise the codebook

KINDS = ("image",)


@dataclass(frozen=True)
class Config:
    """channels: of each halving of the image, mirrored in the decoder; depth: dimension of a code vector.

    codebook_size: number of code vectors; commitment: beta of the paper; decay: gamma, of the codebook's moving
    averages. prior_dim, prior_depth, prior_heads: width, blocks and attention heads of the transformer over indices.
    """

    channels: tuple[int, ...]
    depth: int = 16
    codebook_size: int = 128
    commitment: float = 0.25
    decay: float = 0.99
    prior_dim: int = 64
    prior_depth: int = 2
    prior_heads: int = 4

    def __post_init__(self) -> None:
        require_widths("channels", self.channels)
        require(self.depth > 0, "depth", self.depth, "1 or more")
        require(self.codebook_size > 1, "codebook_size", self.codebook_size, "2 or more")
        require(self.commitment >= 0, "commitment", self.commitment, "0 or more")
        require(0 <= self.decay < 1, "decay", self.decay, "0 up to, without, 1")
        for key in ("prior_depth", "prior_heads"):
            require(getattr(self, key) > 0, key, getattr(self, key), "1 or more")
        fits = self.prior_dim > 0 and self.prior_dim % 4 == 0 and self.prior_dim % self.prior_heads == 0
        require(fits, "prior_dim", self.prior_dim, f"multiples of 4 and of {self.prior_heads} heads")


class Prior(nn.Module):
    """p(k) of maps of indices, place by place: a causal transformer.

    Its input at a place is the index at the place before (at the first one: a vector of its own) and its position.
    """

    where: Tensor  # positions [T, width]

    def __init__(self, codes: int, rows: int, columns: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.embed = nn.Embedding(codes + 1, width)  # the last one stands before the first place
        self.blocks = nn.Sequential(*(Block(width, heads, causal=True) for _ in range(depth)))
        self.head = nn.Sequential(nn.LayerNorm(width), nn.Linear(width, codes))
        self.register_buffer("where", grid_positions(rows, columns, width), persistent=False)

    def forward(self, before: Tensor) -> Tensor:
        """The first t - 1 indices, int64 [B, t - 1] -> logits of the first t, [B, t, codes]."""
        tokens = F.pad(before, (1, 0), value=self.embed.num_embeddings - 1)
        return self.head(self.blocks(self.embed(tokens) + self.where[: tokens.shape[1]]))

    def nll(self, indices: Tensor) -> Tensor:
        """-log p(k) in nats for each map of indices, int64 [B, T] -> [B]."""
        logits = self(indices[:, :-1])
        return F.cross_entropy(logits.transpose(1, 2), indices, reduction="none").sum(1)

    @torch.no_grad()
    def sample(self, n: int, generator: Generator) -> Tensor:
        """n maps of indices, int64 [n, T], drawn place by place."""
        drawn = torch.zeros(n, 0, dtype=torch.int64, device=generator.device)
        for _ in self.where:
            chances = self(drawn)[:, -1].softmax(1)
            drawn = torch.cat([drawn, torch.multinomial(chances, 1, generator=generator)], 1)
        return drawn


class VQVAE(Autoencoder):
    """The code used downstream is the quantised vectors, flattened [B, depth * h * w]; `indices` returns their
    indices."""

    vmap_unsupported_reason = "the codebook follows counts of its codes, which vmap has no rule for"
    learned_buffers = ("codebook",)  # computed from count and total

    codebook: Tensor  # e [codes, depth]
    count: Tensor  # N [codes]
    total: Tensor  # m [codes, depth]

    def __init__(self, config: Config, spec: Spec) -> None:
        forth, back, (last, height, width) = downsample_stack(spec.shape, config.channels, "relu")
        shape = (config.depth, height, width)
        encoder = nn.Sequential(*forth, nn.Conv2d(last, config.depth, 1))
        decoder = nn.Sequential(nn.Unflatten(1, shape), nn.Conv2d(config.depth, last, 3, padding=1), *back)
        super().__init__(spec, encoder, decoder, Output("sigmoid", "bce", "sum"))
        self.config, self.map = config, shape
        self.register_buffer("codebook", torch.zeros(config.codebook_size, config.depth))
        self.register_buffer("count", torch.ones(config.codebook_size))
        self.register_buffer("total", torch.zeros(config.codebook_size, config.depth))
        self.prior = Prior(
            config.codebook_size, height, width, config.prior_dim, config.prior_depth, config.prior_heads
        )

    def phases(self) -> list[Phase]:
        """The autoencoder, then the prior over the indices of its codes."""
        own = [*self.encoder.parameters(), *self.decoder.parameters()]
        indices = lambda x: self.indices(x).flatten(1).float()  # noqa: E731  (of the inputs of a phase all are float)
        return [
            Phase("autoencoder", own, self.loss),
            Phase("prior", list(self.prior.parameters()), self.prior_loss, inputs=indices),
        ]

    def prior_loss(self, batch: Batch, generator: Generator) -> Losses:
        """-log p of maps of indices, float [B, T], in nats per image."""
        nll = self.prior.nll(batch.clean.long()).mean()
        return Losses(nll, {"nll": nll})

    def start(self, codes: Tensor) -> None:
        """Set the codebook [codes, depth], each code as if it had one vector."""
        self.codebook.copy_(codes)
        self.total.copy_(codes)
        self.count.fill_(1)

    @torch.no_grad()
    def fit_statistics(self, clean: Tensor, label: Tensor) -> None:
        """Initialise the codebook with vectors of up to 1,000 images, spread evenly over images and places."""
        vectors = self.vectors(self.encoder(clean[:: math.ceil(len(clean) / SEEDS)]))
        rows = (
            torch.arange(self.config.codebook_size, device=vectors.device) * len(vectors) // self.config.codebook_size
        )
        self.start(vectors[rows])

    def vectors(self, z_e: Tensor) -> Tensor:
        """Map [B, depth, h, w] -> its vectors [B * h * w, depth], row by row, in the codebook's precision."""
        return z_e.movedim(1, 3).reshape(-1, self.map[0]).to(self.codebook.dtype)

    def nearest(self, vectors: Tensor) -> Tensor:
        """Vectors [n, depth] -> index [n] of the nearest code: argmin of |e|^2 - 2 z_e.e."""
        with torch.no_grad():
            return torch.addmm(self.codebook.square().sum(1), vectors, self.codebook.T, alpha=-2).argmin(1)

    def looked_up(self, indices: Tensor) -> Tensor:
        """Indices [B * h * w] -> maps of their codes [B, depth, h, w]."""
        depth, h, w = self.map
        return self.codebook[indices].view(-1, h, w, depth).movedim(3, 1)

    def indices(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> int64 [B, h, w]: their codes as indices."""
        return self.nearest(self.vectors(self.encoder(x))).view(-1, *self.map[1:])

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.looked_up(self.indices(x).flatten()).flatten(1)

    def code_bits(self, numbers: int) -> float:
        """The bits of one index per place."""
        return math.prod(self.map[1:]) * math.log2(self.config.codebook_size)

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """`perplexity` is logged, not minimised: exp of the entropy of the batch's codes, 1 to `codes`."""
        z_e = self.encoder(batch.noisy)
        vectors = self.vectors(z_e)
        indices = self.nearest(vectors)
        e = self.looked_up(indices)
        reconstruction = self.output.error(self.decoder(straight_through(z_e, e).flatten(1)), batch.clean)
        commitment = self.config.commitment * F.mse_loss(z_e, e, reduction="sum") / len(z_e)
        if self.training and torch.is_grad_enabled():
            self.follow(vectors.detach(), indices, generator)
        terms = {"reconstruction": reconstruction, "commitment": commitment}
        return Losses(
            reconstruction + commitment, terms | {"perplexity": perplexity(indices, self.config.codebook_size)}
        )

    @torch.no_grad()
    def follow(self, vectors: Tensor, indices: Tensor, generator: Generator) -> None:
        """Move the codebook towards the vectors [n, depth] assigned to its codes [n]; dead codes to random ones."""
        step = 1 - self.config.decay
        taken = torch.zeros_like(self.total).index_add_(0, indices, vectors)
        self.count.lerp_(torch.bincount(indices, minlength=self.config.codebook_size).to(self.count), step)
        self.total.lerp_(taken, step)
        dead = self.count < 1
        rows = torch.randint(len(vectors), dead.shape, generator=generator, device=vectors.device)
        self.total.copy_(torch.where(dead[:, None], vectors[rows], self.total))
        self.count.clamp_min_(1)
        self.codebook.copy_(self.total / self.count[:, None])

    def sample(self, n: int, generator: Generator) -> Tensor:
        """Maps of indices drawn from the learned prior, decoded."""
        return self.decode(self.looked_up(self.prior.sample(n, generator).flatten()).flatten(1))


def straight_through(z_e: Tensor, e: Tensor) -> Tensor:
    """e forwards, z_e backwards: its gradient goes to z_e unchanged."""
    return z_e + (e - z_e).detach()


def perplexity(indices: Tensor, codes: int) -> Tensor:
    """exp of the entropy of the codes in indices [n]; a scalar from 1 to `codes`."""
    share = torch.bincount(indices, minlength=codes) / len(indices)
    return torch.special.entr(share).sum().exp()


def build(config: Config, spec: Spec, generator: Generator) -> VQVAE:
    model = VQVAE(config, spec)
    initialise(model, generator)
    nn.init.normal_(model.prior.embed.weight, std=0.5, generator=generator)
    model.start(torch.randn(config.codebook_size, config.depth, generator=generator))
    return model
