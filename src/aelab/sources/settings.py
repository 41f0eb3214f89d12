"""The sections `data:` and `download:`."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from aelab.sources.images import Options
from aelab.sources.published import SOURCES


@dataclass(frozen=True)
class Dataset:
    """The section `data:`: a published data set by its name, or files of the user's own with a name for them.

    path: of those files; a relative one is relative to the folder of params.yaml. kind: of what they hold. The other
    keys are options of the kind (see images.Options).
    """

    name: str
    path: str | None = None
    kind: Literal["image"] = "image"
    size: int | None = None
    channels: int | None = None
    label: str | None = None
    skip_broken: bool = False

    def __post_init__(self) -> None:
        if self.path is None and self.name not in SOURCES:
            raise ValueError(f"name: {self.name!r} is unknown; allowed: {', '.join(SOURCES)}")
        given = [key for key in OPTIONS if getattr(self, key)]
        if self.path is None and given:
            raise ValueError(f"{given[0]}: is of own files; allowed: only with path")
        _ = self.options

    @property
    def options(self) -> Options:
        return Options(**{key: getattr(self, key) for key in OPTIONS})


OPTIONS = tuple(field.name for field in fields(Options))


@dataclass(frozen=True)
class Download:
    """The section `download:`: mirrors for each data set, tried in order after the folder AELAB_MIRROR."""

    mirrors: dict[str, tuple[str, ...]]

    def __post_init__(self) -> None:
        for name in self.mirrors:
            if name not in SOURCES:
                raise ValueError(f"mirrors: {name!r} is an unknown data set; allowed: {', '.join(SOURCES)}")
