"""Keep the ports that servers usually take busy while a test starts its own, which then gets others."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from serving.engines import tensorflow_serving, triton
from serving.places.ports import LOOPBACK


@contextmanager
def usual_ports_taken() -> Iterator[None]:
    """Hold them in the block; what somebody else holds already is as good."""
    held: list[socket.socket] = []
    try:
        for port in (*triton.USUAL_PORTS.values(), *tensorflow_serving.USUAL_PORTS.values()):
            holder = socket.socket()
            held.append(holder)
            with suppress(OSError):
                holder.bind((LOOPBACK, port))
        yield
    finally:
        for holder in held:
            holder.close()
