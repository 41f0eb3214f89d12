"""The loops that compete in training.py: ours, the one that people usually write, pythae's trainer, and bare steps."""

# pyright: reportMissingImports=false
from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import tempfile
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from aelab.config import runtime, seeding
from aelab.data import tensors
from aelab.data.tensors import Tensors
from aelab.training.loop import fit
from aelab.training.settings import Training

BATCH, LR = 128, 1e-3
LATENT = 20


class Images(NamedTuple):
    """Images uint8 [N, 1, 28, 28] and labels int64 [N], on the CPU."""

    x: Tensor
    y: Tensor


Runner = Callable[[Any, Images, torch.device, int], Callable[[], None]]  # readies some epochs, which the clock times


def ours(
    model: Any,
    train: Images,
    device: torch.device,
    epochs: int,
    noise: tuple[str, ...] = (),
    precision: runtime.Precision = "float32",
) -> Callable[[], None]:
    """aelab.training.loop.fit on a split that is on the device, as in every stage."""
    settings = Training("adam", LR, "constant", 0.0, BATCH, epochs, None, None, None, 1, noise, (), ())
    split = on(device, train)
    few = Tensors(split.x[:BATCH], split.y[:BATCH])  # to choose the best epoch by: the usual loop has none to choose
    draw = partial(seeding.generator, 0, device=device)
    return flushed(partial(fit, model, split, few, settings, draw, Silent(), precision=precision))


def flushed(run: Callable[[], None]) -> Callable[[], None]:
    """As every stage runs, with subnormal numbers as 0; the loops of others are as they are."""

    def flushing() -> None:
        runtime.flush()
        run()
        torch.set_flush_denormal(False)

    return flushing


class Silent:
    """A Watch that tells nobody."""

    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...


def example_loss(model: Any, x: Tensor) -> Tensor:
    """As in PyTorch's VAE example, but a mean over images: sigmoid, then cross-entropy, and the KL term."""
    mu, logvar = model.posterior(x)
    std = torch.exp(0.5 * logvar)
    recon = model.decode(mu + torch.randn_like(std) * std)
    kld = -0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
    return (F.binary_cross_entropy(recon, x, reduction="sum") + kld) / len(x)


def usual(
    model: Any,
    train: Images,
    device: torch.device,
    epochs: int,
    loss: Callable[[Any, Tensor], Tensor] = example_loss,
    workers: int = 0,
) -> Callable[[], None]:
    """With torchvision's MNIST and ToTensor, a DataLoader and torch.optim.Adam, as examples write it."""
    from torch.utils.data import DataLoader
    from torchvision.datasets import MNIST
    from torchvision.transforms import ToTensor

    digits = MNIST.__new__(MNIST)  # without reading its files: the images are here
    digits.data, digits.targets = train.x[:, 0], train.y
    digits.transform, digits.target_transform = ToTensor(), None
    loader = DataLoader(digits, batch_size=BATCH, shuffle=True, num_workers=workers)
    optimizer = torch.optim.Adam(model.parameters(), lr=LR)

    def run() -> None:
        model.train()
        for _ in range(epochs):
            running = 0.0
            for x, _ in loader:
                x = x.to(device)
                optimizer.zero_grad()
                value = loss(model, x)
                value.backward()
                running += value.item()
                optimizer.step()

    return run


def pythae(model: Any, train: Images, device: torch.device, epochs: int) -> Callable[[], None]:
    """pythae's own trainer, around our encoder and decoder and its own VAE and loss."""
    from pythae import models
    from pythae.data.datasets import BaseDataset
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder
    from pythae.trainers import BaseTrainer, BaseTrainerConfig

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = model.encoder

        def forward(self, x: Tensor) -> Any:
            mu, logvar = self.net(x).chunk(2, dim=1)
            return ModelOutput(embedding=mu, log_covariance=logvar)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = model.decoder

        def forward(self, z: Tensor) -> Any:
            return ModelOutput(reconstruction=self.net(z).sigmoid())

    logging.disable(logging.INFO)
    folder = tempfile.TemporaryDirectory()
    settings = BaseTrainerConfig(
        output_dir=folder.name,
        num_epochs=epochs,
        per_device_train_batch_size=BATCH,
        learning_rate=LR,
        optimizer_cls="Adam",
        no_cuda=device.type == "cpu",
    )
    known = models.VAEConfig(input_dim=(1, 28, 28), latent_dim=LATENT, reconstruction_loss="bce")
    split = on(torch.device("cpu"), train)
    trainer = BaseTrainer(models.VAE(known, Encoder(), Decoder()), BaseDataset(*split), training_config=settings)
    trainer.prepare_training()

    def run() -> None:
        with folder, contextlib.redirect_stderr(io.StringIO()):  # its bar
            for epoch in range(epochs):
                trainer.train_step(epoch + 1)

    return run


def by_hand(model: Any, train: Images, device: torch.device, epochs: int) -> Callable[[], None]:
    """Ours with its gradients written out: no modules, no autograd, and no loss that anybody could see."""
    x, draw = on(device, train).x.flatten(1), torch.Generator(device).manual_seed(0)
    linear = [layer for layer in model.modules() if isinstance(layer, torch.nn.Linear)]
    weights, biases = [layer.weight.data for layer in linear], [layer.bias.data for layer in linear]
    adam = torch.optim.Adam([*weights, *biases], LR, fused=True)
    (w1, w2, w3, w4), (b1, b2, b3, b4) = weights, biases

    def step(x: Tensor) -> None:
        h = torch.addmm(b1, x, w1.t()).clamp_min_(0)
        mu, logvar = torch.addmm(b2, h, w2.t()).chunk(2, 1)
        deviation = (0.5 * logvar).exp() * torch.randn(mu.shape, generator=draw, device=device)  # sigma * eps
        z = mu + deviation
        k = torch.addmm(b3, z, w3.t()).clamp_min_(0)
        d4 = (torch.addmm(b4, k, w4.t()).sigmoid_() - x).div_(len(x))  # of the loss, by each layer's raw outputs
        d3 = (d4 @ w4).mul_(k > 0)
        dz = d3 @ w3
        d2 = torch.cat([dz + mu / len(x), 0.5 * (dz * deviation + (logvar.exp() - 1) / len(x))], 1)
        d1 = (d2 @ w2).mul_(h > 0)
        for (w, b), d, seen in zip(zip(weights, biases, strict=True), (d1, d2, d3, d4), (x, h, z, k), strict=True):
            w.grad, b.grad = d.t() @ seen, d.sum(0)
        adam.step()

    def run() -> None:
        for _ in range(epochs):
            for rows in torch.randperm(len(x)).to(device).split(BATCH):
                step(x.index_select(0, rows))

    return flushed(run)


LOOPS: dict[str, Runner] = {
    "ours": ours,
    "usual": usual,
    "usual, 2 workers": partial(usual, workers=2),
}
if importlib.util.find_spec("pythae"):
    LOOPS["pythae"] = pythae
LOOPS["by hand"] = by_hand


def on(device: torch.device, images: Images) -> Tensors:
    return Tensors(tensors.pixels(images.x.to(device)), images.y.to(device))
