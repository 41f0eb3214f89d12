"""What every model is: the protocol, and the parts that families share.

Axes: B images of a batch, C channels, H rows, W columns, K numbers of a code. Images are float32 in [0, 1].
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

Activation = Literal["linear", "relu", "sigmoid", "tanh", "silu"]
OutputActivation = Literal["linear", "relu", "sigmoid", "tanh"]
ReconstructionLoss = Literal["bce", "mse"]
Reduction = Literal["sum", "mean"]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
}


@dataclass(frozen=True)
class Spec:
    """What a model must know of its data: the image's shape (C, H, W) and the number of classes."""

    shape: tuple[int, int, int]
    classes: int

    @property
    def pixels(self) -> int:
        return math.prod(self.shape)


class Batch(NamedTuple):
    """What a loss is given: clean images [B, ...], what the model sees of them (noisy, same shape), labels [B]."""

    clean: Tensor
    noisy: Tensor
    label: Tensor


class Losses(NamedTuple):
    """A batch's loss (scalar) and its named parts (scalars, detached by the loop), means over the batch's images."""

    total: Tensor
    terms: dict[str, Tensor]


@dataclass(frozen=True)
class Phase:
    """One optimisation: which parameters, which loss, and which of its terms early stopping and best epoch watch.

    `inputs` maps images to what this phase learns on (frozen layers below); the loop applies it once, before noise.
    """

    name: str
    parameters: Sequence[nn.Parameter]
    loss: Callable[[Batch, Generator], Losses]
    monitor: str = "total"
    inputs: Callable[[Tensor], Tensor] | None = None


@runtime_checkable
class Generative(Protocol):
    """A model that can make new images."""

    def sample(self, n: int, generator: Generator) -> Tensor:
        """n images [n, C, H, W] from the model's prior."""
        ...


