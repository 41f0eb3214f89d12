"""The sections `data:` and `download:`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from aelab.data.columns import Kind, Scaling
from aelab.sources import images, series, tables
from aelab.sources.published import SOURCES

OPTIONS: dict[str, Any] = {
    "image": images.Options,
    "table": tables.Options,
    "series": series.Options,
}  # by kind: what a user may say


@dataclass(frozen=True)
class Dataset:
    """The section `data:`: a published data set by its name, or files of the user's own with a name for them.

    path: of those files; a relative one is relative to the folder of params.yaml. kind: of what they hold. draw: of a
    published data set that is drawn at random, which of its draws. The other keys are options of the kind (see
    images.Options, tables.Options, series.Options).
    """

    name: str
    path: str | None = None
    kind: Kind = "image"
    size: int | None = None
    channels: int | None = None
    label: str | None = None
    skip_broken: bool = False
    drop: tuple[str, ...] = ()
    group: str | None = None
    time: str | None = None
    scale: Scaling = "rank"
    window: int | None = None
    stride: int | None = None
    draw: int = 0

    def __post_init__(self) -> None:
        if self.path is None and self.name not in SOURCES:
            raise ValueError(f"name: {self.name!r} is unknown; allowed: {', '.join(SOURCES)}")
        if self.draw and not (self.path is None and SOURCES[self.name].drawn and self.draw > 0):
            drawn = ", ".join(name for name, source in SOURCES.items() if source.drawn)
            raise ValueError(f"draw: {self.draw} does not belong here; allowed: 0, and 1 or more of {drawn}")
        defaults = {field.name: field.default for field in fields(self)}
        known = {field.name for field in fields(OPTIONS[self.kind])} if self.path else set()
        for key, value in vars(self).items():
            if value != defaults[key] and key not in {"name", "path", "kind", "draw"} | known:
                allowed = f"{self.kind}s have {', '.join(sorted(known))}" if self.path else "only with path"
                raise ValueError(f"{key}: {value!r} does not belong here; allowed: {allowed}")
        _ = self.options

    @property
    def options(self) -> Any:
        """The options of its kind."""
        kind = OPTIONS[self.kind]
        return kind(**{field.name: getattr(self, field.name) for field in fields(kind)})


@dataclass(frozen=True)
class Download:
    """The section `download:`: mirrors for each data set, tried in order after the folder AELAB_MIRROR."""

    mirrors: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        for name in self.mirrors:
            if name not in SOURCES:
                raise ValueError(f"mirrors: {name!r} is an unknown data set; allowed: {', '.join(SOURCES)}")
