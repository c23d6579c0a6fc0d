"""gRPC: unary calls with raw bytes, over a few HTTP/2 connections that are shared."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from gevent.lock import BoundedSemaphore

from contract.client import Client
from loadtest.clients.connection import Connection
from loadtest.clients.grpc_outcome import message, timeout_value
from loadtest.clients.http2 import UNTOUCHED, Http2
from loadtest.clients.http2_frames import encode_headers
from loadtest.clients.pool import pool
from loadtest.clients.remote import Remote, next_turn
from loadtest.clients.reply import Reply, error_class, failure
from loadtest.clients.request_headers import with_secrets
from loadtest.clients.tls import context

EXACT_NS = 1_000_000  # a deadline is told in milliseconds


class GrpcClient(Connection):
    """As many HTTP/2 connections as ``calls_per_channel`` wants, each opened when it is first needed.

    Taking turns needs one for each replica. Raises UsageError for what is wrong with [client], before anything is sent.
    """

    def __init__(self, address: str, target: str, connections: int, client: Client) -> None:
        super().__init__(client)
        remote = Remote.of(address, client, context(client, "h2"))
        count = -(-connections // client.calls_per_channel)
        if client.spread == "round-robin":
            count = max(count, remote.count())
        self._channels = [Channel(remote, next_turn()) for _ in range(count)]
        self._free = pool(client.spread, [self._channels[n % count] for n in range(max(connections, count))])
        given = {name.lower(): value for name, value in with_secrets(client.headers, os.environ).items()}
        usual = {
            ":method": "POST",
            ":scheme": "https" if client.tls else "http",
            ":path": target,
            ":authority": given.pop("host", address),
            "te": "trailers",
            "content-type": "application/grpc",
            "user-agent": "loadproof",
        }
        self._block = encode_headers(usual | given)
        self._usual = self._with_timeout(self._timeout_ns)

    def prepare(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """The message with its length in front; a call's headers are those of [client]."""
        return message(body)

    def close(self) -> None:
        for channel in self._channels:
            channel.close()

    def _ask(self, prepared: bytes, deadline_ns: int) -> Reply:
        left = deadline_ns - time.monotonic_ns()
        block = self._usual if left > self._timeout_ns - EXACT_NS else self._with_timeout(left)
        channel = self._free.get()
        try:
            return channel.ask(block, prepared, deadline_ns)  # type: ignore[no-any-return]
        finally:
            self._free.put(channel)

    def _with_timeout(self, left_ns: int) -> bytes:
        return self._block + encode_headers({"grpc-timeout": timeout_value(left_ns)})


class Channel:
    """One HTTP/2 connection after the other, each opened when the one before takes no more calls."""

    def __init__(self, remote: Remote, turn: int) -> None:
        self._remote, self._turn = remote, turn
        self._live: Http2 | None = None
        self._opening = BoundedSemaphore()

    def ask(self, block: bytes, prepared: bytes, deadline_ns: int) -> Reply:
        """Make a call and wait. One that the server says it has not touched is made again, once."""
        reply, lost = self._call(block, prepared, deadline_ns)
        if reply is UNTOUCHED:
            reply, lost = self._call(block, prepared, deadline_ns)[0], True
        return reply._replace(reopened=1) if lost else reply

    def close(self) -> None:
        """Leave; who waits is told."""
        if self._live is not None:
            self._live.close()
            self._live = None

    def _call(self, block: bytes, prepared: bytes, deadline_ns: int) -> tuple[Reply, bool]:
        """The reply, and whether a connection that the server had left was replaced for it."""
        lost = False
        live = self._live
        if live is None or not live.usable:
            with self._opening:
                live = self._live
                if live is None or not live.usable:
                    lost = live is not None
                    self._live = None
                    try:
                        live = self._live = Http2(self._remote.open(self._turn))
                    except (OSError, UnicodeError) as error:
                        return failure(error_class(error)), False
        return live.call(block, prepared, deadline_ns), lost