@runtime_checkable
class Likelihood(Protocol):
    """A model with an evidence lower bound on log p(x)."""

    def rate_distortion(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        """Per image [B], in nats: the rate KL(q(z|x) || p(z)) and the distortion -log p(x|z) at one draw of z."""
        ...


class Output(nn.Module):
    """The last step of a decoder: how raw outputs become data units, and the reconstruction loss that fits them.

    sigmoid, tanh: bounded to [0, 1] (tanh works on data scaled to [-1, 1] and is mapped back); linear, relu: free,
    never clamped. bce is computed from logits (sigmoid only), mse in the scale the network works in. `sum` adds over
    pixels, `mean` averages over them; both average over images.
    """

    def __init__(self, activation: OutputActivation, loss: ReconstructionLoss, reduction: Reduction) -> None:
        super().__init__()
        require(
            loss != "bce" or activation == "sigmoid",
            "loss",
            f"bce with output {activation}",
            "bce with sigmoid, mse",
        )
        self.activation, self.loss, self.reduction = activation, loss, reduction
        self.bounded = activation in ("sigmoid", "tanh")

    def scale(self, x: Tensor) -> Tensor:
        """Data units -> what the network works in: [-1, 1] for tanh, else unchanged."""
        return 2 * x - 1 if self.activation == "tanh" else x

    def forward(self, raw: Tensor) -> Tensor:
        """Raw outputs -> data units."""
        if self.activation == "tanh":
            return (torch.tanh(raw) + 1) / 2
        return ACTIVATIONS[self.activation]()(raw)

    def error(self, raw: Tensor, clean: Tensor, weight: Tensor | None = None) -> Tensor:
        """The reconstruction loss (scalar) of raw outputs against clean images, each pixel times `weight`; [B, ...]."""
        if self.loss == "bce" and weight is None:
            total = cross_entropy(raw, clean)
        elif self.loss == "bce":
            total = F.binary_cross_entropy_with_logits(raw, clean, weight, reduction="sum")
        else:
            out = torch.tanh(raw) if self.activation == "tanh" else self(raw)
            squares = (out - self.scale(clean)).square()
            total = (squares if weight is None else weight * squares).sum()
        return total / (len(clean) if self.reduction == "sum" else clean.numel())


def cross_entropy(raw: Tensor, target: Tensor) -> Tensor:
    """-sum of t ln s + (1 - t) ln(1 - s), s = sigmoid(raw), over everything (scalar, nats); no gradient for the target.

    As F.binary_cross_entropy_with_logits with reduction="sum", in less than half its time.
    """
    return _CrossEntropy.apply(raw, target)  # type: ignore[return-value]


class _CrossEntropy(torch.autograd.Function):
    """ln(1 + e^raw) - t raw, with ln(1 + e^raw) = max(raw, 0) - ln max(s, 1 - s).

    max(s, 1 - s) lies in [1/2, 1], so up to eight of them are multiplied before one logarithm is taken.
    """

    @staticmethod
    def forward(ctx, raw: Tensor, target: Tensor) -> Tensor:  # type: ignore[override]
        s = torch.sigmoid(raw)
        ctx.save_for_backward(s, target)
        products = torch.maximum(s, 1 - s).flatten()
        for _ in range(3):
            if products.numel() % 2 == 0:
                products = torch.mul(*products.view(2, -1))
        return raw.clamp_min(0).sum() - products.log().sum() - torch.dot(raw.flatten(), target.flatten())

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:  # type: ignore[override]
        s, target = ctx.saved_tensors
        return (s - target).mul_(gradient), None


class Autoencoder(nn.Module):
    """The base of all families: an encoder in blocks, a decoder to raw outputs, one reconstruction loss.

    A variant overrides one method, usually `penalty` (as in Locatello et al.'s disentanglement_lib).
    """

    saw_labels = False  # whether learning or encoding uses labels; the table says so
    decodes = True  # whether any code decodes to an image by itself
    tuned_dropout = 0.0  # share of each encoder block's units silenced while a classifier on top of it learns

    def __init__(self, spec: Spec, encoder: nn.Sequential, decoder: nn.Module, output: Output) -> None:
        super().__init__()
        self.spec, self.encoder, self.decoder, self.output = spec, encoder, decoder, output

    @property
    def bounded(self) -> bool:
        """Whether reconstructions lie in [0, 1]."""
        return self.output.bounded

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images [B, C, H, W] -> codes [B, K] as used downstream; `condition` is for models that are told the label."""
        return self.encoder(self.output.scale(x)).flatten(1)

    def decode(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Codes [B, K] -> images [B, C, H, W] in data units."""
        return self.output(self.decoder(z))

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
        """What every encoder block puts out for images [B, C, H, W]; the last one is the code."""
        hidden = [self.output.scale(x)]
        for block in self.encoder:
            hidden.append(block(hidden[-1]))
        return hidden[1:]

    def phases(self) -> list[Phase]:
        """What to optimise, in order. Default: one phase, all parameters."""
        return [Phase("all", list(self.parameters()), self.loss)]

    def observe(self, clean: Tensor, label: Tensor) -> None:
        """See the training set [N, C, H, W], [N] once before learning; closed-form models solve here."""


class GreedyLayer(Protocol):
    """One layer of a stack while it learns."""

    def parameters(self) -> list[nn.Parameter]: ...

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """The loss on what the layers below put out; its term `reconstruction` is the error on its own input."""
        ...


class GreedyStack(Autoencoder):
    """Learns its `layers` one by one, the lowest first, each on the codes of the layers below it, which stay fixed.

    There is one layer for each of the encoder's blocks, or none at all: a stack that stays random.
    """

    layers: Sequence[GreedyLayer] = ()

    def phases(self) -> list[Phase]:
        return [
            Phase(
                f"layer{depth}",
                layer.parameters(),
                layer.loss,
                "reconstruction",
                partial(self.below, depth) if depth else None,
            )
            for depth, layer in enumerate(self.layers)
        ]

    def below(self, depth: int, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> what layer `depth` learns on: the codes of the layers under it."""
        return self.encoder[:depth](x)


class GaussianAutoencoder(Autoencoder):
    """The encoder puts out mu and log sigma^2 of q(z|x) = N(mu, diag(sigma^2)); p(z) = N(0, I); pixels are Bernoulli.

    loss = E_q(z|x)[-log p(x|z)] + beta * KL(q(z|x) || p(z)), one draw of z per image (Kingma & Welling 2013, eq. 10).
    The code used downstream is mu.
    """

    def __init__(self, spec: Spec, encoder: nn.Sequential, decoder: nn.Module, latent: int, beta: float = 1.0) -> None:
        super().__init__(spec, encoder, decoder, Output("sigmoid", "bce", "sum"))
        self.latent, self.beta = latent, beta

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Images [B, C, H, W] -> mu [B, K], log sigma^2 [B, K] of q(z|x)."""
        mu, logvar = self.encoder(x).chunk(2, dim=1)
        return mu, logvar

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.posterior(x)[0]

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        mu, logvar = self.posterior(batch.noisy)
        distortion = self.output.error(self.decoder(gaussian_draw(mu, logvar, generator)), batch.clean)
        rate = gaussian_kl(mu, logvar).mean()
        return Losses(distortion + self.beta * rate, {"reconstruction": distortion, "kl": rate})

    def rate_distortion(self, x: Tensor, generator: Generator) -> tuple[Tensor, Tensor]:
        mu, logvar = self.posterior(x)
        return gaussian_kl(mu, logvar), -log_bernoulli(x, self.decoder(gaussian_draw(mu, logvar, generator)))

    def log_weights(self, x: Tensor, k: int, generator: Generator) -> Tensor:
        """log p(x|z) p(z) / q(z|x), [k, B] in nats, at k draws of z per image; log p(x) is about their log-mean-exp."""
        likelihood, ratio = self.log_parts(x, x, k, generator)
        return likelihood + ratio

    def log_parts(self, seen: Tensor, target: Tensor, k: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """log p(target|z) and log p(z) - log q(z|seen), both [k, B], for k draws of z per image."""
        mu, logvar = self.posterior(seen)
        eps = torch.randn(k, *mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
        z = mu + (0.5 * logvar).exp() * eps  # [k, B, K]
        raw = self.decoder(z.flatten(0, 1)).view(k, *target.shape)
        return log_bernoulli(target, raw), 0.5 * (eps.square() - z.square() + logvar).sum(-1)

    def sample(self, n: int, generator: Generator) -> Tensor:
        return self.decode(torch.randn(n, self.latent, generator=generator, device=generator.device))


def gaussian_draw(mu: Tensor, logvar: Tensor, generator: Generator) -> Tensor:
    """z = mu + sigma * eps, eps ~ N(0, I) (Kingma & Welling 2013, eq. 10)."""
    eps = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
    return mu + (0.5 * logvar).exp() * eps


def gaussian_kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(mu, sigma^2) || N(0, I)) per image [B], in nats (Kingma & Welling 2013, appendix B)."""
    return 0.5 * (mu.square() + logvar.exp() - 1 - logvar).sum(1)


def log_bernoulli(x: Tensor, raw: Tensor) -> Tensor:
    """log p(x) = sum over pixels of x raw - log(1 + e^raw), for logits raw [..., C, H, W]: [...], in nats."""
    return -F.binary_cross_entropy_with_logits(raw, x.expand_as(raw), reduction="none").flatten(-3).sum(-1)


def require(condition: bool, key: str, value: object, allowed: str) -> None:
    """Raise ValueError "key: value is wrong; allowed: ..." unless `condition` holds (see params.check)."""
    if not condition:
        raise ValueError(f"{key}: {value} is wrong; allowed: {allowed}")


def require_widths(key: str, widths: Sequence[int]) -> None:
    """Raise ValueError unless there are widths, all positive."""
    require(len(widths) > 0 and min(widths) > 0, key, list(widths), "one or more positive numbers")


def dense(inputs: int, outputs: int, activation: Activation, bias: bool = True) -> nn.Sequential:
    """One dense layer and its activation: [B, inputs] -> [B, outputs]."""
    return nn.Sequential(nn.Linear(inputs, outputs, bias=bias), ACTIVATIONS[activation]())


def mlp(sizes: Sequence[int], activation: Activation) -> list[nn.Module]:
    """Dense layers of these widths, the first being the input's, with `activation` between them; the last is linear."""
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(sizes):
        layers += [nn.Linear(a, b), ACTIVATIONS[activation]()]
    return layers[:-1]


class Transposed(nn.Module):
    """A dense layer whose weight is another's transpose, with a bias of its own: [B, out] -> [B, in]."""

    def __init__(self, source: nn.Linear) -> None:
        super().__init__()
        self._source = (source,)  # in a tuple, so that the weight is registered, saved and updated once
        self.bias = nn.Parameter(torch.zeros(source.in_features))

    def forward(self, z: Tensor) -> Tensor:
        return F.linear(z, self._source[0].weight.t(), self.bias)


class Boltzmann:
    """The restricted Boltzmann machine of a dense layer (weights W, bias c) and its transpose (bias b): p(v, h) ~ e^-E,

        E(v, h) = -b'v - c'h - h'Wv,    p(h = 1|v) = sigmoid(c + Wv),    p(v = 1|h) = sigmoid(b + W'h),

    for binary v [B, V] and h [B, H] (Hinton 2002). `gaussian` hidden units of variance 1 have h'h / 2 in place of the
    squash: E = -b'v - c'h - h'Wv + h'h / 2 and p(h|v) = N(c + Wv, 1) (Hinton & Salakhutdinov 2006). Grey v in [0, 1]
    are taken as chances.
    """

    def __init__(self, forth: nn.Linear, back: Transposed, gaussian: bool = False) -> None:
        self.forth, self.back, self.gaussian = forth, back, gaussian

    def parameters(self) -> list[nn.Parameter]:
        return [*self.forth.parameters(), *self.back.parameters()]

    def free_energy(self, v: Tensor) -> Tensor:
        """F(v) = -ln of the sum over all h of e^-E(v, h), for v [B, V]: [B], in nats, with s = c + Wv

        -b'v - sum of ln(1 + e^s);   gaussian: -b'v - s's / 2 - H ln(2 pi) / 2.
        """
        s = self.forth(v)
        if self.gaussian:
            hidden = (0.5 * s.square()).sum(1) + 0.5 * s.shape[1] * math.log(2 * math.pi)
        else:
            hidden = F.softplus(s).sum(1)
        return -v @ self.back.bias - hidden

    def hidden(self, v: Tensor) -> Tensor:
        """The mean of h given v: [B, V] -> [B, H]."""
        s = self.forth(v)
        return s if self.gaussian else torch.sigmoid(s)

    def chances(self, v: Tensor, generator: Generator) -> Tensor:
        """p(v' = 1|h) [B, V] at one draw of h given v [B, V]."""
        h = self.hidden(v)
        if self.gaussian:
            h = h + torch.randn(h.shape, generator=generator, device=h.device, dtype=h.dtype)
        else:
            h = bernoulli(h, generator)
        return torch.sigmoid(self.back(h))

    def gibbs(self, v: Tensor, steps: int, generator: Generator) -> Tensor:
        """v after `steps` draws of h given v and v given h, [B, V] -> [B, V], without gradients."""
        with torch.no_grad():
            for _ in range(steps):
                v = bernoulli(self.chances(v, generator), generator)
        return v

    def contrast(self, v: Tensor, sample: Tensor, clean: Tensor) -> Losses:
        """Mean F(v) - mean F(sample), whose gradient is that of -ln p(v) where `sample` comes from the model.

        It is no objective (it falls where samples get worse), so the cross-entropy of v -> E[h|v] -> p(v|h) against
        `clean`, in nats per image, stands beside it as the term `reconstruction`.
        """
        data, own = self.free_energy(torch.cat([v, sample])).split([len(v), len(sample)])
        contrast = data.mean() - own.mean()
        with torch.no_grad():
            error = cross_entropy(self.back(self.hidden(v)), clean) / len(v)
        return Losses(contrast, {"contrast": contrast, "reconstruction": error})


def bernoulli(chances: Tensor, generator: Generator) -> Tensor:
    """Zeros and ones, each 1 with its chance."""
    draws = torch.rand(chances.shape, generator=generator, device=chances.device, dtype=chances.dtype)
    return (draws < chances).to(chances.dtype)


def initialise(model: nn.Module, generator: Generator) -> None:
    """Glorot uniform weights, zero biases (Glorot & Bengio 2010): with torch's default, narrow ReLU codes often die."""
    for module in model.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d, nn.ConvTranspose2d)):
            nn.init.xavier_uniform_(module.weight, generator=generator)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def widen(encoder: nn.Sequential) -> None:
    """Make the weights of an encoder's sigmoid blocks four times as large (as deeplearning.net's SdA and DBN).

    A sigmoid's slope is at most 1/4, so that deep stacks which start smaller take long to learn anything at all.
    """
    with torch.no_grad():
        for block in encoder:
            if any(isinstance(module, nn.Sigmoid) for module in block.modules()):
                for module in block.modules():
                    if isinstance(module, (nn.Linear, nn.Conv2d)):
                        module.weight.mul_(4)


def start_at_mean(decoder: nn.Module, clean: Tensor) -> None:
    """Set the last dense layer's bias to the logit of the mean of images [N, C, H, W], kept within 0.001 and 0.999."""
    last = [layer for layer in decoder.modules() if isinstance(layer, nn.Linear)][-1]
    with torch.no_grad():
        last.bias.copy_(clean.flatten(1).mean(0).clamp(1e-3, 1 - 1e-3).logit())


@dataclass(frozen=True)
class DenseConfig:
    """The knobs of every dense autoencoder."""

    widths: tuple[int, ...]  # of the encoder's layers; the last is the code
    activation: Activation = "relu"  # of hidden layers
    code: Activation = "linear"  # of the code layer
    output: OutputActivation = "sigmoid"
    loss: ReconstructionLoss = "bce"
    reduction: Reduction = "sum"
    decoder: tuple[int, ...] = field(default=())  # widths of the decoder's hidden layers; empty: the encoder's mirror
    tied: bool = False  # decoder weights are the encoder's transposes
    dropout: float = 0.0  # share of the hidden layers' units silenced at every step of learning

    def __post_init__(self) -> None:
        require_widths("widths", self.widths)
        require(not (self.tied and self.decoder), "decoder", list(self.decoder), "none where tied")
        require(0 <= self.dropout < 1, "dropout", self.dropout, "0 up to, without, 1")


def dense_parts(config: DenseConfig, spec: Spec) -> tuple[nn.Sequential, nn.Sequential, Output]:
    """Encoder blocks [B, C, H, W] -> [B, K], decoder [B, K] -> raw [B, C, H, W], output; weights not yet drawn."""
    sizes = [spec.pixels, *config.widths]
    acts: list[Activation] = [config.activation for _ in config.widths[:-1]]
    acts.append(config.code)
    blocks = [dense(a, b, act) for (a, b), act in zip(itertools.pairwise(sizes), acts, strict=True)]
    if config.tied:
        layers: list[nn.Module] = [Transposed(block[0]) for block in reversed(blocks)]  # type: ignore[arg-type]
    else:
        back = [sizes[-1], *(config.decoder or sizes[-2:0:-1]), spec.pixels]
        layers = [nn.Linear(a, b) for a, b in itertools.pairwise(back)]
    decoder: list[nn.Module] = []
    for layer in layers[:-1]:
        decoder += [layer, ACTIVATIONS[config.activation]()]
    if config.dropout:
        for block in blocks[: max(1, len(blocks) - 1)]:  # hidden layers; the only layer is one too
            block.append(nn.Dropout(config.dropout))
    decoder += [layers[-1], nn.Unflatten(1, spec.shape)]
    blocks[0].insert(0, nn.Flatten())
    return (
        nn.Sequential(*blocks),
        nn.Sequential(*decoder),
        Output(config.output, config.loss, config.reduction),
    )
