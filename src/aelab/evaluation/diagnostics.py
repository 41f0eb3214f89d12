"""The training doctor: what is wrong with a model, by the names and in the words of a clinic. Numbers in, words out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

COLLAPSED = 0.05  # share of latents, in the mean over seeds: at most so many active ones are next to none. Many idle
# ones are no illness: a VAE prunes what it does not need (of Burda 2015's 50, 19 were active at a good likelihood)
FELL = 0.01  # share of the first epoch's training loss that the best epoch must have taken off
SPARE = 0.1  # share of hidden units that a net may leave idle
SLACK = 1.001  # PCA itself, rounded to float32, is not beaten by PCA

Columns = dict[str, list[float]]  # metric -> a value per replicate
History = Sequence[Sequence[dict[str, Any]]]  # per replicate, a row per epoch (see history.json)


def diagnose(metrics: Columns, history: History, baselines: dict[str, Any]) -> dict[str, str]:
    """What the model of these numbers suffers from: diagnosis -> its words; empty where it is well.

    baselines: baselines.json. Closed-form models (no history) are baselines themselves: nothing is asked of them.
    """
    if not any(history):
        return {}
    found = {name: ask(metrics, history, baselines) for name, ask in DIAGNOSES.items()}
    return {name: words for name, words in found.items() if words}


def refuse(found: dict[str, str], fail_on: Sequence[str]) -> None:
    """Raise ValueError, in one line, where one of `fail_on` is among the diagnoses found."""
    for name in fail_on:
        if name in found:
            raise ValueError(f"{name}: {found[name]} (evaluate.fail_on names it)")


def posterior_collapse(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """Gaussian latents (next to) none of which moves with the image: q(z|x) repeats the prior (Lucas et al. 2019)."""
    active, numbers = metrics.get("active_latents", []), round(metrics.get("latent_dim", [0])[0])
    collapsed = active and math.fsum(active) / len(active) <= COLLAPSED * numbers
    return f"{span(active)} of {numbers} latents active" if collapsed else ""


def dead_units(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """Numbers of the code, or more than a tenth of the hidden units, that say nothing on any test image."""
    words = []
    if max(metrics.get("dead_units", [0])) > 0:
        numbers = round(metrics["latent_dim"][0])
        words.append(f"{span(metrics['dead_units'])} of {numbers} numbers of the code never active")
    units = round(metrics.get("hidden_units", [0])[0])
    if max(metrics.get("dead_hidden", [0])) > SPARE * units:
        words.append(f"{span(metrics['dead_hidden'])} of {units} hidden units never change")
    return ", ".join(words)


def dead_codes(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """Vectors of a codebook that no test image takes."""
    dead = metrics.get("dead_codes", [0])
    return f"{span(dead)} of {round(metrics['codes'][0])} codes never taken" if max(dead) > 0 else ""


def never_fell(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """A phase whose training loss (of its terms, the one that chooses the epoch) ended within 1% of its first epoch's
    in some replicate; one epoch says nothing."""
    stuck = []
    for phase in dict.fromkeys(row["phase"] for rows in history for row in rows):
        for rows in history:
            losses = [row["train"][row["monitored"]] for row in rows if row["phase"] == phase]
            if len(losses) > 1 and losses[0] - min(losses) < FELL * abs(losses[0]):
                stuck.append(f"{phase}: {losses[0]:.4g} at first, {min(losses):.4g} at best")
                break
    return "; ".join(stuck)


def below_baseline(metrics: Columns, history: History, baselines: dict[str, Any]) -> str:
    """A reconstruction worse than that of PCA with as many numbers."""
    if "sse" not in metrics:
        return ""
    numbers, sse = round(metrics["latent_dim"][0]), math.fsum(metrics["sse"]) / len(metrics["sse"])
    pca = baselines["pca_sse"][numbers] if numbers < len(baselines["pca_sse"]) - 1 else math.inf
    return f"sse {sse:.2f}, PCA with {numbers} numbers has {pca:.2f}" if sse > SLACK * pca else ""


DIAGNOSES: dict[str, Callable[[Columns, History, dict[str, Any]], str]] = {
    ask.__name__: ask for ask in (posterior_collapse, dead_units, dead_codes, never_fell, below_baseline)
}


def span(values: Sequence[float]) -> str:
    """Whole numbers of several seeds in words: "3" or "0 to 3"."""
    low, high = min(values), max(values)
    return f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}"
