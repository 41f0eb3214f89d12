"""Edit YAML without touching its comments and order."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any


def edited(text: str, edit: Callable[[Any], None]) -> str:
    """The YAML `text` after `edit` has changed its tree of mappings and lists; lines stay as long as they are."""
    from ruamel.yaml import YAML

    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 10**6  # type: ignore[assignment]
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.representer.add_representer(
        type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    tree = yaml.load(text)
    edit(tree)
    out = io.StringIO()
    yaml.dump(tree, out)
    return out.getvalue()


def parsed(text: str) -> Any:
    """A part of YAML as a tree, to put into another."""
    from ruamel.yaml import YAML

    return YAML().load(text)


def flow(values: Any) -> Any:
    """A list or an empty mapping that is written on one line."""
    from ruamel.yaml.comments import CommentedMap, CommentedSeq

    result = CommentedSeq(values) if isinstance(values, (list, tuple)) else CommentedMap(values)
    result.fa.set_flow_style()
    return result
