"""The control groups (Linux) of this process, such as its container's, and the groups around them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

MOUNT = "sys/fs/cgroup"  # version 2; version 1 has a folder per controller in it


def folders(controller: str, root: Path = Path("/")) -> Iterator[tuple[int, Path]]:
    """(version, folder) of every control group whose limits of a `controller`, such as "memory" or "cpu", apply."""
    groups = root / "proc/self/cgroup"
    for line in groups.read_text().splitlines() if groups.exists() else []:
        number, controllers, path = line.split(":", 2)
        version = 2 if number == "0" and not controllers else 1
        if version == 1 and controller not in controllers.split(","):
            continue
        mount, own = root / MOUNT / (controller if version == 1 else ""), Path(path.lstrip("/"))
        for group in (own, *own.parents):  # a container sees its own group as the root, so not all of these exist
            yield version, mount / group
