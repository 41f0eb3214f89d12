"""`aelab node`: `ray start` on this machine, with the kind of machine as a resource."""

from __future__ import annotations

import json
import os
import sys

from aelab.runner.cluster.node import HOME as HOME
from aelab.runner.cluster.ray_api import imported
from aelab.runner.cluster.resources import KIND, KINDS


def node(address: str, host: str, port: int, cpus: int, gpus: int | None, kind: str) -> None:
    """Become `ray start --block`. Raises ValueError without Ray, and for an address of another form."""
    imported()
    if address != "head" and not address.rpartition(":")[2].isdigit():
        raise ValueError(f"{address!r} is no address; allowed: HOST:PORT of the head node, or head")
    where = ["--head", f"--port={port}"] if address == "head" else [f"--address={address}"]
    where += ["--include-dashboard=false"] if address == "head" else []
    offers = [f"--num-cpus={cpus}", f"--resources={json.dumps({KIND + kind: KINDS})}"]
    offers += [f"--num-gpus={gpus}"] if gpus is not None else []
    command = ["start", "--block", f"--node-ip-address={host}", *where, *offers]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "ray.scripts.scripts", *command])
