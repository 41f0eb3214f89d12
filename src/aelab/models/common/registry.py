"""A model by its family's name: the folder models/ is the registry.

`registry.build("vae", config, spec, generator)` imports models/vae.py and calls its `build`. A family file holds a head
docstring (paper, equation, score to expect), a frozen dataclass `Config`, its modules, `build(config, spec,
generator) -> Autoencoder`, and, if it does not take all kinds of data, `KINDS` that it takes.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import torch

from aelab.models.common.layers import require

if TYPE_CHECKING:
    from torch import Generator

    from aelab.models.common import Autoencoder, Spec


def build(family: str, config: dict[str, Any], spec: Spec, generator: Generator) -> Autoencoder:
    """An untrained model of `family` for data like `spec`, its weights drawn from `generator` (a CPU generator).

    Weights of convolutions lie in memory with the channels last, and so do the maps that they make: on a CPU they learn
    up to 1.8 times as fast (benchmarks/memory_format.py).

    Raises ModuleNotFoundError for an unknown family, TypeError for an unknown parameter, ValueError for a bad value.
    """
    module = importlib.import_module(f"aelab.models.{family}")
    kinds = getattr(module, "KINDS", (spec.kind,))
    require(spec.kind in kinds, "family", f"{family} for a {spec.kind}", f"{family} for {' or '.join(kinds)} data")
    return module.build(module.Config(**config), spec, generator).to(memory_format=torch.channels_last)
