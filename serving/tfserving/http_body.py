"""The body of an HTTP/1.1 request: by its Content-Length or in chunks, and unpacked where it is gzip.

What is sent has at most ``MAX_BODY`` bytes, and what a gzip body holds ``MAX_UNPACKED``, which is TensorFlow Serving's
own limit: a client that stays below it here does so there too. Other codings are not looked at, as there.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Mapping
from io import BufferedIOBase, BytesIO

from serving.tfserving.http_lines import Refused, read_headers, read_line

MAX_BODY = 256 << 20
MAX_UNPACKED = 10 << 20
_CHUNK = re.compile(rb"([0-9a-f]{1,16})[ \t]*(?:;[^\r\n]*)?\r\n", re.IGNORECASE)  # what follows a ; is an extension
_GZIP = zlib.MAX_WBITS | 16


def read_body(stream: BufferedIOBase, headers: Mapping[bytes, bytes], go_on: Callable[[bytes], object]) -> bytes | None:
    """The body, or None if the client went away before its end. Raises Refused.

    ``go_on`` sends what a client waits for that asks before it sends.
    """
    length = _length(headers)
    if length != 0 and headers.get(b"expect", b"").lower() == b"100-continue":
        go_on(b"HTTP/1.1 100 Continue\r\n\r\n")
    try:
        body = _chunks(stream) if length is None else _exactly(stream, length)
    except OSError:  # reset, or idle for too long
        return None
    return _unpacked(body) if body and b"gzip" in headers.get(b"content-encoding", b"").lower() else body


def _length(headers: Mapping[bytes, bytes]) -> int | None:
    """How many bytes are announced; None for a body in chunks."""
    coding = headers.get(b"transfer-encoding")
    if coding is not None:
        if coding.lower() != b"chunked":
            raise Refused(501, "Send the body with a Content-Length or with Transfer-Encoding: chunked, and no other")
        if b"content-length" in headers:  # whoever is between may believe the other one
            raise Refused(400, "Send either a Content-Length or a Transfer-Encoding, not both")
        return None
    text = headers.get(b"content-length", b"0")
    if not text.isdigit():
        raise Refused(400, "Content-Length is not a number")
    return _allowed(int(text) if len(text) < 20 else MAX_BODY + 1)


def _chunks(stream: BufferedIOBase) -> bytes | None:
    """The chunks as one, without their extensions and the trailers behind them (RFC 9112, section 7.1)."""
    body = BytesIO()
    while (line := read_line(stream)).endswith(b"\n"):
        match = _CHUNK.fullmatch(line)
        if match is None:
            raise Refused(400, "Bad chunk: its first line is its size in hexadecimal")
        size = int(match[1], 16)
        if not size:
            return None if read_headers(stream) is None else body.getvalue()
        _allowed(body.tell() + size)
        chunk = _exactly(stream, size + 2)
        if chunk is None:
            return None
        if not chunk.endswith(b"\r\n"):
            raise Refused(400, "Bad chunk: it is not as long as its first line says")
        body.write(memoryview(chunk)[:size])
    return None


def _exactly(stream: BufferedIOBase, size: int) -> bytes | None:
    """So many bytes, or None if there are fewer."""
    read = stream.read(size)
    return read if len(read) == size else None


def _allowed(size: int) -> int:
    if size > MAX_BODY:
        raise Refused(413, f"The body is larger than {MAX_BODY} bytes")
    return size


def _unpacked(packed: bytes) -> bytes:
    """What a gzip body holds. A broken one holds nothing, as in TensorFlow Serving, whose JSON parser says so."""
    reader = zlib.decompressobj(wbits=_GZIP)
    try:
        body = reader.decompress(packed, MAX_UNPACKED + 1)  # no further: it may be a bomb
    except zlib.error:
        return b""
    if len(body) > MAX_UNPACKED:
        raise Refused(413, f"The body is larger than {MAX_UNPACKED} bytes unpacked; send it without gzip")
    return body if reader.eof and not reader.unused_data else b""
