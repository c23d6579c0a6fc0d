"""Whether a load process reaches the servers that its master names: elsewhere, 127.0.0.1 is somebody else's server."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from contract.errors import UsageError
from contract.hosts import names_whoever_asks
from loadtest.process.orders import clock

NAMESPACE = Path("/proc/self/ns/net")


def loopback() -> str:
    """Names the loopback interface of this process: one per running machine, and one more per container with its own.

    Machines number their first network alike, so the name of the network alone would not do.
    """
    return f"{clock()} {os.readlink(NAMESPACE)}" if NAMESPACE.is_symlink() else clock()


def refuse_others(worker: str, addresses: Iterable[str], masters: str, own: str) -> None:
    """Raises UsageError for the first of the endpoints' addresses that means another server here than for the master.

    ``masters`` and ``own`` are what `loopback` says there and here; ``worker`` is what the load process is called.
    """
    if masters == own:
        return
    address = next((item for item in addresses if names_whoever_asks(item)), None)
    if address is not None:
        raise UsageError(
            f"the load process {worker} is on another machine, or in a container with a network of its own: what "
            f"listens on {address} there is somebody else's server, so nothing was sent; serve at an address that it "
            "reaches too (python -m serving up --place http://HOST:8000,grpc://HOST:8001,rest://HOST:8501), then "
            "load with --allow-host HOST --max-rps N, or with load processes of this machine alone"
        )
