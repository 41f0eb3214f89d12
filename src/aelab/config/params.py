"""params.yaml as typed, frozen, strict objects: the only reader of it.

The schema of a section is a frozen dataclass beside the code that uses it, imported only when asked for. An entry of
`models:`, `stacks:` or `narrow_stacks:` is one flat block: its `family`, the parameters of that family, and any key of
the training section that it overrides. An entry of `unrolled:` names one of `narrow_stacks:`; an entry of `sweeps:` is
a search over parameters, and no part of the pipeline. `resources:` is read by runner/cluster.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aelab.config.options import recorded
from aelab.config.validation import ParamsError, check, check_known, keys, no_such

FILE = Path("params.yaml")

SCHEMAS = {
    "runtime": "aelab.config.runtime:Runtime",
    "data": "aelab.sources.settings:Dataset",
    "download": "aelab.sources.settings:Download",
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
ELSEWHERE = ("resources",)  # sections that are read and checked elsewhere
BUDGETS = ("max_steps", "max_epochs")
NAME = re.compile(r"\w[\w.-]{0,99}")  # of an entry: it becomes the name of a folder


@dataclass(frozen=True)
class Entry:
    """One line of `models:`, `stacks:` or `narrow_stacks:`."""

    name: str
    family: str
    config: dict[str, Any]  # the parameters of the family, checked by its Config
    overrides: dict[str, Any]  # overrides of the training section


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


def load_entry(section: str, group: str, name: str) -> tuple[Entry, Any]:
    """An entry of `group` and its training settings: the block `section` with the entry's overrides.

    Raises ParamsError.
    """
    block, entry = load(section, f"{group}.{name}")
    return entry, merge(section, block, entry)


def check_all(sweep: str | None = None) -> None:
    """Raise ParamsError for the first mistake in all of params.yaml.

    Checks sections, entries by themselves and merged with the section that they override, the stacks that `unrolled:`
    names, and the names in the sweep that is to run (other sweeps may name models that no longer exist).
    """
    tree = _read(FILE)
    _check_outline(tree)
    _section(tree, "seed")
    blocks = {name: _section(tree, name) for name in SCHEMAS}
    for group in [group for group in LISTS if group != "sweeps" or group in tree]:
        for name in _section(tree, group):
            entry = _section(tree, f"{group}.{name}")
            if group in LEARNS:
                merge(LEARNS[group], blocks[LEARNS[group]], entry)
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


def merge(section: str, block: Any, entry: Entry) -> Any:
    """The training settings of one entry: `block` (the object of the section) with the entry's overrides.

    A budget of the entry, in steps or in epochs, stands instead of the block's. Raises ParamsError.
    """
    values = {f.name: getattr(block, f.name) for f in dataclasses.fields(block)}
    if any(entry.overrides.get(key) is not None for key in BUDGETS):
        values |= dict.fromkeys(BUDGETS)
    values |= entry.overrides
    return check(type(block), values, f"{section} of {entry.name}")


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
    known = ["seed", *SCHEMAS, *LISTS, *ELSEWHERE]
    unknown = sorted(set(tree) - set(known))
    if unknown:
        raise no_such(unknown[0], "unknown section", known)
    models = families()
    for group in LEARNS:
        entries = tree.get(group)
        for name, block in entries.items() if isinstance(entries, Mapping) else ():
            if isinstance(block, Mapping) and "family" in block and block["family"] not in models:
                raise no_such(f"{group}.{name}.family: {block['family']!r}", "unknown family", models)


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
    names, own = keys(schema), {key: value for key, value in values.items() if key != "family"}
    check_known(own, [*names, *keys(_import(SCHEMAS["train"]))], where)
    overrides = {key: own.pop(key) for key in list(own) if key not in names}
    return Entry(name, values["family"], recorded(check(schema, own, where)), overrides)


def families() -> list[str]:
    """The model families: the files of the folder models/, which is the registry."""
    return sorted(p.stem for p in (Path(__file__).parents[1] / "models").glob("*.py") if p.stem != "__init__")


def family_config(family: str) -> type:
    """The frozen dataclass with the parameters of a family."""
    return _import(f"aelab.models.{family}:Config")


def _import(path: str) -> Any:
    module, _, name = path.partition(":")
    return getattr(importlib.import_module(module), name)
