"""HTTP/1.1 as far as a prediction needs it: one request read from a stream, one response as bytes.

The standard library parses headers as e-mail, which costs more than a small model does; this reads the request line,
the few headers that matter, and a body by its Content-Length. It never reads more than ``MAX_BODY`` bytes for one.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http.client import responses
from io import BufferedIOBase

NAME = "loadproof-embedded"  # so that nobody takes the stand-in for TensorFlow Serving
MAX_BODY = 256 << 20
MAX_LINE = 64 << 10
MAX_HEADERS = 100


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


class Refused(Exception):
    """A request that is not read to its end; the connection closes after the answer."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.response = Response(status, "text/plain", text.encode() + b"\n")


def read_request(stream: BufferedIOBase, go_on: Callable[[bytes], object]) -> tuple[Request, bool] | None:
    """The next request and whether the client wants to keep the connection; None at its end.

    ``go_on`` sends what a client waits for that asks before it sends its body. Raises Refused.
    """
    line = _line(stream)
    if line in (b"\r\n", b"\n"):  # an empty line before a request is allowed
        line = _line(stream)
    if not line:
        return None
    try:
        method, target, protocol = line.decode("latin-1").split()
    except ValueError:
        raise Refused(400, "Bad request line") from None
    if not protocol.startswith("HTTP/1."):
        raise Refused(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here")
    headers = _headers(stream)
    body = _body(stream, headers, go_on)
    if body is None:
        return None
    connection = headers.get(b"connection", b"").lower()
    keep = b"keep-alive" in connection if protocol == "HTTP/1.0" else b"close" not in connection
    return Request(method, _path(target), body), keep


def encode(response: Response, keep: bool, with_body: bool = True) -> bytes:
    """A response as it is sent. A HEAD is answered without the body whose length it is told."""
    reason = responses.get(response.status, "Client Closed Request")
    head = (
        f"HTTP/1.1 {response.status} {reason}\r\nContent-Type: {response.content_type}\r\nServer: {NAME}\r\n"
        f"Date: {_date(int(time.time()))}\r\nContent-Length: {len(response.body)}\r\n"
        f"{'' if keep else 'Connection: close' + chr(13) + chr(10)}\r\n"
    )
    return head.encode("latin-1") + (response.body if with_body else b"")


def _line(stream: BufferedIOBase) -> bytes:
    try:
        line = stream.readline(MAX_LINE + 1)
    except OSError:  # reset, or idle for too long
        return b""
    if len(line) > MAX_LINE:
        raise Refused(431, f"A line of the request is longer than {MAX_LINE} bytes")
    return line


def _headers(stream: BufferedIOBase) -> dict[bytes, bytes]:
    headers: dict[bytes, bytes] = {}
    for _ in range(MAX_HEADERS):
        line = _line(stream)
        if line in (b"\r\n", b"\n", b""):
            return headers
        name, colon, value = line.partition(b":")
        name, value = name.lower(), value.strip()
        if not colon or name != name.strip():
            raise Refused(400, "Bad header line")
        if name == b"content-length" and headers.get(name, value) != value:
            raise Refused(400, "Two different Content-Length headers")
        headers[name] = value
    raise Refused(431, f"More than {MAX_HEADERS} headers")


def _body(stream: BufferedIOBase, headers: dict[bytes, bytes], go_on: Callable[[bytes], object]) -> bytes | None:
    """The body, or None if the client went away before its end."""
    if b"transfer-encoding" in headers:
        raise Refused(411, "Send the body with a Content-Length, not with a Transfer-Encoding")
    if headers.get(b"content-encoding", b"identity").lower() != b"identity":
        raise Refused(415, "Send the body without a Content-Encoding")
    length_text = headers.get(b"content-length", b"0")
    if not length_text.isdigit():
        raise Refused(400, "Content-Length is not a number")
    length = int(length_text) if len(length_text) < 20 else MAX_BODY + 1
    if length > MAX_BODY:
        raise Refused(413, f"The body is larger than {MAX_BODY} bytes")
    if not length:
        return b""
    if headers.get(b"expect", b"").lower() == b"100-continue":
        go_on(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        body = stream.read(length)
    except OSError:
        return None
    return body if len(body) == length else None


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
