"""Options: settings whose default leaves everything as it was before they existed.

Records of settings (model.json, parameters in MLflow) are results, and results are compared bit by bit. An option that
is not used is therefore not recorded, so that a new one changes no result that it does not concern.
"""

from __future__ import annotations

import dataclasses
from typing import Any

OPTION = {"option": True}  # the metadata of an option, a dataclasses.field


class Options:
    """The base of frozen dataclasses that have options."""

    def recorded(self) -> dict[str, Any]:
        """The settings by name, without options that have their default."""
        settings: Any = self
        options = [field for field in dataclasses.fields(settings) if field.metadata == OPTION]
        unused = [field.name for field in options if getattr(self, field.name) == field.default]
        return {name: value for name, value in dataclasses.asdict(settings).items() if name not in unused}


def recorded(settings: Any) -> dict[str, Any]:
    """The settings of a dataclass by name, without options that have their default."""
    return settings.recorded() if isinstance(settings, Options) else dataclasses.asdict(settings)
