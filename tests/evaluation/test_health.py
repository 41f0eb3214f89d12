"""Units and codes that take no part."""

import pytest
import torch
from torch import nn

from aelab.evaluation import health


def test_a_unit_that_never_changes_is_dead():
    net = nn.Sequential(nn.Linear(2, 4), nn.ReLU(), nn.Linear(4, 2), nn.Sigmoid())
    with torch.no_grad():
        net[0].weight.fill_(1.0)
        net[0].bias.copy_(torch.tensor([0.0, 0.0, 0.0, -100.0]))  # the last ReLU never opens
        net[2].weight.copy_(torch.tensor([[1.0, 0, 0, 0], [0.0, 0, 0, 0]]))  # the second sigmoid sees nothing
    x = torch.rand(50, 2, generator=torch.Generator().manual_seed(0))
    assert health.hidden(net, lambda: [net(part) for part in x.split(20)]) == {"hidden_units": 6, "dead_hidden": 2}
    assert not net[1]._forward_hooks


def test_a_channel_counts_once_and_is_alive_where_any_place_is():
    net = nn.Sequential(nn.Conv2d(1, 3, 3, padding=1), nn.ReLU())
    with torch.no_grad():
        net[0].weight.zero_()
        net[0].bias.zero_()
        net[0].weight[0, 0, 1, 1] = 1.0
        net[0].bias[1] = 5.0  # on, and the same everywhere
    x = torch.zeros(4, 1, 8, 8)
    x[2, 0, 3, 3] = 1.0
    assert health.hidden(net, lambda: net(x)) == {"hidden_units": 3, "dead_hidden": 2}


def test_a_net_without_activation_layers_has_no_such_number():
    net = nn.Linear(2, 2)
    assert health.hidden(net, lambda: net(torch.zeros(1, 2))) == {}


class Book:
    codebook = torch.zeros(4, 2)

    def indices(self, x):
        return x.flatten(1).long()


@pytest.mark.parametrize(
    ("taken", "perplexity", "dead"), [([0, 1, 2, 3], 4, 0), ([2, 2, 2, 2], 1, 3), ([0, 0, 1, 1], 2, 2)]
)
def test_perplexity_by_hand(taken, perplexity, dead):
    assert isinstance(Book(), health.Codebook)
    found = health.codebook(Book(), torch.tensor(taken, dtype=torch.float32)[:, None, None, None])
    assert found == {"codes": 4, "perplexity": pytest.approx(perplexity), "dead_codes": dead}
