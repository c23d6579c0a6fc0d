"""Clients that send bytes which are ready and return bytes which are judged later. Gevent only; no ML framework.

connect(address, target, connections) -> send(body, headers) -> Reply
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from contract.table import choose

TIMEOUT_S = 30.0
CLIENTS = {
    "http": "loadtest.clients:connect_http",
    "rest": "loadtest.clients:connect_http",
    "grpc": "loadtest.clients:connect_grpc",
}


@dataclass(frozen=True)
class Reply:
    """What came back. ``error`` is empty for a good answer, else the class of the failure."""

    status: int
    error: str
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


Send = Callable[[bytes, dict[str, str]], Reply]


def connect(protocol: str, address: str, target: str, connections: int) -> Send:
    """A client of one protocol, with connections of its own."""
    connector = choose(CLIENTS, protocol, "protocol")
    send: Send = connector(address, target, connections)
    return send


def connect_http(address: str, path: str, connections: int) -> Send:
    """HTTP/1.1 with keep-alive over at most ``connections`` sockets."""
    from geventhttpclient import HTTPClient

    host, port = address.rsplit(":", 1)
    client = HTTPClient(
        host, int(port), concurrency=connections, connection_timeout=TIMEOUT_S, network_timeout=TIMEOUT_S
    )

    def send(body: bytes, headers: dict[str, str]) -> Reply:
        try:
            response = client.request("POST", path, body, headers)
            data = bytes(response.read())
            if response.status_code == 200:
                return Reply(200, "", data, dict(response.items()))
            return Reply(response.status_code, f"http {response.status_code}", data)
        except Exception as error:  # sockets, parsers and timeouts have no common base: the class is what is recorded
            return Reply(-1, type(error).__name__, b"")

    return send


def connect_grpc(address: str, method: str, connections: int) -> Send:
    """One HTTP/2 connection of its own, which carries as many calls as are in flight."""
    import grpc
    import grpc.experimental.gevent

    grpc.experimental.gevent.init_gevent()
    options = [
        ("grpc.use_local_subchannel_pool", 1),  # else all channels of the process share one connection
        # Else an outage would seem to last until the client's own backoff, which grows to two minutes, has ended.
        ("grpc.max_reconnect_backoff_ms", 1000),
        ("grpc.max_receive_message_length", -1),
        ("grpc.max_send_message_length", -1),
    ]
    channel = grpc.insecure_channel(address, options=options)
    call: Any = channel.unary_unary(method, request_serializer=None, response_deserializer=None)

    def send(body: bytes, headers: dict[str, str]) -> Reply:
        try:
            return Reply(0, "", call(body, timeout=TIMEOUT_S))
        except grpc.RpcError as error:
            code: Any = error.code() if hasattr(error, "code") else grpc.StatusCode.UNKNOWN
            return Reply(int(code.value[0]), f"grpc {code.name}", b"")

    return send
