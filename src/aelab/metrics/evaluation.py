"""Everything that is measured of one trained model, and the arrays that its pictures are drawn from.

Numbers carry the names of the table, the JSON files and MLflow. A measure that does not apply to a model is absent.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Generator, Tensor, nn

from aelab.data.tensors import Data, Tensors, pixels
from aelab.learning.classifier import Classifier, predictions
from aelab.learning.loop import mapped
from aelab.metrics import cost, reconstruction, representation
from aelab.metrics.settings import Evaluate
from aelab.models.base import Autoencoder, Generative, Likelihood

Draw = Callable[[str], Generator]


def numbers(model: nn.Module, data: Data, settings: Evaluate, draw: Draw) -> dict[str, float]:
    """All measures that apply to `model`, on the test split."""
    found: dict[str, float] = {"parameters": cost.parameters(model)}
    if isinstance(model, Classifier):
        return found | classification(model, data.test)
    assert isinstance(model, Autoencoder)
    splits = data.train, data.validation, data.test
    train, validation, test = ((mapped(model.encode, *split), split.y) for split in splits)
    codes = test[0]
    found |= reconstruction.measure(data.test.x, mapped(model.reconstruct, *data.test), bounded=model.bounded)
    found |= denoising(model, data)
    found |= representation.linear_probe(train, validation, test)
    found |= representation.knn(train, test, settings.neighbours)
    found |= representation.sparsity(codes)
    if isinstance(model, Likelihood):
        found |= likelihood(model, data.test.x, draw("likelihood"))
        found["active_latents"] = representation.active_latents(codes)
    width = codes.shape[1]
    found |= {"code_numbers": width, "code_bytes": cost.code_bytes(width)}
    found["flops"] = cost.flops(model, data.test.x[:1])
    return found


def classification(model: Classifier, test: Tensors) -> dict[str, float]:
    """The share of wrong labels on the test split."""
    return {"test_error": (predictions(model, test.x) != test.y).float().mean().item()}


def denoising(model: Autoencoder, data: Data) -> dict[str, float]:
    """PSNR (dB) and SSIM of the rebuilt noisy test images against the clean ones, per noise."""
    found = {}
    for label, noisy in data.noisy.items():
        rebuilt = mapped(lambda x, y: model.reconstruct(pixels(x), y), noisy, data.test.y)
        found[f"psnr/{label}"] = reconstruction.psnr(data.test.x, rebuilt).mean().item()
        found[f"ssim/{label}"] = reconstruction.ssim(data.test.x, rebuilt).mean().item()
    return found


def likelihood(model: Likelihood, x: Tensor, generator: Generator) -> dict[str, float]:
    """Rate, distortion and their sum, the negative ELBO, in nats per image: one draw of z per image, grey targets."""
    with torch.no_grad():
        pairs = [model.rate_distortion(part, generator) for part in x.split(1000)]
    rate, distortion = (torch.cat(values).double().mean().item() for values in zip(*pairs, strict=True))
    return {"rate": rate, "distortion": distortion, "negative_elbo": rate + distortion}


def arrays(model: nn.Module, data: Data, settings: Evaluate, draw: Draw) -> dict[str, np.ndarray]:
    """What the pictures of `model` are drawn from: images as uint8 [n, H, W], codes and weights as float32."""
    if not isinstance(model, Autoencoder):
        return {}
    rows = spread(data.test.y, settings.digits)
    digits, labels = data.test.x[rows], data.test.y[rows]
    kept = {"reconstructions": images(model, digits, labels)}
    for label, noisy in data.noisy.items():
        kept[f"denoised/{label}"] = images(model, pixels(noisy[rows]), labels)
    codes = mapped(model.encode, *data.test)
    if codes.shape[1] <= 3:
        kept |= {"codes": codes.cpu().numpy(), "labels": data.test.y.cpu().numpy()}
    if model.decodes:
        first, last = codes[rows[0]], codes[rows[1 % len(rows)]]
        steps = torch.linspace(0, 1, settings.steps, device=codes.device)[:, None]
        between = torch.lerp(first, last, steps)
        kept["interpolation"] = shown(mapped(model.decode, between, labels[:1].expand(len(between))))
        fitted = gaussian_codes(codes, settings.samples, draw("random_codes"))
        kept["random_codes"] = shown(mapped(model.decode, fitted, labels.repeat(len(fitted))[: len(fitted)]))
    if isinstance(model, Generative):
        with torch.no_grad():
            kept["samples"] = shown(model.sample(settings.samples, draw("samples")))
    filters = first_layer(model)
    if filters is not None:
        kept["filters"] = filters[: settings.units].reshape(-1, *model.spec.shape[1:]).cpu().numpy()
    return kept


def gaussian_codes(codes: Tensor, n: int, generator: Generator) -> Tensor:
    """n codes [n, K] drawn from a diagonal gaussian with the mean and variance of `codes` [N, K]."""
    noise = torch.randn(n, codes.shape[1], generator=generator, device=codes.device)
    return codes.mean(0) + noise * codes.std(0)


def first_layer(model: Autoencoder) -> Tensor | None:
    """The weights [units, pixels] of the layer that sees the pixels, where that is a dense one."""
    for module in model.encoder.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            return module.weight.detach() if isinstance(module, nn.Linear) else None
    return None


def spread(labels: Tensor, n: int) -> Tensor:
    """Row numbers [n]: the first image of every class, then the second of every class, and so on."""
    by_class = [(labels == label).nonzero()[:, 0] for label in labels.unique()]
    depth = max(map(len, by_class))
    order = [rows[i] for i in range(depth) for rows in by_class if i < len(rows)]
    return torch.stack(order[:n])


def images(model: Autoencoder, x: Tensor, labels: Tensor) -> np.ndarray:
    """Reconstructions of x [n, C, H, W] as pictures, uint8 [n, H, W]."""
    return shown(mapped(model.reconstruct, x, labels))


def shown(x: Tensor) -> np.ndarray:
    """Images [n, C, H, W] in [0, 1] -> uint8 [n, H, W], values outside clipped."""
    return x.clamp(0, 1).mul(255).round().to(torch.uint8)[:, 0].cpu().numpy()
