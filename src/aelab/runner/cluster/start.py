"""`aelab node`: `ray start` on this machine, with the kind of machine as a resource."""

from __future__ import annotations

import json
import os
import secrets
import sys

from aelab.runner.cluster import ray_api
from aelab.runner.cluster.resources import KIND, KINDS


def node(address: str, host: str, port: int, cpus: int, gpus: int | None, kind: str) -> None:
    """Become `ray start --block`. address: "head", or HOST:PORT of the head node; host: where this machine listens.

    The head node makes a token if there is none: who does not have it cannot use the cluster. Raises ValueError without
    Ray, and for an address of another form.
    """
    head = address == "head"
    if not head and not address.rpartition(":")[2].isdigit():
        raise ValueError(f"{address!r} is no address; allowed: HOST:PORT of the head node, or head")
    if host in ray_api.LOOPBACK and not head:
        raise ValueError(f"{host} is reached from nowhere else: give this machine's address as --host")
    if host in ray_api.LOOPBACK:
        ray_api.stay_on_loopback()
    if head and "RAY_AUTH_MODE" not in os.environ and not ray_api.TOKEN.exists():
        ray_api.TOKEN.parent.mkdir(exist_ok=True)
        with open(os.open(ray_api.TOKEN, os.O_WRONLY | os.O_CREAT, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
    ray_api.imported()
    where = ["--head", f"--port={port}", "--include-dashboard=false"] if head else [f"--address={address}"]
    offers = [f"--num-cpus={cpus}", f"--resources={json.dumps({KIND + kind: KINDS})}"]
    offers += [f"--num-gpus={gpus}"] if gpus is not None else []
    command = ["start", "--block", f"--node-ip-address={host}", *where, *offers]
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "ray.scripts.scripts", *command])
