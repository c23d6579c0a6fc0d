"""gRPC: greenlets over the client of our own load generator, which takes a fraction of what grpc's own takes in Python.

All users share one HTTP/2 connection, each call a stream of it, as the users of one channel of grpc's own do; more than
a hundred take another, because that is what servers should allow at the least (RFC 9113, 6.5.2). Where one allows less,
who is over it waits inside the client, and that wait is part of the latency.
"""

from __future__ import annotations

import base64
import time

import gevent

from bench.peers.window import TIMEOUT_S, Load, Tally, Window
from contract.client import Client
from loadtest.clients import Connection, connect

CLIENT = Client(timeout_s=TIMEOUT_S, connect_timeout_s=TIMEOUT_S, calls_per_channel=100)
LOOK_S = 0.01  # how exactly the window's ends are kept; its length is measured


def drive(load: Load) -> Window:
    """A greenlet for each user, whose errors are named by their gRPC status (`grpc UNAVAILABLE`) or the socket's fate.

    What is under way when the window ends is waited for and not counted: a server may stumble over calls that are
    cancelled, and the next window is not to begin beside what this one left.
    """
    message = base64.b64decode(load.body)
    connections = [connect("grpc", load.address, load.target, 1, CLIENT) for _ in range(load.users)]
    tally = Tally(load)
    users = [gevent.spawn(_use, connection, message, tally) for connection in connections]
    while tally.running(time.perf_counter()):
        gevent.sleep(LOOK_S)
    window = tally.result()
    gevent.joinall(users, raise_error=True)
    for connection in connections:
        connection.close()
    return window


def _use(connection: Connection, message: bytes, tally: Tally) -> None:
    """Ask again and again, each time as soon as the answer is there."""
    prepared = connection.prepare(message, {})
    while not tally.over:
        begun = time.perf_counter()
        reply = connection.send(prepared)
        if reply.error:
            tally.bad(reply.error)
        else:
            tally.good(time.perf_counter() - begun, reply.body)
