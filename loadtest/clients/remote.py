"""host:port -> an open socket to one of the addresses behind it.

A headless service's name resolves to every replica. It is resolved anew for every connection, so that a replica that
came up meanwhile gets its share of them. Connections take turns: the n-th goes to the n-th address, or to the next
that is there.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any, NamedTuple

import gevent
from gevent import socket, ssl

from contract.client import Client
from contract.errors import UsageError

_turns = itertools.count()  # of this process: users that know nothing of each other are spread all the same


class Replica(NamedTuple):
    """One address of a server, as ``socket.connect`` takes it."""

    family: int
    where: tuple[Any, ...]


def next_turn() -> int:
    """The number of a new connection."""
    return next(_turns)


def host_port(address: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` in two. Raises UsageError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise UsageError(f"'{address}' is not of the form host:port; write 127.0.0.1:8000")
    return host.removeprefix("[").removesuffix("]"), int(port)


@dataclass(frozen=True)
class Remote:
    """Where a client's connections go, and how they are made."""

    address: str
    connect_timeout_s: float
    tls: ssl.SSLContext | None
    server_name: str | None

    @classmethod
    def of(cls, address: str, client: Client, tls: ssl.SSLContext | None) -> Remote:
        """What [client] says about connections to an address. Raises UsageError for one that is none."""
        host_port(address)
        return cls(address, min(client.connect_timeout_s, client.timeout_s), tls, client.server_name)

    def count(self) -> int:
        """How many replicas there are now; one where nobody can tell, which the first request will report."""
        try:
            return len(self.replicas())
        except (OSError, UnicodeError):
            return 1

    def replicas(self) -> list[Replica]:
        """Every address of the name, in an order that is the same each time. Raises OSError where it has none."""
        host, port = host_port(self.address)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return sorted({Replica(family, where) for family, _, _, _, where in found})

    def open(self, turn: int) -> socket.socket:
        """A connected socket that never blocks. Raises OSError (also ssl.SSLError) or TimeoutError."""
        with gevent.Timeout(self.connect_timeout_s, TimeoutError("connecting took too long")):
            found = self.replicas()
            start = turn % len(found)
            opened = _first_there(found[start:] + found[:start])
            try:
                if self.tls is not None:
                    name = self.server_name or host_port(self.address)[0]
                    opened = self.tls.wrap_socket(opened, server_hostname=name)
                opened.settimeout(0.0)
            except BaseException:
                opened.close()
                raise
            return opened


def _first_there(candidates: list[Replica]) -> socket.socket:
    """The first that takes the connection. Raises the last one's OSError."""
    last = OSError("no address")
    for replica in candidates:
        opened = socket.socket(replica.family, socket.SOCK_STREAM)
        try:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            opened.connect(replica.where)
            return opened
        except BaseException as error:
            opened.close()
            if not isinstance(error, OSError) or isinstance(error, TimeoutError):
                raise
            last = error
    raise last
