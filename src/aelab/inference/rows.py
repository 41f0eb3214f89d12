"""Rows of tables, and series, in use: raw values in and out. Another schema is refused by the name of the column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from aelab.data import columns as data
from aelab.data.columns import Column
from aelab.models.common import Spec

OTHER = "\0other"  # stands for categories that training did not see


def inputs(given: Any, spec: Spec, name: str) -> Tensor:
    """Raw values as inputs of the model: float32 [N, D] or [N, T, D].

    given: of a table a pandas frame with its columns (others are ignored) or, if all of them hold numbers, an array [N,
    columns] in their order; of series an array [N, T, features], or [N, T] of one feature. NaN where missing. Raises
    ValueError.
    """
    names = [column.name for column in spec.columns]
    if hasattr(given, "columns"):
        raw = from_frame(given, spec.columns, name)
    else:
        raw = np.asarray(given)
        raw = raw[..., None] if spec.kind == "series" and raw.ndim == 2 and len(names) == 1 else raw
        shape = (*spec.shape[:-1], len(names))
        texts = [column.name for column in spec.columns if column.categories]
        if texts:
            raise ValueError(f"{name}: takes a pandas frame, as column {texts[0]!r} holds words")
        if raw.dtype.kind not in "fiub" or raw.ndim != len(shape) + 1 or raw.shape[1:] != shape or not len(raw):
            allowed = f"numbers [N, {', '.join(map(str, shape))}]"
            raise ValueError(f"{name}: got {raw.dtype} {list(raw.shape)}; takes {allowed}: {', '.join(names)}")
        raw = raw.astype(np.float64)
    for i, column in enumerate(names):
        if np.isinf(raw[..., i]).any():
            raise ValueError(f"{name}: column {column!r} is infinite; allowed: numbers, or nothing")
    known = [(*column.categories, OTHER) if column.categories else () for column in spec.columns]
    return torch.from_numpy(data.encode(spec.columns, raw, known))


def from_frame(frame: Any, columns: Sequence[Column], name: str) -> np.ndarray:
    """The raw values [N, columns] of a frame: a category as its position, one that training did not see after all."""
    names = [column.name for column in columns]
    if not len(frame):
        raise ValueError(f"{name}: no rows")
    if lacking := [column for column in names if column not in frame]:
        raise ValueError(f"{name}: no column {lacking[0]!r}; it takes {', '.join(names)}")
    return np.stack([from_column(frame[column.name], column, name) for column in columns], 1)


def from_column(values: Any, column: Column, name: str) -> np.ndarray:
    """The raw values [N] of one column."""
    missing = values.isna().to_numpy()
    if column.categories:
        places = {word: place for place, word in enumerate(column.categories)}
        words = [f"{value:g}" if isinstance(value, float) else str(value) for value in values]
        found = np.array([places.get(word, len(places)) for word in words], np.float64)
        return np.where(missing, np.nan, found)
    result = np.full(len(values), np.nan)
    for row, value in enumerate(values):
        if not missing[row]:
            try:
                result[row] = float(value)
            except (TypeError, ValueError):
                raise ValueError(f"{name}: column {column.name!r}, row {row + 1}: {value!r} is no number") from None
    return result


def rebuilt(x_hat: Tensor, spec: Spec, given: Any) -> Any:
    """What a model rebuilt, as raw values: like `given` a frame, its other columns as they are, or an array."""
    raw = data.decode(spec.columns, x_hat.numpy())
    if not hasattr(given, "columns"):
        return raw.astype(np.float32)
    result = given.copy()
    for i, column in enumerate(spec.columns):
        result[column.name] = worded(raw[:, i], column)
    return result


def filled(x_hat: Tensor, spec: Spec, given: Any) -> Any:
    """`given` with its missing cells as the model rebuilt them, and all others as they are."""
    made = rebuilt(x_hat, spec, given)
    if not hasattr(given, "columns"):
        given = np.asarray(given, np.float32)
        return np.where(np.isnan(given), made.reshape(given.shape), given)
    result = given.copy()
    for column in spec.columns:
        gone = result[column.name].isna()
        if gone.any():
            result[column.name] = result[column.name].astype(object if column.categories else float)
            result.loc[gone, column.name] = made.loc[gone, column.name]
    return result


def worded(raw: np.ndarray, column: Column) -> Any:
    """Raw values [N] as a column of a frame: numbers, or the names of categories."""
    return [column.categories[int(place)] for place in raw] if column.categories else raw
