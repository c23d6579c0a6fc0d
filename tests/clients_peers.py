"""Servers that do exactly what a test says, connection by connection: the other side of the load's clients."""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

Step = bytes | Callable[[Any], None]
PATIENCE_S = 20.0


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A whole HTTP/1.1 answer with its length."""
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode() + body


def reset(connection: Any) -> None:
    """Close so that the other side gets a reset."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def until_closed(connection: Any) -> None:
    """Say nothing until the other side leaves, or has been left."""
    while connection.fileno() >= 0 and connection.recv(65536):
        pass


def in_pieces(data: bytes, size: int = 1) -> Step:
    """Send in small pieces, each as a segment of its own."""

    def send(connection: Any) -> None:
        for at in range(0, len(data), size):
            connection.sendall(data[at : at + size])

    return send


def read_request(connection: Any) -> bytes:
    """One whole HTTP request; empty where the client has left."""
    data = b""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b""
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


class Scripted:
    """``connections[n]`` is what the n-th connection does: after each request the next step; then it is closed."""

    def __init__(self, connections: Sequence[Sequence[Step]], tls: ssl.SSLContext | None, host: str) -> None:
        self.requests: list[bytes] = []
        self.failures: list[BaseException] = []
        self._script, self._tls = connections, tls
        self._listener = socket.create_server((host, 0))
        self._opened: list[Any] = []
        self.address = f"{host}:{self._listener.getsockname()[1]}"
        self.threads = [threading.Thread(target=self._listen, daemon=True)]
        self.threads[0].start()

    def _listen(self) -> None:
        for steps in self._script:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(PATIENCE_S)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._opened.append(connection)
            self.threads.append(threading.Thread(target=self._serve, args=(connection, steps), daemon=True))
            self.threads[-1].start()

    def _serve(self, connection: Any, steps: Sequence[Step]) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._opened.append(connection)
            self.serve(connection, steps)
        except OSError as error:
            self.failures.append(error)
        finally:
            connection.close()

    def serve(self, connection: Any, steps: Sequence[Step]) -> None:
        """Request, step, request, step."""
        for step in steps:
            request = read_request(connection)
            if not request:
                return
            self.requests.append(request)
            if callable(step):
                step(connection)
            else:
                connection.sendall(step)

    def close(self) -> None:
        for opened in [self._listener, *self._opened]:
            opened.close()
        for thread in self.threads[1:]:
            thread.join(PATIENCE_S)


@contextmanager
def scripted(
    *connections: Sequence[Step], tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Scripted]:
    """A server that takes exactly so many connections."""
    server = Scripted(connections, tls, host)
    try:
        yield server
    finally:
        server.close()


def nobody() -> str:
    """An address where nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"
