"""Change values in params.yaml without touching comments and order."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aelab.config import params, roundtrip


def changed(text: str, values: Mapping[str, Any]) -> str:
    """The YAML `text` with dotted names set to `values`; comments, order and all other values stay.

    The last part of a name may be new in its block. Raises ParamsError if the other parts lead to no block.
    """

    def edit(tree: Any) -> None:
        for name, value in values.items():
            *path, last = name.split(".")
            block = tree
            for word in path:
                block = block.get(word) if isinstance(block, Mapping) else None
            if not isinstance(block, Mapping):
                raise params.ParamsError(f"{name}: leads nowhere; allowed: a key of a block that is there")
            block[last] = roundtrip.flow(value) if isinstance(value, (list, tuple)) else value  # type: ignore[index]

    return roundtrip.edited(text, edit)


def check(text: str, values: Mapping[str, Any]) -> None:
    """Raise ParamsError if the sections reject `values`."""
    text, names = changed(text, values), sorted({section(name) for name in values})
    result = params.load("seed", *names, text=text)
    for name, entry in zip(names, result[1:], strict=True) if names else ():
        if learns := params.LEARNS.get(name.partition(".")[0]):
            params.merge(learns, params.load(learns, text=text), entry)


def section(name: str) -> str:
    """The section of a dotted parameter, as in dvc.yaml: models.vae for models.vae.latent_dim, train for train.lr."""
    text = name.split(".")
    return ".".join(text[: 2 if text[0] in params.LISTS else 1])


def apply(values: Mapping[str, Any]) -> None:
    """Set `values` in params.yaml, all of them or none."""
    text = changed(params.FILE.read_text(), values)
    draft = Path(f"{params.FILE}.new")
    draft.write_text(text)
    draft.replace(params.FILE)
