"""Snapshots on disk: learning that was cut short goes on from the last one and ends in the same bytes.

data/.checkpoints/<stage's folder>/<replicate>/<key>.safetensors (with "all" for the replicate where seeds learn in one
loop, on a GPU) holds the tensors and, in its header, the numbers as JSON. The key is that of what is being learnt: a
snapshot of anything else (another parameter, image, first weight, line of code, version of torch, number of threads,
kind of device) has another name and is left alone. A damaged one is too, with a word about it. The folder goes when the
stage's result is there.

Environment: AELAB_CHECKPOINT is the number of seconds between two snapshots (30; 0: after every step or, of seeds in
one loop, epoch).
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from aelab.config import runtime
from aelab.training import weight_files
from aelab.training.loop import Snapshot

ROWS = 1000  # of a tensor that the key is taken of at once
SHARE = 100  # snapshots may take one part in so many of the time
PACKAGE = Path(__file__).parents[1]
CODE = ("config", "data", "training", "models")  # folders of the package that learning runs through


class CheckpointManager:
    """The snapshots of one replicate, or of all in one loop (see loop.Keeper).

    folder: where they lie; about: what is learnt and how, as JSON can hold it; data: all tensors that are learnt from;
    extra: anything that is to be kept and taken up again with the snapshot: `state()` gives numbers and tensors,
    `restore(numbers, tensors)` takes them.
    """

    def __init__(self, folder: Path, about: Any, data: Sequence[Tensor], extra: Any) -> None:
        self.folder, self.about, self.data, self.extra = folder, about, data, extra
        self.every, self.next = interval(), 0.0

    def latest(self, model: nn.Module) -> Snapshot | None:
        self.model = {name: tensor.clone() for name, tensor in model.state_dict().items()}  # for the key
        self.next = time.monotonic() + self.every
        if not self.folder.exists() or not self.path.exists():  # mostly there is none, and the key costs time
            return None
        try:
            tensors, words = weight_files.load_tensors(self.path)
        except ValueError as error:
            print(f"{self.path}: ignored, learning starts afresh ({error})", file=sys.stderr, flush=True)
            return None
        numbers = json.loads(words)
        mine = {name: each for name, each in tensors.items() if not name.startswith("extra/")}
        kept = {name.removeprefix("extra/"): each for name, each in tensors.items() if name.startswith("extra/")}
        self.extra.restore(numbers["extra"], kept)
        return Snapshot(numbers["learning"], mine)

    def due(self) -> bool:
        return time.monotonic() >= self.next

    def keep(self, snapshot: Snapshot) -> None:
        """Write it beside the last one, then in its place: at every moment a whole one is there."""
        began = time.monotonic()
        numbers, tensors = self.extra.state()
        all_tensors = snapshot.tensors | {f"extra/{name}": each for name, each in tensors.items()}
        words = json.dumps({"learning": snapshot.numbers, "extra": numbers})
        draft = self.path.with_suffix(".new")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            weight_files.save_tensors(draft, all_tensors, words)
            draft.rename(self.path)
        except OSError as error:  # a full disk costs the snapshot, not the learning
            draft.unlink(missing_ok=True)
            print(f"{self.path}: not written ({error.strerror})", file=sys.stderr, flush=True)
        ended = time.monotonic()
        self.next = ended + (max(self.every, SHARE * (ended - began)) if self.every else 0)

    @cached_property
    def path(self) -> Path:
        """Of the file: its name is the SHA-256 of all that decides what is learnt."""
        device = runtime.describe(self.data[0].device)
        machine = f"{torch.__version__} {torch.get_num_threads()} {platform.machine()} {device}"
        digest = hashlib.sha256(json.dumps([machine, self.about], sort_keys=True, default=str).encode())
        for folder in CODE:
            for file in sorted((PACKAGE / folder).rglob("*.py")):
                digest.update(file.read_bytes())
        for tensor in (*self.data, *self.model.values()):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            for part in tensor.split(ROWS) if tensor.dim() else (tensor,):  # images may be streamed
                digest.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        self.model = {}
        return self.folder / f"{digest.hexdigest()}.safetensors"


def interval() -> float:
    """Seconds between snapshots. Raises ValueError for what is no number."""
    text = os.environ.get("AELAB_CHECKPOINT", "30")
    try:
        return max(0.0, float(text))
    except ValueError:
        raise ValueError(f"AELAB_CHECKPOINT: {text!r} is wrong; allowed: a number of seconds") from None
