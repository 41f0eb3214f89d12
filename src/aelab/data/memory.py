"""How much memory is free for data: on the machine, in the process's control groups (its container), on the GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from aelab.runner import cgroups

if TYPE_CHECKING:
    import torch

SHARE = 8  # a split may use 1/8 of the memory: stages run side by side, and their seeds may hold copies


class Files(NamedTuple):
    """The names of the files of one version of control groups: memory limit, usage, and page cache in memory.stat."""

    limit: str
    used: str
    cache: tuple[str, str]


FILES = {
    1: Files("memory.limit_in_bytes", "memory.usage_in_bytes", ("total_active_file", "total_inactive_file")),
    2: Files("memory.max", "memory.current", ("active_file", "inactive_file")),
}


def fits(size: int, device: torch.device) -> bool:
    """Whether `size` bytes are within the share of memory that a split may use."""
    return SHARE * size <= free(device)


def demand(size: int, device: torch.device, what: str) -> None:
    """Raise ValueError, beginning with `what`, if less than `size` bytes are free."""
    if size > (there := free(device)):
        raise ValueError(
            f"{what}: {size / 1e9:,.1f} GB of memory needed, {there / 1e9:,.1f} GB free; "
            "fewer images (prepare.limit) need less"
        )


def free(device: torch.device) -> int:
    """Bytes that this process can still allocate for tensors on `device`, which pass through the machine's memory."""
    import psutil

    result = min([psutil.virtual_memory().available, *left()])
    if device.type == "cuda":
        import torch

        result = min(result, torch.cuda.mem_get_info(device)[0])
    return result


def left(root: Path = Path("/")) -> Iterator[int]:
    """The memory left by the limits of the process's control groups, enclosing ones included (Linux).

    The page cache counts as free, because the system drops it first.
    """
    for version, folder in cgroups.folders("memory", root):
        files = FILES[version]
        try:
            limit, used = ((folder / name).read_text().strip() for name in (files.limit, files.used))
            counts = dict(item.split() for item in (folder / "memory.stat").read_text().splitlines())
        except FileNotFoundError:
            continue
        if limit != "max":
            yield max(0, int(limit) - int(used) + sum(int(counts.get(name, 0)) for name in files.cache))
