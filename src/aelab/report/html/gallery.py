"""Digits with a slider: reconstructions during training, and under more and more noise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aelab.report.figures.pictures import kept, trained
from aelab.report.figures.style import tile
from aelab.report.html import images
from aelab.report.results import Item, Results, decibels, spoken

Frames = Mapping[str, np.ndarray]  # a name -> digits, uint8 [n, H, W]
GAP, BLACK, GREY = 2, 0, 119  # pixels between digits and between frames, and their values


@dataclass(frozen=True)
class Step:
    """One place of the slider: a frame (from 0), a text, and a value to rank by."""

    frame: int
    words: str
    value: float | None = None


@dataclass(frozen=True)
class Strip:
    """The digits of one model: all frames in one image, one below the other.

    about: the noise of its training; pinned: stays on top, whatever the ranking; given: the model's input, if it
    differs from the originals; steps: by track, a Step for each place of the slider, None without a frame.
    """

    name: str
    about: str
    kind: str  # model, baseline or pinned
    picture: str
    frames: int
    steps: dict[str, list[Step | None]]
    given: str = ""


@dataclass(frozen=True)
class Gallery:
    """tracks: what a reader chooses -> the places of the slider; width, height: of one frame in pixels."""

    key: str
    tracks: dict[str, list[str]]
    strips: list[Strip]
    width: int
    height: int

    def content(self) -> dict[str, Any]:
        """The data for the page's script, as JSON content."""

        def plain(step: Step | None) -> Any:
            finite = step and step.value is not None and math.isfinite(step.value)
            return step and [step.frame, step.words, step.value if finite else None]

        strips = [
            {
                "frames": strip.frames,
                "steps": {track: [plain(step) for step in steps] for track, steps in strip.steps.items()},
            }
            for strip in self.strips
        ]
        return {"tracks": list(self.tracks.items()), "strips": strips}


LEARNT, UNMET = "images as in training", "noisy images, not seen in training"


def learning(results: Results) -> Gallery | None:
    """Validation digits, reconstructed by every model during training."""
    items = [item for item in results.models if item.previews()]
    if not items:
        return None
    all_drawn = sorted({step for item in items for step in [*item.previews()][:-1]})
    places = [f"after {step:,} steps" for step in all_drawn] + ["at the end"]
    clean = [item for item in items if not item.noise]
    tracks = {LEARNT: places} | ({UNMET: places} if any(item.previews("noisy-") for item in items) else {})
    strips = [_reference(clean[0], len(places))] if clean else []
    strips += [_learner(item, all_drawn) for item in items]
    return Gallery("learning", tracks, strips, *_size(items[0].arrays["preview/input"]))


def _reference(item: Item, places: int) -> Strip:
    """The target digits and, in the second track, the noisy inputs."""
    original = item.arrays["preview/input"]
    frames: list[np.ndarray] = [original]
    steps: dict[str, list[Step | None]] = {LEARNT: [Step(0, "")] * places}
    if "preview/noisy-input" in item.arrays:
        frames.append(noisy := item.arrays["preview/noisy-input"])
        steps[UNMET] = [Step(1, f"{decibels(original, noisy):.1f} dB")] * places
    return Strip("input", "validation images", "pinned", _sprite(frames), len(frames), steps)


def _learner(item: Item, all_drawn: Sequence[int]) -> Strip:
    frames: list[np.ndarray] = []
    steps: dict[str, list[Step | None]] = {}
    for track, kind in ((LEARNT, ""), (UNMET, "noisy-")):
        if not (drawn := item.previews(kind)):
            continue
        end = f"step {kept(item):,}, kept" if item.curves() else "solved in closed form"
        labels = [f"step {step:,}" for step in [*drawn][:-1]] + [end]
        result = []
        for label, digits in zip(labels, drawn.values(), strict=True):
            psnr = decibels(item.arrays["preview/input"], digits) if kind else None
            result.append(Step(len(frames), label if psnr is None else f"{psnr:.1f} dB, {label}", psnr))
            frames.append(digits)
        steps[track] = [result[sum(entry <= step for entry in [*drawn][1:])] for step in all_drawn] + result[-1:]
    given = _sprite([item.arrays["preview/input"]]) if item.noise else ""
    kind = "baseline" if item.is_baseline else "model"
    return Strip(item.name, _met(item), kind, _sprite(frames), len(frames), steps, given)


