"""Costs against torch's own counter."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aelab.config import params
from aelab.evaluation import cost
from aelab.models.common import Spec, registry


@pytest.mark.parametrize("name", params.load("models"))
def test_flops_are_those_that_torch_counts(name):
    item = params.load(f"models.{name}")
    model = registry.build(item.family, item.config, Spec((1, 28, 28), 10), torch.Generator().manual_seed(0)).eval()
    x, y = torch.rand(1, 1, 28, 28), torch.tensor([3])
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.reconstruct(x, y)
    assert cost.flops(model, x, y) == counter.get_total_flops() > 0


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


CONVOLUTIONS = (9 * 2 + 2) + (9 * 4 + 2) + (4 + 2) + (9 * 4 + 2) + (16 * 4 + 2) + (16 * 2 + 1)


@pytest.mark.parametrize(
    ("family", "knobs", "learned"),
    [
        ("closed_form", {"components": 3}, 784 + 784 * 3 + 3),
        ("closed_form", {"components": 3, "directions": "lda"}, 784 + 784 * 3 + 3 + 3 * 784),
        ("vq_vae", {"channels": (2, 2), "depth": 2, "codebook_size": 5}, CONVOLUTIONS + 5 * 2),  # no running sums
        ("rbm", {"units": 4, "persistent": True}, 784 * 4 + 4 + 784),  # no chains
        ("gumbel_vae", {"hidden": (4,)}, 784 * 4 + 4 + 4 * 10 + 10 + 10 * 4 + 4 + 4 * 784 + 784),  # no count of steps
    ],
)
def test_parameters_count_buffers_that_hold_learned_numbers_and_no_others(family, knobs, learned):
    model = registry.build(family, knobs, Spec((1, 28, 28), 10), torch.Generator())
    assert cost.parameters(model) == learned
