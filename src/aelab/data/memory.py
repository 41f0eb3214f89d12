"""How much memory there is for data: on the machine, in the process's control groups (its container), on the GPU."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import torch

SHARE = 8  # a split may take one part in so many: stages run side by side, and their seeds may hold copies


class Kind(NamedTuple):
    """A version of control groups: where they lie, their files, and what cache is called in memory.stat."""

    folder: str
    limit: str
    used: str
    cache: tuple[str, str]


KINDS = {  # by the name of the controller in /proc/self/cgroup
    "memory": Kind(
        "sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        ("total_active_file", "total_inactive_file"),
    ),
    "": Kind("sys/fs/cgroup", "memory.max", "memory.current", ("active_file", "inactive_file")),
}


def fits(size: int, device: torch.device) -> bool:
    """Whether `size` bytes are within the share that a split may take."""
    return SHARE * size <= free(device)


def demand(size: int, device: torch.device, what: str) -> None:
    """Raises ValueError, in words that begin with `what`, where less than `size` bytes are free."""
    if size > (there := free(device)):
        raise ValueError(
            f"{what}: {size / 1e9:,.1f} GB of memory needed, {there / 1e9:,.1f} GB free; "
            "fewer images (prepare.limit) need less"
        )


def free(device: torch.device) -> int:
    """Bytes that this process can still take, for tensors on `device` that pass through the machine's memory."""
    import psutil

    found = min([psutil.virtual_memory().available, *left()])
    if device.type == "cuda":
        import torch

        found = min(found, torch.cuda.mem_get_info(device)[0])
    return found


def left(root: Path = Path("/")) -> Iterator[int]:
    """What the limits of the control groups that this process is in leave, those around them included (Linux).

    Cache of files counts as free: the system drops it first.
    """
    groups = root / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else []:
        _, controllers, path = line.split(":", 2)
        for kind in (KINDS[each] for each in controllers.split(",") if each in KINDS):
            own = Path(path.lstrip("/"))
            for group in (own, *own.parents):
                folder = root / kind.folder / group
                try:
                    limit, used = ((folder / name).read_text().strip() for name in (kind.limit, kind.used))
                    counts = dict(each.split() for each in (folder / "memory.stat").read_text().splitlines())
                except FileNotFoundError:  # a container sees its own group as the root
                    continue
                if limit != "max":
                    yield max(0, int(limit) - int(used) + sum(int(counts.get(name, 0)) for name in kind.cache))
