"""Blocks of params.yaml as frozen dataclasses: every value must have exactly the type of its field."""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Mapping
from typing import Any

LONGEST = 4000  # characters of an error message


class ParamsError(ValueError):
    """A wrong parameter: one line with file, key, value and what is allowed. text: the line without the file."""

    def __init__(self, text: str) -> None:
        line = " ".join(("params.yaml:", *text.split()))  # keys and entries may hold line breaks
        super().__init__(line if len(line) <= LONGEST else f"{line[: LONGEST // 2]} ... {line[-LONGEST // 4 :]}")


def check(schema: type, values: Any, where: str) -> Any:
    """`values` (a mapping) as the frozen dataclass `schema`; raises ParamsError with one line."""
    from pydantic import ConfigDict, TypeAdapter, ValidationError

    if not isinstance(values, Mapping):
        raise ParamsError(f"{where}: {values!r} is not a block of keys; allowed: {', '.join(keys(schema))}")
    check_known(values, keys(schema), where)
    hints, checked = typing.get_type_hints(schema), {}
    for field in dataclasses.fields(schema):
        inner = _block(hints[field.name])
        if inner and field.name in values and not (values[field.name] is None and inner is not hints[field.name]):
            checked[field.name] = check(inner, values[field.name], f"{where}.{field.name}")
        elif field.name in values:
            adapter = TypeAdapter(hints[field.name], config=ConfigDict(strict=True, allow_inf_nan=False))
            try:
                checked[field.name] = adapter.validate_python(_plain(values[field.name]))
            except ValidationError as error:
                first = error.errors()[0]
                key = ".".join(map(str, (where, field.name, *first["loc"])))
                allowed = first["msg"].removeprefix("Input should be ").replace("tuple", "list")
                raise ParamsError(f"{key}: {first['input']!r} is wrong; allowed: {allowed}") from None
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ParamsError(f"{where}.{field.name}: missing; allowed: {_words(hints[field.name])}")
    try:
        return schema(**checked)
    except ValueError as error:  # raised by the schema, beginning with the key
        raise ParamsError(f"{where}.{error}") from None


def check_known(block: Mapping[str, Any], allowed: list[str], where: str) -> None:
    """Raise ParamsError for a key of `block` that is not allowed."""
    unknown = sorted(set(map(str, block)) - set(allowed))
    if unknown:
        raise no_such(f"{where}.{unknown[0]}", "unknown key", allowed)


def keys(schema: type) -> list[str]:
    """The names of the fields of a dataclass."""
    return [field.name for field in dataclasses.fields(schema)]


def _block(hint: Any) -> type | None:
    """The dataclass of a field that holds a block of keys, or a block or null."""
    kinds = [kind for kind in (hint, *typing.get_args(hint)) if isinstance(kind, type)]
    return next((kind for kind in kinds if dataclasses.is_dataclass(kind)), None)


def _plain(value: Any) -> Any:
    """Lists as tuples, so that frozen objects hold immutable values."""
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    return {key: _plain(item) for key, item in value.items()} if isinstance(value, Mapping) else value


def _words(hint: Any) -> str:
    text = hint.__name__ if isinstance(hint, type) else str(hint).replace("typing.", "")
    return text.replace("tuple", "list")


def no_such(where: str, what: str, allowed: list[str]) -> ParamsError:
    """The error for an unknown name (the last one of `where`), with the closest allowed name."""
    import difflib

    word = where.split(":")[-1].strip(" '") if ":" in where else where.split(".")[-1]
    near = difflib.get_close_matches(word[:100], allowed, 1)
    hint = f" (did you mean {near[0]}?)" if near else ""
    return ParamsError(f"{where}: {what}{hint}; allowed: {', '.join(allowed)}")
