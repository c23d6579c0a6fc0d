"""Clients that send bytes which are ready and return bytes which are judged later. Gevent only; no ML framework.

    connection = connect(protocol, address, target, connections, client)
    prepared = connection.prepare(body, headers)        once per payload
    reply = connection.send(prepared)                   never raises for what a server does

One file per protocol. What is wrong with [client] is a UsageError of `connect`, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable

from contract.client import Client
from contract.table import choose
from loadtest.clients.connection import Connection
from loadtest.clients.reply import Reply

__all__ = ["CLIENTS", "Connection", "Reply", "Send", "connect"]

CLIENTS = {
    "http": "loadtest.clients.http:HttpClient",
    "rest": "loadtest.clients.http:HttpClient",
    "grpc": "loadtest.clients.grpc:GrpcClient",
}
Send = Callable[[bytes, dict[str, str]], Reply]


def connect(
    protocol: str,
    address: str,
    target: str,
    connections: int,
    client: Client = Client(),  # noqa: B008 (frozen)
) -> Connection:
    """A client of one protocol, with connections of its own: ``connections`` requests may be in flight."""
    make: Callable[[str, str, int, Client], Connection] = choose(CLIENTS, protocol, "protocol")
    return make(address, target, connections, client)
