"""Options of settings: recorded only where they are used, so that a new one changes no earlier result."""

from dataclasses import dataclass, field

from aelab.config import params
from aelab.config.options import OPTION, Options, recorded


@dataclass(frozen=True)
class Plain:
    width: int


@dataclass(frozen=True)
class WithOption(Options):
    width: int = 3
    extra: str = field(default="none", kw_only=True, metadata=OPTION)


@dataclass(frozen=True)
class Derived(WithOption):
    depth: int = 1


def test_an_option_is_recorded_where_it_is_used():
    assert recorded(Plain(2)) == {"width": 2}
    assert recorded(WithOption()) == {"width": 3}
    assert recorded(WithOption(extra="some")) == {"width": 3, "extra": "some"}
    assert recorded(Derived(depth=2)) == {"width": 3, "depth": 2}


def test_entries_record_the_options_that_they_set():
    text = params.FILE.read_text().replace("  ae: {family: dense,", "  ae: {family: dense, init: torch,", 1)
    assert "init" not in params.load("models.linear_ae", text=text).config
    entry = params.load("models.ae", text=text)
    assert entry.config["init"] == "torch"
    assert "batch_norm" not in entry.config
    assert params.family_config("dense")(**entry.config).batch_norm is False
