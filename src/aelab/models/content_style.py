"""Two-part codes: the content holds the class, the style is trained not to.

Two encoders see the image; one decoder reconstructs it from both codes. A linear head classifies the content; an
adversary tries to classify the style through a gradient reversal layer (Ganin & Lempitsky 2015), which is the identity
forwards and multiplies the gradient by -1 backwards:

    L = BCE(x, g(z_c, z_s)) + class_weight * CE(y, head(z_c)) + adversarial_weight * CE(y, adversary(reverse(z_s)))

so that the adversary descends and the style encoder ascends the last term. An adversary always lags behind: a fresh
probe may find what it no longer finds (on 3,500 digits a linear one still read 77% of the classes). So the style is
standardised over the batch, and the share of its variance between the class means, which a linear probe depends on, is
added in closed form, times `variance_weight`; the adversary handles what is not linear.

Compared with `ae`, reconstruction gets worse, but the content of one image and the style of another can be decoded
together (`swap`). Training needs labels; encoding does not. Expect: a probe of the content near a supervised net, a
linear probe of the style near chance (0.1 for 10 classes; 0.25 on 3,500 digits).
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.common import (
    Activation,
    Autoencoder,
    Batch,
    Losses,
    OutputActivation,
    Phase,
    ReconstructionLoss,
    Reduction,
    Spec,
    dense,
    initialise,
    require,
    require_widths,
)


@dataclass(frozen=True)
class Config:
    """hidden: widths of each encoder's hidden layers, mirrored in the decoder; content, style: dimensions of each code.

    class_weight, adversarial_weight: the factors of the cross-entropies of content and style; variance_weight: that of
    the variance between classes in the style; adversary: its hidden units.
    """

    hidden: tuple[int, ...]
    content: int
    style: int
    class_weight: float
    adversarial_weight: float
    variance_weight: float
    adversary: int
    activation: Activation = "relu"
    output: OutputActivation = "sigmoid"
    loss: ReconstructionLoss = "bce"
    reduction: Reduction = "sum"

    def __post_init__(self) -> None:
        require_widths("hidden", self.hidden)
        for key in ("content", "style", "adversary"):
            require(getattr(self, key) > 0, key, getattr(self, key), "1 or more")
        for key in ("class_weight", "adversarial_weight", "variance_weight"):
            require(getattr(self, key) >= 0, key, getattr(self, key), "0 or more")


class _Reverse(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(z: Tensor) -> Tensor:  # type: ignore[override]
        return z.view_as(z)

    @staticmethod
    def setup_context(ctx, inputs: tuple[Tensor], output: Tensor) -> None:  # type: ignore[override]
        """Nothing to save for backward."""

    @staticmethod
    def backward(ctx, gradient: Tensor) -> Tensor:  # type: ignore[override]
        return -gradient


def reverse(z: Tensor) -> Tensor:
    """z itself; gradients change sign (Ganin & Lempitsky 2015, eq. 14-15)."""
    return _Reverse.apply(z)  # type: ignore[return-value]


class Beside(nn.Module):
    """Two encoders of the same images, their codes concatenated: [B, C, H, W] -> [B, content + style]."""

    def __init__(self, content: nn.Sequential, style: nn.Sequential) -> None:
        super().__init__()
        self.content, self.style = content, style

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.content(x), self.style(x)], 1)


class Standardise(nn.BatchNorm1d):
    """Values [B, K] with mean 0 and variance 1 over the batch; a single image is treated as in evaluation."""

    def __init__(self, numbers: int) -> None:
        super().__init__(numbers, affine=False)

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or len(input) > 1:
            return super().forward(input)
        return F.batch_norm(input, self.running_mean, self.running_var, eps=self.eps)


class ContentStyleAutoencoder(Autoencoder):
    """encode() gives content and style in one vector, content first; content() and style() give each."""

    uses_labels = True

    def __init__(self, config: Config, spec: Spec) -> None:
        sizes = [spec.pixels, *config.hidden]

        def encoder(numbers: int) -> nn.Sequential:
            layers = [dense(a, b, config.activation) for a, b in itertools.pairwise(sizes)]
            return nn.Sequential(nn.Flatten(), *layers, nn.Linear(sizes[-1], numbers))

        back = [config.content + config.style, *sizes[:0:-1]]
        layers = [dense(a, b, config.activation) for a, b in itertools.pairwise(back)]
        decoder = nn.Sequential(*layers, nn.Linear(back[-1], spec.pixels), nn.Unflatten(1, spec.shape))
        style = encoder(config.style).append(Standardise(config.style))
        both = nn.Sequential(Beside(encoder(config.content), style))
        super().__init__(spec, both, decoder, spec.output(config.output, config.loss, config.reduction))
        self.config = config
        self.head = nn.Linear(config.content, spec.classes)
        hidden = dense(config.style, config.adversary, "relu")
        self.adversary = nn.Sequential(hidden, nn.Linear(config.adversary, spec.classes))

    def parts(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Codes [B, content + style] -> content [B, content], style [B, style]."""
        content, style = z.split([self.config.content, self.config.style], 1)
        return content, style

    def content(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> content codes [B, content]."""
        return self.parts(self.encode(x))[0]

    def style(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> style codes [B, style]."""
        return self.parts(self.encode(x))[1]

    def swap(self, x_content: Tensor, x_style: Tensor) -> Tensor:
        """The content of one image with the style of another, both [B, C, H, W], decoded: [B, C, H, W]."""
        return self.decode(torch.cat([self.content(x_content), self.style(x_style)], 1))

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """L as above; `content`, `adversary`: cross-entropies in nats per image; `between`: see between_classes().

        `criterion` selects the best epoch: L with the adversary's term with the opposite sign, namely the nats of the
        class that the adversary finds in the style, max(0, ln(classes) - CE).
        """
        z = self.encode(batch.noisy)
        content, style = self.parts(z)
        rebuilt = self.output.error(self.decoder(z), batch.clean)
        held = F.cross_entropy(self.head(content), batch.label)
        result = F.cross_entropy(self.adversary(reverse(style)), batch.label)
        between = between_classes(style, batch.label, self.spec.classes)
        leak = (math.log(self.spec.classes) - result).clamp_min(0)
        wanted = rebuilt + self.config.class_weight * held + self.config.variance_weight * between
        terms = {"reconstruction": rebuilt, "content": held, "adversary": result, "between": between}
        terms["criterion"] = wanted + self.config.adversarial_weight * leak
        return Losses(wanted + self.config.adversarial_weight * result, terms)

    def phases(self) -> list[Phase]:
        return [Phase("all", list(self.parameters()), self.loss, "criterion")]


def between_classes(z: Tensor, label: Tensor, classes: int) -> Tensor:
    """The share of each dimension's variance between the class means, summed over the dimensions of z [B, K].

    Corrected for chance, which gives (classes in the batch - 1) / B of the variance (as omega squared, Hays 1963), and
    never below 0.
    """
    member = F.one_hot(label, classes).to(z.dtype)  # [B, classes]
    count = member.sum(0)
    means = member.T @ z / count.clamp_min(1)[:, None]
    variance = z.var(0, unbiased=False) + 1e-3  # a constant dimension has no share
    between = (count[:, None] * (means - z.mean(0)).square()).sum(0) / len(z)
    by_chance = (count.count_nonzero() - 1) / len(z) * variance
    return ((between - by_chance).clamp_min(0) / variance).sum()


def build(config: Config, spec: Spec, generator: Generator) -> ContentStyleAutoencoder:
    model = ContentStyleAutoencoder(config, spec)
    initialise(model, generator)
    return model
