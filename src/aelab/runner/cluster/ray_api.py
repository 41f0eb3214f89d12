"""Ray, an extra of this package: the only place that imports it."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

LOCAL = "ray"  # the address of a cluster in this machine's processes, made for one run
MISSING = "--on needs Ray, which is not installed here: `make cluster`, or `pip install 'aelab[ray]'`"
HEAD = "node:__internal_head__"  # the resource that Ray gives to the head node
QUIET = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # a cluster of one machine listens on 127.0.0.1
    "RAY_USAGE_STATS_ENABLED": "0",
}


def imported() -> Any:
    """The module ray. Raises ValueError if it is not installed."""
    os.environ.update({name: value for name, value in QUIET.items() if name not in os.environ})
    try:
        import ray
    except ImportError:
        raise ValueError(MISSING) from None
    return ray


def connect(address: str, jobs: int, **options: Any) -> Any:
    """Connect this process to the cluster; returns the module ray. jobs: cores of a cluster that is made here.

    Raises ValueError, in one line, if there is none at this address.
    """
    ray = imported()
    about: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, **options}
    if address == LOCAL:
        about |= {"num_cpus": jobs, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    else:
        about |= {"address": address}
    try:
        ray.init(**about)
    except Exception as error:  # of the network, of Ray's client, of another version of Ray or Python
        what = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(f"--on {address}: no Ray cluster answers there ({what})") from None
    return ray


@contextlib.contextmanager
def shared(address: str, jobs: int) -> Iterator[str]:
    """The address of a cluster for other processes: a local one is made, and ends with the `with`."""
    if address != LOCAL:
        yield address
        return
    ray = connect(LOCAL, jobs)
    try:
        yield ray.get_runtime_context().gcs_address
    finally:
        ray.shutdown()
