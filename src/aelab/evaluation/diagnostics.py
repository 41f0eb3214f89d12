"""Diagnostics: typical faults of a trained model, found from its metrics and its training history."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

COLLAPSED = 0.05  # share of active latents, mean over seeds, up to which the posterior has collapsed. Many inactive
# ones are normal: a VAE prunes what it does not need (of Burda 2015's 50, 19 were active at a good likelihood)
FELL = 0.01  # share of the first epoch's training loss that training must remove
FLAT, LAST = 0.01, 0.2  # converged: the validation loss fell by less than FLAT over the LAST share of the steps
SPARE = 0.1  # share of hidden units that may be dead
SLACK = 1.001  # tolerance: PCA itself, rounded to float32, is not below PCA

Columns = dict[str, list[float]]  # metric -> a value per replicate
History = Sequence[Sequence[dict[str, Any]]]  # for each replicate a row per epoch (see history.json)


def diagnose(metrics: Columns, history: History, baselines: dict[str, Any]) -> dict[str, str]:
    """The faults of a model: diagnosis -> explanation; empty if there is none.

    baselines: baselines.json. Closed-form models (no history) are baselines themselves and are not diagnosed.
    """
    if not any(history):
        return {}
    result = {name: ask(metrics, history, baselines) for name, ask in DIAGNOSES.items()}
    return {name: text for name, text in result.items() if text}


def refuse(found: dict[str, str], fail_on: Sequence[str]) -> None:
    """Raise ValueError, in one line, if one of `fail_on` is among the diagnoses."""
    for name in fail_on:
        if name in found:
            raise ValueError(f"{name}: {found[name]} (evaluate.fail_on names it)")


def posterior_collapse(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """(Almost) no Gaussian latent depends on the image: q(z|x) equals the prior (Lucas et al. 2019)."""
    active, numbers = metrics.get("active_latents", []), round(metrics.get("latent_dim", [0])[0])
    collapsed = active and math.fsum(active) / len(active) <= COLLAPSED * numbers
    return f"{span(active)} of {numbers} latents active" if collapsed else ""


def dead_units(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """Code units, or more than a tenth of the hidden units, that are constant over the test images."""
    text = []
    if max(metrics.get("dead_units", [0])) > 0:
        numbers = round(metrics["latent_dim"][0])
        text.append(f"{span(metrics['dead_units'])} of {numbers} code units never active")
    units = round(metrics.get("hidden_units", [0])[0])
    if max(metrics.get("dead_hidden", [0])) > SPARE * units:
        text.append(f"{span(metrics['dead_hidden'])} of {units} hidden units are constant")
    return ", ".join(text)


def dead_codes(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """Codebook vectors that no test image uses."""
    dead = metrics.get("dead_codes", [0])
    return f"{span(dead)} of {round(metrics['codes'][0])} codes never used" if max(dead) > 0 else ""


def never_fell(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """A phase whose training loss ended within 1% of that of its first epoch, in some replicate.

    The loss is the term that selects the best epoch. Phases of one epoch are not diagnosed.
    """
    stuck = []
    for phase in dict.fromkeys(row["phase"] for rows in history for row in rows):
        for rows in history:
            losses = [row["train"][row["monitored"]] for row in rows if row["phase"] == phase]
            if len(losses) > 1 and losses[0] - min(losses) < FELL * abs(losses[0]):
                stuck.append(f"{phase}: {losses[0]:.4g} at first, {min(losses):.4g} at best")
                break
    return "; ".join(stuck)


def not_converged(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """A phase that used its whole budget while the validation loss still fell, in some replicate: the best value of the
    last fifth of the steps is 1% or more below the best one before.

    The loss is the term that selects the best evaluation; of a classifier it is the cross-entropy, because the share of
    wrong labels moves in steps. Phases that early stopping ended have converged; those with one evaluation are not
    diagnosed.
    """

    def loss(row: dict[str, Any]) -> float:
        return row["validation"].get("cross_entropy", row["monitor"])

    result = {}
    for rows in history:
        for phase in dict.fromkeys(row["phase"] for row in rows):
            mine = [row for row in rows if row["phase"] == phase]
            budget = mine[-1]["budget"]
            if len(mine) == 1 or mine[-1]["step"] < budget:
                continue
            before = min([loss(row) for row in mine if row["step"] <= (1 - LAST) * budget] or [loss(mine[0])])
            fall = (before - min(map(loss, mine))) / max(abs(before), 1e-12)
            if fall >= FLAT:
                result[phase] = max(fall, result.get(phase, 0))
    return "; ".join(f"{phase}: {fall:.1%} lower after the last fifth of the steps" for phase, fall in result.items())


def below_baseline(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """A reconstruction error above that of PCA with the same latent dimension."""
    if "sse" not in metrics:
        return ""
    numbers, sse = round(metrics["latent_dim"][0]), math.fsum(metrics["sse"]) / len(metrics["sse"])
    pca = baselines["pca_sse"][numbers] if numbers < len(baselines["pca_sse"]) - 1 else math.inf
    return f"sse {sse:.2f}, PCA of dimension {numbers} has {pca:.2f}" if sse > SLACK * pca else ""


DIAGNOSES: dict[str, Callable[[Columns, History, dict[str, Any]], str]] = {
    ask.__name__: ask for ask in (posterior_collapse, dead_units, dead_codes, never_fell, not_converged, below_baseline)
}


def span(values: Sequence[float]) -> str:
    """The range of whole numbers over seeds: "3" or "0 to 3"."""
    low, high = min(values), max(values)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
