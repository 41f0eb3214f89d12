"""Denoising: every family rebuilds the clean images from the noisy ones, and a layer of a stack its own clean input."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aelab.config import seeding
from aelab.data.tensors import Tensors
from aelab.models import stacked_conv
from aelab.models.common import Batch, Spec, registry
from aelab.training.loop import fit
from aelab.training.settings import Training

SPEC = Spec((1, 12, 12), 3)
N = 6
SETTINGS = Training("adam", 1e-3, "constant", 0.0, 80, 2, None, None, None, 1, ("masking 0.5",), (), ())
CONV = {"encoder": ("conv 4 k3 p1 relu", "maxpool 2"), "decoder": ("up 2", "conv 1 k3 p1")}
SIGMOID = {"widths": (9,), "code_activation": "sigmoid"}


def bce(x_hat, x):
    return F.binary_cross_entropy(x_hat, x, reduction="sum") / len(x)


def mse(x_hat, x):
    return F.mse_loss(x_hat, x)


def squares(x_hat, x):
    return (x_hat - x).square().sum() / len(x)


def with_places(model, x):
    """What a max-pooled layer rebuilds while it learns: from the maxima in their places."""
    (layer,) = model.layers
    return layer.back(stacked_conv.maxima(layer.forth(x))).sigmoid()


def rebuilt(model, x):
    return model.reconstruct(x)


CASES = {
    "dense": ("dense", {"widths": (9, 4)}, bce, rebuilt),
    "dense mse": ("dense", {"widths": (9,), "output": "linear", "loss": "mse", "reduction": "mean"}, mse, rebuilt),
    "dense tied": ("dense", SIGMOID | {"tied": True}, bce, rebuilt),
    "emphasis": ("dense", {"widths": (9,), "emphasis": (1.0, 1.0)}, bce, rebuilt),
    "conv": ("conv", CONV, bce, rebuilt),
    "conv unpool": (
        "conv_unpool",
        {"channels": (4,), "strides": (3,), "output": "linear", "loss": "mse"},
        squares,
        rebuilt,
    ),
    "k_sparse": ("k_sparse", {"widths": (20,), "k": 4, "tied": True}, bce, rebuilt),
    "contractive": ("contractive", SIGMOID | {"tied": True, "weight": 0.1}, bce, rebuilt),
    "sparse": ("sparse", SIGMOID | {"weight": 0.5}, bce, rebuilt),
    "vae": ("vae", {"hidden": (9,), "latent_dim": 3, "beta": 2.0}, bce, rebuilt),
    "conv variational": ("conv_vae", {"channels": (4,), "latent_dim": 3}, bce, rebuilt),
    "vq_vae": ("vq_vae", {"channels": (4,), "depth": 3, "codebook_size": 7}, bce, rebuilt),
    "lstm": ("lstm", {"units": 9}, bce, rebuilt),
    "recurrent composite": ("lstm", {"units": 9, "predict_rows": 5}, bce, rebuilt),
    "rbm": ("rbm", {"units": 9}, bce, rebuilt),
    "stack": ("stacked", {"widths": (9,), "layer": "autoencoder"}, bce, rebuilt),
    "stack contractive": ("stacked", {"widths": (9,), "layer": "contractive", "weight": 0.1}, bce, rebuilt),
    "stack rbm": ("stacked", {"widths": (9,), "layer": "rbm"}, bce, rebuilt),
    "conv_stack average": ("stacked_conv", {"channels": (4,), "pool": "average"}, bce, rebuilt),
    "stacked_conv": ("stacked_conv", {"channels": (4,)}, bce, with_places),
}
NO_PART_OF_THE_LOSS = ("perplexity", "pseudo_likelihood")


def build(family, config):
    """A model that is far enough from its start to tell images apart."""
    model = registry.build(family, config, SPEC, torch.Generator().manual_seed(0))
    with torch.no_grad():
        for i, parameter in enumerate(model.parameters()):
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(i)))
    return model


def certain(model):
    """Make a gaussian posterior so narrow that its draw is its mean."""
    last = [module for module in model.encoder.modules() if isinstance(module, nn.Linear)][-1]
    with torch.no_grad():
        last.weight[model.latent_dim :] = 0
        last.bias[model.latent_dim :] = -60


@pytest.mark.parametrize("case", CASES)
def test_the_loss_is_the_error_against_the_clean_images_of_what_is_reconstructed_from_the_noisy_ones(case):
    family, config, error, rebuild = CASES[case]
    model, generator = build(family, config), torch.Generator().manual_seed(1)
    if hasattr(model, "latent_dim"):
        certain(model)
    clean = torch.rand(N, *SPEC.shape, generator=generator)
    noisy = clean * (torch.rand(clean.shape, generator=generator) < 0.5)
    model.fit_statistics(torch.rand(40, *SPEC.shape, generator=generator), torch.zeros(40, dtype=torch.int64))
    model.eval()
    phase = model.phases()[0]
    losses = phase.loss(Batch(clean, noisy, torch.zeros(N)), generator)
    expected = error(rebuild(model, noisy), clean)
    for other in (error(rebuild(model, noisy), noisy), error(rebuild(model, clean), clean)):
        assert abs(other - expected) > 1e-3 * expected, "the two images are too alike to tell"
    torch.testing.assert_close(losses.terms["reconstruction"] + losses.terms.get("prediction", 0), expected)
    if "contrast" not in losses.terms:  # what an RBM minimises is no error
        weights = {"kl": getattr(model, "beta", 1.0)} | dict.fromkeys(NO_PART_OF_THE_LOSS, 0.0)
        total = sum(weights.get(name, 1.0) * value for name, value in losses.terms.items())
        torch.testing.assert_close(losses.total, total)


STACKS = {
    "stacked": {"widths": (20, 10), "layer": "autoencoder"},
    "stacked_conv": {"channels": (3, 4), "kernel": 3, "pool": "average"},
}


@pytest.mark.parametrize("family", STACKS)
def test_the_second_layer_learns_on_a_corrupted_copy_of_the_codes_of_clean_images(family):
    spec = Spec((1, 14, 14), 3)
    model = registry.build(family, STACKS[family], spec, torch.Generator().manual_seed(0))
    numbers = torch.arange(200)  # in place of labels, so that a batch says which images it holds
    images = Tensors(torch.rand(200, *spec.shape, generator=torch.Generator().manual_seed(1)), numbers)
    seen = {0: [], 1: []}

    def spy(depth, plain, batch, generator):
        inputs = images.x if depth == 0 else model.encoder[:1](images.x)
        seen[depth].append((batch, inputs[batch.label].detach().clone()))
        return plain(batch, generator)

    for depth, layer in enumerate(model.layers):
        layer.loss = partial(spy, depth, layer.loss)
    fit(model, images, images, SETTINGS, partial(seeding.generator, 0), Silent())
    assert [len(batches) for batches in seen.values()] == [8, 8], "two epochs of three batches and a validation"
    for batches in seen.values():
        for batch, inputs in batches:
            torch.testing.assert_close(batch.clean, inputs)
            erased = batch.noisy == 0
            assert torch.equal(batch.noisy[~erased], batch.clean[~erased])
            assert erased.float().mean().item() == pytest.approx(0.5, abs=0.05)
            assert (batch.clean != 0).all(), "an erased number can be told from a clean one"


class Silent:
    def steps(self, phase, total): ...
    def step(self): ...
    def evaluated(self, evaluation, model): ...
