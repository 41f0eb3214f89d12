"""The classifier of fine-tuning: softmax on a pretrained encoder. All weights are trained, best epoch by validation
error."""

from __future__ import annotations

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from aelab.models.common import DROPOUT, Autoencoder, Batch, Losses, Phase, Spec


class Classifier(nn.Module):
    """Softmax regression on the codes of an autoencoder's encoder; `labels` names the label budget.

    During training each encoder block has dropout with rate `pretrained.tuned_dropout`.
    """

    def __init__(self, pretrained: Autoencoder, spec: Spec, labels: str = "all") -> None:
        super().__init__()
        self.spec = spec
        self.labels, self.dropout = labels, pretrained.tuned_dropout
        self.vmap_unsupported_reason = DROPOUT if self.dropout else ""  # see Autoencoder.vmap_unsupported_reason
        self.encoder, self.scale = pretrained.encoder, pretrained.output.scale
        device = next(pretrained.parameters()).device
        width = pretrained.encode(torch.zeros(1, *spec.shape, device=device)).shape[1]
        self.top = nn.Linear(width, spec.classes)
        # the loss is convex in the top layer: zero is a fair start and needs no random draw
        nn.init.zeros_(self.top.weight)
        nn.init.zeros_(self.top.bias)

    def encode(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Images [B, C, H, W] -> the last hidden layer [B, K], below the softmax."""
        h = self.scale(x)
        for block in self.encoder:
            h = F.dropout(block(h), self.dropout, self.training)
        return h.flatten(1)

    def forward(self, x: Tensor) -> Tensor:
        """Images [B, C, H, W] -> logits [B, classes]."""
        return self.top(self.encode(x))

    def fit_statistics(self, clean: Tensor, label: Tensor) -> None:
        """Does nothing: a classifier needs no statistics of the data."""

    def loss(self, batch: Batch, generator: Generator) -> Losses:
        """Cross-entropy in nats per image; the term `error` is the share of wrong labels."""
        logits = self(batch.noisy)
        wrong = (logits.argmax(1) != batch.label).float().mean()
        entropy = F.cross_entropy(logits, batch.label)
        return Losses(entropy, {"cross_entropy": entropy, "error": wrong})

    def phases(self) -> list[Phase]:
        return [Phase(f"{self.labels} labels", list(self.parameters()), self.loss, "error")]


def predictions(model: Classifier, x: Tensor) -> Tensor:
    """The most likely class of each image: [N, C, H, W] -> int64 [N]."""
    with torch.no_grad():
        return torch.cat([model(part).argmax(1) for part in x.split(1000)])
