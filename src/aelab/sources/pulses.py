"""A drawn recording of pulses with planted anomalies of named kinds, cut into windows: no download, no licence."""

from __future__ import annotations

import numpy as np

KINDS = ("normal", "spike", "level shift", "missing beat", "frequency change", "flat line")
STEPS = 128  # of a window
BEAT = 32  # steps between two beats, about
SHARE = 0.1  # of the windows with an anomaly


def draw(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """n windows float64 [n, STEPS, 2] of two channels, and the anomaly in each, int64 [n]: a row of KINDS.

    A beat is a sharp wave and a slow one after it; the second channel is the first one, later, smoother and smaller.
    Beats vary in time and height, a slow drift and noise are added. An anomaly is in both channels.
    """
    rng = np.random.default_rng(seed)
    kinds = np.where(rng.random(n) < SHARE, rng.integers(1, len(KINDS), n), 0)
    return np.stack([_window(KINDS[kind], rng) for kind in kinds]), kinds.astype(np.int64)


def _window(kind: str, rng: np.random.Generator) -> np.ndarray:
    """One window [STEPS, 2]."""
    step = np.arange(STEPS)
    pace = BEAT * (0.6 if kind == "frequency change" else 1.0)
    beats = np.arange(-1, STEPS / pace + 1) * pace + rng.uniform(0, pace)
    beats += rng.normal(size=len(beats))
    heights = 1 + 0.1 * rng.normal(size=len(beats))
    if kind == "missing beat":
        inside = np.flatnonzero((beats > 8) & (beats < STEPS - 24))
        heights[rng.choice(inside)] = 0
    x = _beats(step, beats, heights, 1.0), _beats(step - 4, beats, 0.6 * heights, 1.6)
    drift = 0.2 * np.sin(2 * np.pi * (step / STEPS * rng.uniform(0.3, 1) + rng.random()))
    window = np.stack(x, 1) + drift[:, None] + 0.05 * rng.normal(size=(STEPS, 2))
    start = int(rng.integers(8, STEPS - 40))
    if kind == "spike":
        window[start] += rng.choice([-1, 1]) * rng.uniform(1.5, 3)
    if kind == "level shift":
        window[start:] += rng.choice([-1, 1]) * rng.uniform(0.8, 1.5)
    if kind == "flat line":
        window[start : start + int(rng.integers(20, 40))] = window[start]
    return window


def _beats(step: np.ndarray, beats: np.ndarray, heights: np.ndarray, width: float) -> np.ndarray:
    """Beats at these times [K], of these heights [K]: [STEPS]."""
    away = step[:, None] - beats
    sharp = np.exp(-0.5 * (away / (1.5 * width)) ** 2) - 0.3 * np.exp(-0.5 * ((away - 4) / (2 * width)) ** 2)
    slow = 0.35 * np.exp(-0.5 * ((away - 12) / (4 * width)) ** 2)
    return (sharp + slow) @ heights