def noise(results: Results) -> Gallery | None:
    """Test digits under every noise of the test set, by kind and level, denoised by the models and the filters."""
    items = [item for item in results.rebuilding if "reconstructions" in item.arrays]
    if not items or not results.noises or results.kind != "image":
        return None
    kinds: dict[str, list[str]] = {}
    for each in sorted(results.noises, key=lambda each: float(each.rpartition("-")[2])):
        kinds.setdefault(each.rpartition("-")[0], []).append(each)
    kinds = {kind: kinds[kind] for kind in dict.fromkeys(each.rpartition("-")[0] for each in results.noises)}
    tracks = {_words(kind): ["no noise", *(each.rpartition("-")[2] for each in kinds[kind])] for kind in kinds}
    pictures, clean = results.pictures, results.pictures["clean"]
    strips = [_strip("original", "test images", "pinned", kinds, {"": clean}, {}, clean)]

    def baseline(words: str, key: str, kind: str) -> Strip:
        frames = {each: pictures[f"{key}/{each}"] for each in results.noises}
        psnr = {each: results.baselines["denoising"][each][key]["psnr"] for each in results.noises}
        return _strip(words, "", kind, kinds, frames, psnr)

    strips += [
        baseline("the noisy image", "noisy", "pinned"),
        *(baseline(spoken(each), each, "baseline") for each in results.filters),
    ]
    for item in items:
        frames = {"": item.arrays["reconstructions"]}
        frames |= {each: item.arrays[f"denoised/{each}"] for each in results.noises}
        psnr = {"": item.mean("psnr")} | {each: item.mean(f"psnr/{each}") for each in results.noises}
        kind = "baseline" if item.is_baseline else "model"
        strips.append(_strip(item.name, _met(item), kind, kinds, frames, psnr))
    return Gallery("noise", tracks, strips, *_size(clean))


def _strip(
    name: str,
    about: str,
    kind: str,
    kinds: Mapping[str, Sequence[str]],
    frames: Frames,
    psnr: Mapping[str, float],
    always: np.ndarray | None = None,
) -> Strip:
    """frames and psnr (dB) by noise, "" for none; always: digits that are shown without a frame."""
    places = {each: place for place, each in enumerate(frames)}

    def step(each: str) -> Step | None:
        if each in places:
            value = psnr.get(each)
            return Step(places[each], "" if value is None else f"{value:.2f} dB", value)
        return None if always is None else Step(0, "")

    steps = {_words(kind): [step(each) for each in ("", *levels)] for kind, levels in kinds.items()}
    return Strip(name, about, kind, _sprite(list(frames.values())), len(frames), steps)


def _met(item: Item) -> str:
    """The noise of a model's training."""
    return f"trained on {trained(item)}" if item.noise else ""


def _words(kind: str) -> str:
    """A kind of noise in words."""
    return kind.replace("_", " & ")


def _size(digits: np.ndarray) -> tuple[int, int]:
    """Width and height in pixels of digits [n, H, W] side by side."""
    n, height, width = digits.shape[:3]
    return n * (width + GAP) - GAP, height


def _sprite(frames: Sequence[np.ndarray]) -> str:
    """The digits of each frame in a row, frames below each other, as a data URI."""
    rows = np.stack([tile(digits, gap=GAP, blank=GREY) for digits in frames])
    return images.sprite(tile(rows, 1, GAP, BLACK))
