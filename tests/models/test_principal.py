"""Principal components: exact for narrow rows, the first ones for wide rows."""

import pytest
import torch

from aelab.models.common import principal


def test_wide_rows_have_the_same_first_components(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    scale = 2.0 ** -torch.arange(40)
    x = (torch.randn(500, 40, generator=generator) * scale) @ torch.randn(40, 120, generator=generator) + 3
    mean, variances, directions = principal.principal_components(x)
    monkeypatch.setattr(principal, "WIDE", 100)
    monkeypatch.setattr(principal, "MOST", 12)
    again, found, first = principal.principal_components(x)
    assert torch.equal(mean, again)
    assert (found.shape, first.shape) == ((12,), (120, 12))
    assert found.tolist() == pytest.approx(variances[:12].tolist(), rel=1e-3)
    assert (first * directions[:, :12]).sum(0).tolist() == pytest.approx([1.0] * 12, abs=1e-3)
    assert torch.equal(first, principal.principal_components(x)[2]), "the same bits again"


def test_few_wide_rows_have_fewer_components(monkeypatch):
    monkeypatch.setattr(principal, "WIDE", 10)
    _, variances, directions = principal.principal_components(torch.rand(7, 20))
    assert (len(variances), directions.shape) == (6, (20, 6))
