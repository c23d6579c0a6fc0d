"""HTTP/1.1 as far as a prediction needs it: one request read from a stream, one response as bytes.

The standard library parses headers as e-mail, which costs more than a small model does; this reads the request line,
the few headers that matter, and a body (`http_body`).
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import formatdate
from http.client import responses
from io import BufferedIOBase

from serving.tfserving.http_body import read_body
from serving.tfserving.http_lines import Refused, read_headers, read_line

NAME = "loadproof-embedded"  # so that nobody takes the stand-in for TensorFlow Serving


@dataclass(frozen=True)
class Request:
    """``path`` is as it was sent: TensorFlow Serving takes a query for a part of it, and so for another path."""

    method: str
    path: str
    body: bytes


@dataclass(frozen=True)
class Response:
    """Status, Content-Type and body."""

    status: int
    content_type: str
    body: bytes


def read_request(stream: BufferedIOBase, go_on: Callable[[bytes], object]) -> tuple[Request, bool] | None:
    """The next request and whether the client wants to keep the connection; None at its end.

    ``go_on`` sends what a client waits for that asks before it sends its body. Raises Refused.
    """
    line = read_line(stream)
    if line in (b"\r\n", b"\n"):  # an empty line before a request is allowed
        line = read_line(stream)
    if not line.endswith(b"\n"):
        return None
    try:
        method, target, protocol = line.decode("latin-1").split()
    except ValueError:
        raise Refused(400, "Bad request line") from None
    if not protocol.startswith("HTTP/1."):
        raise Refused(505, "Only HTTP/1.0 and HTTP/1.1 are spoken here")
    headers = read_headers(stream)
    body = None if headers is None else read_body(stream, headers, go_on)
    if headers is None or body is None:
        return None
    connection = headers.get(b"connection", b"").lower()
    keep = b"keep-alive" in connection if protocol == "HTTP/1.0" else b"close" not in connection
    return Request(method, _path(target), body), keep


def refusal(refused: Refused) -> Response:
    """What the client is told whose request is not read."""
    return Response(refused.status, "text/plain", refused.text.encode() + b"\n")


def encode(response: Response, keep: bool, with_body: bool = True) -> bytes:
    """A response as it is sent. A HEAD is answered without the body whose length it is told."""
    reason = responses.get(response.status, "Client Closed Request")
    head = (
        f"HTTP/1.1 {response.status} {reason}\r\nContent-Type: {response.content_type}\r\nServer: {NAME}\r\n"
        f"Date: {_date(int(time.time()))}\r\nContent-Length: {len(response.body)}\r\n"
        f"{'' if keep else 'Connection: close' + chr(13) + chr(10)}\r\n"
    )
    return head.encode("latin-1") + (response.body if with_body else b"")


def _path(target: str) -> str:
    """The path of a request target: "/a?b" and "http://host/a?b" are both "/a?b"."""
    if not target.startswith("/") and "://" in target:
        target = "/" + target.partition("://")[2].partition("/")[2]
    return target


_last_date: tuple[int, str] = (0, "")


def _date(second: int) -> str:
    """The Date header of this second, formatted once."""
    global _last_date
    known, text = _last_date
    if known != second:
        text = formatdate(second, usegmt=True)
        _last_date = (second, text)
    return text
