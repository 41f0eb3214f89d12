"""The entries of params.yaml that tests go through."""

from __future__ import annotations

from aelab.config import params

Entry = tuple[str, str, str]  # section of params.yaml, its block of training settings, name

ENTRIES: list[Entry] = [("models", "train", name) for name in params.load("models")]
ENTRIES += [(group, "pretrain", name) for group in ("stacks", "narrow_stacks") for name in params.load(group)]


def family(entry: Entry) -> tuple[str, str | None]:
    """The family of an entry, and the kind of layers that a stack has."""
    item = params.load(f"{entry[0]}.{entry[2]}")
    return item.family, item.config.get("layer")


def name_of(entry: Entry) -> str:
    return entry[2]


# the first of each family, for tests that take seconds per entry
FAMILIES = list({family(entry): entry for entry in reversed(ENTRIES)}.values())


# `baselines` for a hundred images
FEW_IMAGES = {"classifier_steps": 20, "steps": 5, "max_train_codes": 100, "max_ood_images": 50, "num_samples": 100}
FEW_IMAGES |= {"label_budgets": [20]}


def in_epochs(n: int) -> dict[str, int | None]:
    """The training settings of a budget of n epochs, evaluated after each, in place of the block's steps."""
    return {"max_epochs": n, "max_steps": None, "eval_every": None, "early_stopping_patience": None}
