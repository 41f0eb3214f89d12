"""Costs against numbers worked out by hand."""

import pytest
import torch
from torch import nn

from aelab.evaluation import cost
from aelab.models.common import Spec, registry


class Whole(nn.Module):
    """A layer as a model whose reconstruction is its output."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def reconstruct(self, x, condition):
        return self.layer(x)


T, D = 28, 64  # steps of a sequence and numbers in each
ATTENTION = 4 * 2 * T * D * D + 2 * 2 * T * T * D  # three inputs and the output; scores and weighted sums


@pytest.mark.parametrize(
    ("layer", "shape", "operations"),
    [
        (nn.Linear(784, 32), (1, 784), 2 * 784 * 32),
        (nn.Conv2d(3, 8, 5, stride=2), (1, 3, 28, 28), 2 * (8 * 12 * 12) * (3 * 5 * 5)),
        (nn.ConvTranspose2d(3, 8, 5, stride=2), (1, 3, 7, 7), 2 * (3 * 7 * 7) * (8 * 5 * 5)),
        (nn.LSTM(D, 32, batch_first=True), (1, T, D), T * 2 * 4 * 32 * (D + 32)),
        (nn.TransformerEncoderLayer(D, 4, 128, batch_first=True), (1, T, D), ATTENTION + 2 * 2 * T * D * 128),
    ],
)
def test_flops_by_hand(layer, shape, operations):
    assert cost.flops(Whole(layer).eval(), torch.rand(shape)) == operations


@pytest.mark.parametrize(
    ("family", "knobs", "bits"),
    [
        ("dense", {"widths": (32,)}, 32 * 32),
        ("vq_vae", {"channels": (2, 2), "depth": 2, "codebook_size": 128}, 7 * 7 * 7),
        ("gumbel_vae", {"hidden": (4,), "num_latents": 3, "categories": 4}, 3 * 2),
        ("conv_unpool", {"channels": (2,), "strides": (1,)}, 2 * 14 * 14 * (32 + 2)),
    ],
)
def test_a_code_takes_as_many_bits_as_it_must(family, knobs, bits):
    model = registry.build(family, knobs, Spec((1, 28, 28), 10), torch.Generator())
    assert model.code_bits(model.encode(torch.rand(1, 1, 28, 28)).shape[1]) == bits


def test_parameters_count_a_shared_weight_once():
    tied = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    tied[1].weight = tied[0].weight
    assert cost.parameters(tied) == 9 + 3 + 3


TRANSFORMER = (
    6 * 4 + (2 * 4) + (4 * 12 + 12) + (4 * 4 + 4) + (2 * 4) + (4 * 16 + 16) + (16 * 4 + 4) + (2 * 4) + (4 * 5 + 5)
)
VQ_VAE = {"channels": (2, 2), "depth": 2, "codebook_size": 5, "prior_dim": 4, "prior_depth": 1, "prior_heads": 1}
CONVOLUTIONS = (9 * 2 + 2) + (9 * 4 + 2) + (4 + 2) + (9 * 4 + 2) + (16 * 4 + 2) + (16 * 2 + 1)


@pytest.mark.parametrize(
    ("family", "knobs", "learned"),
    [
        ("closed_form", {"components": 3}, 784 + 784 * 3 + 3),
        ("closed_form", {"components": 3, "directions": "lda"}, 784 + 784 * 3 + 3 + 3 * 784),
        ("vq_vae", VQ_VAE, CONVOLUTIONS + 5 * 2 + TRANSFORMER),  # no running sums
        ("rbm", {"units": 4, "persistent": True}, 784 * 4 + 4 + 784),  # no chains
        ("gumbel_vae", {"hidden": (4,)}, 784 * 4 + 4 + 4 * 10 + 10 + 10 * 4 + 4 + 4 * 784 + 784),  # no count of steps
    ],
)
def test_parameters_count_buffers_that_hold_learned_numbers_and_no_others(family, knobs, learned):
    model = registry.build(family, knobs, Spec((1, 28, 28), 10), torch.Generator())
    assert cost.parameters(model) == learned
