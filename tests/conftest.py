"""Tests run on the same pinned libraries as stages: this import comes before torch's."""

import os

os.environ.setdefault("AELAB_TRACKING", "off")

from pathlib import Path

import pytest

from aelab import runtime

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True, scope="session")
def _pinned() -> None:
    runtime.pin("cpu", 1)


@pytest.fixture(scope="session")
def digits():
    """5,000 real digits, shuffled: images float32 [5000, 1, 28, 28] in [0, 1], labels int64 [5000]."""
    import torch

    from aelab.data import sources

    images, labels = sources.fetch("mnist5k", ())["train"]
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    return torch.from_numpy(images).float().div_(255)[:, None][order], torch.from_numpy(labels)[order]
