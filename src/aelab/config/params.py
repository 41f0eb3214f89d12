"""params.yaml as typed, frozen, strict objects: the only reader of it.

The schema of a section is a frozen dataclass beside the code that uses it, imported only when asked for. An entry of
`models:`, `stacks:` or `narrow_stacks:` is one flat block: its `family`, the parameters of that family, and any key of
the training section that it overrides; its `on:` block changes any of these for one data set. An entry of `unrolled:`
names one of `narrow_stacks:`; an entry of `sweeps:` is a search over parameters, and no part of the pipeline.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aelab.config.validation import ParamsError, check, check_known, keys, no_such

FILE = Path("params.yaml")

SCHEMAS = {
    "runtime": "aelab.config.runtime:Runtime",
    "data": "aelab.data.sources:Dataset",
    "download": "aelab.data.sources:Download",
    "prepare": "aelab.data.splits:Prepare",
    "corrupt": "aelab.data.noisy:Corrupt",
    "baselines": "aelab.evaluation.settings:Baselines",
    "train": "aelab.training.settings:Training",
    "pretrain": "aelab.training.settings:Training",
    "finetune": "aelab.training.settings:Finetune",
    "unroll": "aelab.training.settings:Training",
    "capacity": "aelab.training.settings:Capacity",
    "noise_transfer": "aelab.training.settings:NoiseTransfer",
    "evaluate": "aelab.evaluation.settings:Evaluate",
    "compare": "aelab.report.settings:Compare",
}
# entries -> the section that they override
LEARNS = {"models": "train", "stacks": "pretrain", "narrow_stacks": "pretrain"}
LISTS = ("models", "stacks", "narrow_stacks", "unrolled", "sweeps")
NAME = re.compile(r"\w[\w.-]{0,99}")  # of an entry: it becomes the name of a folder


@dataclass(frozen=True)
class Entry:
    """One line of `models:`, `stacks:` or `narrow_stacks:`."""

    name: str
    family: str
    config: dict[str, Any]  # the parameters of the family, checked by its Config
    overrides: dict[str, Any]  # overrides of the training section
    special: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)  # data set -> its `config` there

    def on(self, data: str) -> Entry:
        """The entry as it is for one data set."""
        return dataclasses.replace(self, config=self.special.get(data, self.config), special={})


@dataclass(frozen=True)
class Unrolled:
    """One line of `unrolled:`."""

    stack: str  # of `narrow_stacks:`


def load(*sections: str, text: str | None = None) -> Any:
    """The sections, each as a frozen object, in the given order; a single one by itself.

    Names are those of dvc.yaml: "seed", "train", "models.vae" (an Entry), "unrolled.unrolled_rbm" (an Unrolled),
    "sweeps.vae" (a sweeps.settings.Sweep), "models" (the names of all entries). text: the content of another
    params.yaml. Raises ParamsError with one line for a missing, unknown, wrongly typed or out-of-range value.
    """
    tree = _read(FILE if text is None else text)
    _check_outline(tree)
    result = [_section(tree, name) for name in sections]
    return result[0] if len(result) == 1 else tuple(result)


def load_entry(section: str, group: str, name: str, data: str) -> tuple[Entry, Any]:
    """An entry of `group` and its training settings: the block `section` with the entry's overrides, for one data set.

    Raises ParamsError.
    """
    block, entry = load(section, f"{group}.{name}")
    entry = entry.on(data)
    return entry, merge(section, block, entry, data)


def check_all(sweep: str | None = None) -> None:
    """Raise ParamsError for the first mistake in all of params.yaml.

    Checks sections, entries by themselves and merged with the section that they override, the stacks that `unrolled:`
    names, and the names in the sweep that is to run (other sweeps may name models that no longer exist).
    """
    tree = _read(FILE)
    _check_outline(tree)
    _section(tree, "seed")
    blocks = {name: _section(tree, name) for name in SCHEMAS}
    for name in (*LEARNS.values(), "finetune", "unroll"):
        merge(name, blocks[name], Entry("", "", {}, {}), blocks["data"].name)
    for group in [group for group in LISTS if group != "sweeps" or group in tree]:
        for name in _section(tree, group):
            entry = _section(tree, f"{group}.{name}")
            if group in LEARNS:
                merge(LEARNS[group], blocks[LEARNS[group]], entry, blocks["data"].name)
            elif group == "sweeps" and name == sweep:
                _check_sweep(tree, entry, f"sweeps.{name}")


def written(*sections: str) -> dict[str, Any]:
    """The sections by name, as written in params.yaml, for display; `load` gives the values to use.

    Raises ParamsError for a missing section.
    """
    tree = _read(FILE)
    for name in sections:
        if name not in tree:
            raise ParamsError(f"{name}: missing section")
    return {name: tree[name] for name in sections}


def merge(section: str, block: Any, entry: Entry, data: str) -> Any:
    """The training settings of one entry: `block` (the object of the section) with the entry's overrides.

    data: the name of the data set, which selects the factors and the `on:` block that apply. Raises ParamsError, also
    for a wrong value in the `on:` block of another data set.
    """
    where = f"{section} of {entry.name}" if entry.name else section
    values = {f.name: getattr(block, f.name) for f in dataclasses.fields(block)} | entry.overrides
    on = values.pop("on", {})
    merged = check(type(block), values, where)
    _check_names(on, f"{where}.on")
    for key, factor in (("epochs", "epochs_factor"), ("batch_size", "batch_factor"), ("lr", "lr_factor")):
        factors = getattr(merged, factor)
        _check_names(factors, f"{where}.{factor}")
        scaled = getattr(merged, key) * factors.get(data, 1)
        values[key] = scaled if key == "lr" else max(1, round(scaled))
    settings = check(type(block), values, where)
    for name, here in on.items():
        if not isinstance(here, Mapping):
            raise ParamsError(f"{where}.on.{name}: {here!r} is wrong; allowed: a block of keys")
        special = check(type(block), {**values, **here}, f"{where}.on.{name}")
        settings = special if name == data else settings
    return settings


def _read(source: Path | str) -> dict[str, Any]:
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    try:
        text = source if isinstance(source, str) else source.read_text(encoding="utf-8")
        tree = YAML(typ="safe").load(text)
    except FileNotFoundError:
        raise ParamsError(f"not found in {Path.cwd()}; run from the project's root") from None
    except (YAMLError, ValueError) as error:  # ValueError: bytes that are not UTF-8, dates that do not exist
        what = str(error).partition("To suppress this check")[0]  # do not suggest allowing duplicate keys
        raise ParamsError(f"not readable as YAML: {what}") from None
    if not isinstance(tree, dict):
        raise ParamsError(f"holds {type(tree).__name__}; allowed: a mapping of sections")
    return {str(key): value for key, value in tree.items()}


def _check_outline(tree: Mapping[str, Any]) -> None:
    """Raise ParamsError for an unknown section or family.

    This needs no heavy import, so that whichever stage runs first reports it.
    """
    unknown = sorted(set(tree) - set(SCHEMAS) - set(LISTS) - {"seed"})
    if unknown:
        raise no_such(unknown[0], "unknown section", ["seed", *SCHEMAS, *LISTS])
    known = families()
    for group in LEARNS:
        entries = tree.get(group)
        for name, block in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(block, Mapping) and "family" in block and block["family"] not in known:
                raise no_such(f"{group}.{name}.family: {block['family']!r}", "unknown family", known)


def _check_sweep(tree: Mapping[str, Any], sweep: Any, where: str) -> None:
    """Raise ParamsError if a sweep names an entry or a parameter that does not exist.

    The last part of a parameter's name may be new in its block.
    """
    entries = {str(name) for group in LISTS if group != "sweeps" for name in tree.get(group, ())}
    item = sweep.target.partition("@")[2]
    if item and item not in entries:
        raise no_such(f"{where}.target: {item!r}", "unknown entry", sorted(entries))
    for part in ("space", "fixed"):
        for name in getattr(sweep, part):
            block: Any = tree
            for word in name.split(".")[:-1]:
                if word not in block:
                    raise no_such(f"{where}.{part}.{name}: {word!r}", "unknown name", list(map(str, block)))
                block = block[word]
                if not isinstance(block, Mapping):
                    raise ParamsError(f"{where}.{part}.{name}: {word!r} is no block of keys; allowed: a key of one")


def _section(tree: dict[str, Any], name: str) -> Any:
    if name == "seed":
        seed = tree.get("seed")
        if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
            raise ParamsError(f"seed: {seed!r} is wrong; allowed: a whole number, 0 or more")
        if seed.bit_length() > 63:
            raise ParamsError(f"seed: has {seed.bit_length()} bits; allowed: up to 63")
        return seed
    group, _, item = name.partition(".")
    if group not in tree:
        raise ParamsError(f"{group}: missing section")
    if group not in LISTS:
        return check(_import(SCHEMAS[group]), tree[group], group)
    entries = tree[group]
    if not isinstance(entries, dict):
        raise ParamsError(f"{group}: {entries!r} is not a block; allowed: name: {{family: ..., ...}}")
    for name in map(str, entries):
        if not NAME.fullmatch(name):
            raise ParamsError(f"{group}.{name}: no name for an entry; allowed: letters, digits, _ - . within it")
    if not item:
        return [str(key) for key in entries]
    if item not in entries:
        raise no_such(f"{group}.{item}", "unknown entry", list(entries))
    if group == "unrolled":
        result = check(Unrolled, entries[item], f"{group}.{item}")
        stacks = _section(tree, "narrow_stacks")
        if result.stack not in stacks:
            raise no_such(f"{group}.{item}.stack: {result.stack!r}", "unknown stack", stacks)
        return result
    if group == "sweeps":
        return check(_import("aelab.sweeps.settings:Sweep"), entries[item], f"{group}.{item}")
    return _entry(group, item, entries[item])


def _entry(group: str, name: str, values: Any) -> Entry:
    where = f"{group}.{name}"
    if not isinstance(values, dict) or "family" not in values:
        raise ParamsError(f"{where}: needs `family:`; allowed: {', '.join(families())}")
    schema = family_config(values["family"])
    knobs, allowed = keys(schema), [*keys(schema), *keys(_import(SCHEMAS["train"]))]
    own, rest = _divided({key: value for key, value in values.items() if key != "family"}, knobs)
    check_known(own | rest, [*allowed, "on"], where)
    config, special = dataclasses.asdict(check(schema, own, where)), {}
    on = rest.get("on")
    for data, here in on.items() if isinstance(on, Mapping) else ():
        if isinstance(here, Mapping):  # `merge` refuses anything else
            check_known(here, allowed, f"{where}.on.{data}")
            changed, left = _divided(here, knobs)
            special[data] = dataclasses.asdict(check(schema, own | changed, f"{where}.on.{data}"))
            rest["on"] = {**rest["on"], data: left}
    return Entry(name, values["family"], config, rest, special)


def _divided(block: Mapping[str, Any], names: list[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keys of `block` that are in `names`, and the others."""
    own = {key: value for key, value in block.items() if key in names}
    return own, {key: value for key, value in block.items() if key not in own}


def families() -> list[str]:
    """The model families: the files of the folder models/, which is the registry."""
    return sorted(p.stem for p in (Path(__file__).parents[1] / "models").glob("*.py") if p.stem != "__init__")


def family_config(family: str) -> type:
    """The frozen dataclass with the parameters of a family."""
    return _import(f"aelab.models.{family}:Config")


def _check_names(block: Any, where: str) -> None:
    """Raise ParamsError unless `block` is a mapping whose keys are data sets."""
    names = list(_import("aelab.data.sources:SOURCES"))
    if not isinstance(block, Mapping):
        raise ParamsError(f"{where}: {block!r} is wrong; allowed: data set: value, of {', '.join(names)}")
    for name in block:
        if name not in names:
            raise no_such(f"{where}.{name}", "unknown data set", names)


def _import(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
