"""Checkpoints on disk: training that was interrupted resumes from the last one and ends with the same bytes.

data/.checkpoints/<folder of the stage>/<replicate>/<key>.safetensors ("all" instead of the replicate where seeds train
in one loop, on a GPU) holds the tensors and, in its header, the other state as JSON. The key is a digest of everything
that determines the result: a checkpoint of anything else (another parameter, image, initial weight, line of code,
version of torch, number of threads, kind of device) has another name and is ignored. So is a damaged one, with a
message. The folder is removed when the stage has finished.

Environment: AELAB_CHECKPOINT is the number of seconds between two checkpoints (30; 0: after every step or, for seeds in
one loop, every epoch).
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

ROWS = 1000  # rows of a tensor that are hashed at once
SHARE = 100  # writing checkpoints may take 1/100 of the time
PACKAGE = Path(__file__).parents[1]
CODE = ("config", "data", "training", "models")  # folders of the package that training uses


class CheckpointManager:
    """The checkpoints of one replicate, or of all replicates in one loop (see loop.Checkpointer).

    folder: where they are; about: what is trained and how, as JSON can hold it; data: all training and validation
    tensors; extra: anything else to save and restore: `state()` returns JSON content and tensors, `restore(numbers,
    tensors)` takes them.
    """

    def __init__(self, folder: Path, about: Any, data: Sequence[Tensor], extra: Any) -> None:
        self.folder, self.about, self.data, self.extra = folder, about, data, extra
        self.every, self.next = interval(), 0.0

    def latest(self, model: nn.Module) -> Snapshot | None:
        self.model = {name: tensor.clone() for name, tensor in model.state_dict().items()}  # part of the key
        self.next = time.monotonic() + self.every
        if not self.folder.exists() or not self.path.exists():  # usually there is none, and the key takes time
            return None
        try:
            tensors, text = weight_files.load_tensors(self.path)
        except ValueError as error:
            print(f"{self.path}: ignored, learning starts afresh ({error})", file=sys.stderr, flush=True)
            return None
        numbers = json.loads(text)
        mine = {name: item for name, item in tensors.items() if not name.startswith("extra/")}
        kept = {name.removeprefix("extra/"): item for name, item in tensors.items() if name.startswith("extra/")}
        self.extra.restore(numbers["extra"], kept)
        return Snapshot(numbers["learning"], mine)

    def due(self) -> bool:
        return time.monotonic() >= self.next

    def keep(self, snapshot: Snapshot) -> None:
        """Write the checkpoint beside the last one, then rename it into place: a complete one exists at every
        moment."""
        began = time.monotonic()
        numbers, tensors = self.extra.state()
        all_tensors = snapshot.tensors | {f"extra/{name}": item for name, item in tensors.items()}
        text = json.dumps({"learning": snapshot.numbers, "extra": numbers})
        draft = self.path.with_suffix(".new")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            weight_files.save_tensors(draft, all_tensors, text)
            draft.rename(self.path)
        except OSError as error:  # a full disk costs the checkpoint, not the training
            draft.unlink(missing_ok=True)
            print(f"{self.path}: not written ({error.strerror})", file=sys.stderr, flush=True)
        ended = time.monotonic()
        self.next = ended + (max(self.every, SHARE * (ended - began)) if self.every else 0)

    @cached_property
    def path(self) -> Path:
        """The file; its name is the SHA-256 of everything that determines the result."""
        device = runtime.describe(self.data[0].device)
        machine = f"{torch.__version__} {torch.get_num_threads()} {platform.machine()} {device}"
        digest = hashlib.sha256(json.dumps([machine, self.about], sort_keys=True, default=str).encode())
        for folder in CODE:
            for file in sorted((PACKAGE / folder).rglob("*.py")):
                digest.update(file.read_bytes())
        for tensor in (*self.data, *self.model.values()):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}".encode())
            for part in tensor.split(ROWS) if tensor.dim() else (tensor,):
                digest.update(part.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().data)
        self.model = {}
        return self.folder / f"{digest.hexdigest()}.safetensors"


def interval() -> float:
    """Seconds between checkpoints. Raises ValueError if AELAB_CHECKPOINT is not a number."""
    text = os.environ.get("AELAB_CHECKPOINT", "30")
    try:
        return max(0.0, float(text))
    except ValueError:
        raise ValueError(f"AELAB_CHECKPOINT: {text!r} is wrong; allowed: a number of seconds") from None
