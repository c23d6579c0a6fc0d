"""gRPC: unary calls with raw bytes, over HTTP/2 connections that several users share."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping

from contract.client import Client
from contract.errors import UsageError
from contract.request_headers import with_secrets
from loadtest.clients.channels import share, take_turns
from loadtest.clients.connection import Connection
from loadtest.clients.grpc_outcome import message, timeout_value
from loadtest.clients.http2_frames import SMALLEST_FRAME, encode_headers
from loadtest.clients.pool import pool
from loadtest.clients.remote import Remote
from loadtest.clients.reply import Reply
from loadtest.clients.tls import context

EXACT_NS = 1_000_000  # a deadline is told in milliseconds


class GrpcClient(Connection):
    """``connections`` calls at a time, ``calls_per_channel`` of this process over one HTTP/2 connection.

    Raises UsageError for what is wrong with [client], before anything is sent.
    """

    def __init__(self, address: str, target: str, connections: int, client: Client) -> None:
        super().__init__(client)
        remote = Remote.of(address, client, context(client, "h2"))
        take = take_turns if client.spread == "round-robin" else share
        self._slots = take(remote, client, connections)
        self._free = pool(client.spread, self._slots)
        given = {name.lower(): value for name, value in with_secrets(client.headers, os.environ).items()}
        headers = {
            ":method": "POST",
            ":scheme": "https" if client.tls else "http",
            ":path": target,
            ":authority": given.pop("host", address),
            "user-agent": "loadproof",
            **given,
            "te": "trailers",
            "content-type": "application/grpc",
        }
        self._block = encode_headers(headers)
        self._usual = self._with_timeout(self._timeout_ns)
        if len(self._usual) > SMALLEST_FRAME:
            raise UsageError(
                f"the headers of [client] take {len(self._usual)} bytes, gRPC has {SMALLEST_FRAME} for them"
            )

    def prepare(self, body: bytes, headers: Mapping[str, str]) -> bytes:
        """The message with its length in front; a call's headers are those of [client]."""
        return message(body)

    def close(self) -> None:
        for channel in self._slots:
            channel.leave()
        self._slots = []

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
