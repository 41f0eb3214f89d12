"""Model weights and checkpoints on disk, as safetensors files: no pickle anywhere."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from torch import Tensor


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write named tensors; the bytes depend on names and values only (no metadata, fixed memory layout).

    Raises OSError, e.g. if the disk is full.
    """
    from safetensors.torch import save

    path.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()}))


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of one file, on the CPU. Raises FileNotFoundError, or ValueError for a damaged file."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        return load(path.read_bytes())
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable safetensors file ({error})") from error


def save_tensors(path: Path, tensors: dict[str, Tensor], words: str) -> None:
    """Write named tensors, a text and a digest of both, and sync them to the disk. Raises OSError."""
    from safetensors.torch import save

    plain = {name: item.detach().cpu().contiguous() for name, item in tensors.items()}
    with open(path, "wb") as file:
        file.write(save(plain, {"words": words, "sha256": _digest(plain, words)}))
        file.flush()
        os.fsync(file.fileno())


def load_tensors(path: Path) -> tuple[dict[str, Tensor], str]:
    """The tensors and the text that `save_tensors` wrote. Raises ValueError for a damaged file."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            header = file.metadata() or {}
    except SafetensorError as error:
        raise ValueError(f"not a readable safetensors file: {error}") from error
    text = header.get("words", "")
    if header.get("sha256") != _digest(tensors, text):
        raise ValueError("its bytes are not those that were written")
    return tensors, text


def _digest(tensors: dict[str, Tensor], words: str) -> str:
    """The SHA-256 of contiguous CPU tensors, by name, and of a text."""
    import torch

    digest = hashlib.sha256(words.encode())
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}".encode())
        digest.update(tensors[name].view(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
