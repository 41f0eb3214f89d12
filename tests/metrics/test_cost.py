"""Costs against torch's own counter."""

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aelab.core import params
from aelab.metrics import cost
from aelab.models.base import Spec, registry


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
        ("vector_quantised", {"channels": (2, 2), "depth": 2, "codes": 128}, 7 * 7 * 7),
        ("categorical", {"hidden": (4,), "variables": 3, "categories": 4}, 3 * 2),
        ("conv_unpool", {"channels": (2,), "strides": (1,)}, 2 * 14 * 14 * (32 + 2)),
    ],
)
def test_a_code_takes_as_many_bits_as_it_must(family, knobs, bits):
    model = registry.build(family, knobs, Spec((1, 28, 28), 10), torch.Generator())
    assert model.code_bits(model.encode(torch.rand(1, 1, 28, 28)).shape[1]) == bits


def test_parameters_count_a_shared_weight_once_and_buffers_where_nothing_is_learned():
    tied = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    tied[1].weight = tied[0].weight
    assert cost.parameters(tied) == 9 + 3 + 3
    solved = nn.Module()
    solved.register_buffer("directions", torch.zeros(4, 2))
    assert cost.parameters(solved) == 8
