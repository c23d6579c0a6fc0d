"""A small HTTP/1.1 server: keep-alive, a thread per connection, bodies by Content-Length and bounded.

The standard library's request handler parses headers as e-mail, which costs more than a small model does;
this one reads the request line, the few headers that matter, and the body. It promises to answer every
request that was read completely, `stop` included, and never to read more than ``MAX_BODY`` bytes for one.
"""

from __future__ import annotations

import contextlib
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http.client import responses

NAME = "loadproof-embedded"  # so that nobody takes the stand-in for TensorFlow Serving
MAX_BODY = 256 << 20
MAX_LINE = 64 << 10
MAX_HEADERS = 100
MAX_CONNECTIONS = 1024
IDLE_SECONDS = 600.0
LINGER_SECONDS = 1.0
LINGER_READS = 64


@dataclass(frozen=True)
class Request:
    """``path`` is as it was sent, without the query."""

    method: str
    path: str
    body: bytes


@dataclass(frozen=True)
class Response:
    """Status, Content-Type and body."""

    status: int
    content_type: str
    body: bytes


Handler = Callable[[Request], Response]


class _Refused(Exception):
    """A request that is not read to its end; the connection closes after the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.response = Response(status, "text/plain", text.encode() + b"\n")


class HttpServer:
    """`start` listens, `stop` ends what is in flight within a grace period."""

    def __init__(self, host: str, port: int, handler: Handler) -> None:
        self._address = (host, port)
        self._handler = handler
        self._listener: _Listener | None = None

    def start(self) -> None:
        """Bind and accept; OSError when the port cannot be had."""
        self._listener = _Listener(self._address, self._handler)
        threading.Thread(
            target=self._listener.serve_forever,
            kwargs={"poll_interval": 0.1},
            name="rest-accept",
            daemon=True,
        ).start()

    def stop(self, grace_seconds: float) -> None:
        """Stop accepting, finish requests that have arrived, close idle connections; bounded by the grace."""
        if self._listener is not None:
            self._listener.closing = True
            self._listener.shutdown()
            self._listener.server_close()
            self._listener.drain(grace_seconds)


class _Listener(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], handler: Handler) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        self.handler = handler
        self.closing = False
        self._open: set[socket.socket] = set()
        self._changed = threading.Condition()
        super().__init__(address, _Connection)

    def verify_request(self, request: object, client_address: object) -> bool:
        return len(self._open) < MAX_CONNECTIONS

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that goes away in the middle is its own affair."""

    def opened(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.add(connection)
            if self.closing:  # accepted just before the listener closed: read what has come, then end
                _stop_reading(connection)

    def closed(self, connection: socket.socket) -> None:
        with self._changed:
            self._open.discard(connection)
            self._changed.notify_all()

    def drain(self, grace_seconds: float) -> None:
        with self._changed:
            for connection in self._open:
                _stop_reading(connection)
            self._changed.wait_for(lambda: not self._open, grace_seconds)


class _Connection(socketserver.StreamRequestHandler):
    server: _Listener
    disable_nagle_algorithm = True
    rbufsize = 1 << 16
    timeout = IDLE_SECONDS

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        super().finish()

    def handle(self) -> None:
        keep = True
        while keep:
            try:
                parsed = self._read()
            except _Refused as refused:
                self._send(refused.response, keep=False)
                self._linger()
                return
            if parsed is None:
                return
            request, wants_more = parsed
            response = self.server.handler(request)
            keep = wants_more and not self.server.closing
            self._send(response, keep, with_body=request.method != "HEAD")

    def _linger(self) -> None:
        """Swallow some of what is still coming: closing on unread bytes would take back the answer."""
        self.connection.shutdown(socket.SHUT_WR)
        self.connection.settimeout(LINGER_SECONDS)
        for _ in range(LINGER_READS):
            if not self.rfile.read1(self.rbufsize):
                return

    def _read(self) -> tuple[Request, bool] | None:
        """The next request and whether the client wants to keep the connection; None at its end."""
        line = self._line()
        if line in (b"\r\n", b"\n"):  # an empty line before a request is allowed
            line = self._line()
        if not line:
            return None
        try:
            method, target, protocol = line.decode("latin-1").split()
        except ValueError:
            raise _Refused(400, "Bad request line") from None
        if not protocol.startswith("HTTP/1."):
            raise _Refused(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here")
        headers = self._headers()
        body = self._body(headers)
        if body is None:
            return None
        connection = headers.get(b"connection", b"").lower()
        keep = b"keep-alive" in connection if protocol == "HTTP/1.0" else b"close" not in connection
        return Request(method, _path(target), body), keep

    def _line(self) -> bytes:
        try:
            line = self.rfile.readline(MAX_LINE + 1)
        except OSError:  # reset, or idle for too long
            return b""
        if len(line) > MAX_LINE:
            raise _Refused(431, f"A line of the request is longer than {MAX_LINE} bytes")
        return line

    def _headers(self) -> dict[bytes, bytes]:
        headers: dict[bytes, bytes] = {}
        for _ in range(MAX_HEADERS):
            line = self._line()
            if line in (b"\r\n", b"\n", b""):
                return headers
            name, colon, value = line.partition(b":")
            name, value = name.lower(), value.strip()
            if not colon or name != name.strip():
                raise _Refused(400, "Bad header line")
            if name == b"content-length" and headers.get(name, value) != value:
                raise _Refused(400, "Two different Content-Length headers")
            headers[name] = value
        raise _Refused(431, f"More than {MAX_HEADERS} headers")

    def _body(self, headers: dict[bytes, bytes]) -> bytes | None:
        """The body, or None if the client went away before its end."""
        if b"transfer-encoding" in headers:
            raise _Refused(411, "Send the body with a Content-Length, not with a Transfer-Encoding")
        if headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise _Refused(415, "Send the body without a Content-Encoding")
        length_text = headers.get(b"content-length", b"0")
        if not length_text.isdigit():
            raise _Refused(400, "Content-Length is not a number")
        length = int(length_text) if len(length_text) < 20 else MAX_BODY + 1
        if length > MAX_BODY:
            raise _Refused(413, f"The body is larger than {MAX_BODY} bytes")
        if not length:
            return b""
        if headers.get(b"expect", b"").lower() == b"100-continue":
            self.wfile.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            body = self.rfile.read(length)
        except OSError:
            return None
        return body if len(body) == length else None

    def _send(self, response: Response, keep: bool, with_body: bool = True) -> None:
        reason = responses.get(response.status, "Client Closed Request")
        head = (
            f"HTTP/1.1 {response.status} {reason}\r\nContent-Type: {response.content_type}\r\nServer: {NAME}\r\n"
            f"Date: {_date(int(time.time()))}\r\nContent-Length: {len(response.body)}\r\n"
            f"{'' if keep else 'Connection: close' + chr(13) + chr(10)}\r\n"
        )
        self.connection.sendall(head.encode("latin-1") + (response.body if with_body else b""))


def _stop_reading(connection: socket.socket) -> None:
    """Wake a reader with the end of the stream; what has arrived can still be read and answered."""
    with contextlib.suppress(OSError):  # the client was faster
        connection.shutdown(socket.SHUT_RD)


def _path(target: str) -> str:
    """The path of a request target: "/a?b" and "http://host/a?b" are both "/a"."""
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target.partition("?")[0]


_last_date: tuple[int, str] = (0, "")


def _date(second: int) -> str:
    """The Date header of this second, formatted once."""
    global _last_date
    known, text = _last_date
    if known != second:
        text = formatdate(second, usegmt=True)
        _last_date = (second, text)
    return text
