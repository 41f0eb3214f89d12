"""Ray, an extra of this package: the only place that imports it."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

LOCAL = "ray"  # the address of a cluster in this machine's processes, made for one run
MISSING = "--on needs Ray, which is not installed here: `make cluster`, or `pip install 'aelab[ray]'`"
ATTEMPTS = 2  # Ray's client gives a server on a busy machine 30 s to start
CLIENT = "ray://"
LOOPBACK = ("127.0.0.1", "localhost")
TOKEN = Path.home() / ".ray" / "auth_token"  # who has it may use a cluster that was started with it
HEAD = "node:__internal_head__"  # the resource that Ray gives to the head node


def imported() -> Any:
    """The module ray. Raises ValueError if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_AUTO_CONNECT", "0")  # a late call of a thread must not start a cluster
    if TOKEN.exists() or {"RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"} & set(os.environ):
        os.environ.setdefault("RAY_AUTH_MODE", "token")
    try:
        import ray
    except ImportError:
        raise ValueError(MISSING) from None
    return ray


def connect(address: str, jobs: int, **options: Any) -> Any:
    """Connect this process to the cluster; returns the module ray. jobs: cores of a cluster that is made here.

    Raises ValueError, in one line, if there is none at this address.
    """
    host, _, port = address.removeprefix(CLIENT).rpartition(":")
    if address == LOCAL or host in LOOPBACK:
        stay_on_loopback()
    ray = imported()
    if address != LOCAL:
        reach(address, host, port)
    about: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False, **options}
    if address == LOCAL:
        about |= {"address": "local", "num_cpus": jobs, "include_dashboard": False, "_node_ip_address": "127.0.0.1"}
    else:
        about |= {"address": address}
    before = signal.getsignal(signal.SIGTERM)  # Ray replaces it with one that prints a trace
    for attempt in range(ATTEMPTS):
        try:
            ray.init(**about)
            break
        except Exception as error:  # of the network, of Ray's client, of another version of Ray or Python
            if attempt == ATTEMPTS - 1:
                what = (str(error).strip() or type(error).__name__).splitlines()[0]
                raise ValueError(f"--on {address}: no Ray cluster answers there ({what})") from None
    signal.signal(signal.SIGTERM, before)
    ray._private.worker.print_to_stdstream = lambda *_, **__: None  # of lost workers, into the progress display
    return ray


def stay_on_loopback() -> None:
    """Before Ray is imported: a cluster that starts here is one machine, which listens on 127.0.0.1 alone; without this
    Ray takes 127.0.0.1 for the machine's other address."""
    os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"


def reach(address: str, host: str, port: str) -> None:
    """Raise ValueError if nobody listens there: Ray itself would try for minutes."""
    if not (host and port.isdigit()):
        raise ValueError(f"--on {address}: no address; allowed: {LOCAL}, HOST:PORT, {CLIENT}HOST:PORT")
    try:
        socket.create_connection((host, int(port)), timeout=10).close()
    except OSError as error:
        raise ValueError(f"--on {address}: nobody listens there ({error.strerror or error})") from None


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
